"""``report.html``: one page that needs nothing but itself."""

from html import escape
from importlib.resources import files
from string import Template

from worker.messages import rfc3339
from worker.reporting.cards import cards
from worker.reporting.charts import Axis
from worker.reporting.closing import events, reading, workings
from worker.reporting.data import PageData
from worker.reporting.headline import figures, notes, timeline
from worker.reporting.words import clock, plural


def render(data: PageData) -> str:
    """The page as HTML. The same data give the same page, byte for byte."""
    axis = Axis(data.start_us, max(data.end_us, data.start_us + 1))
    parts = [
        notes(data), figures(data), _video(data), timeline(data, axis), cards(data), events(data), workings(data),
        reading(data),
    ]  # fmt: skip
    template = Template(files("worker.reporting").joinpath("report.html").read_text(encoding="utf-8"))
    return template.substitute(title=escape(data.title), subtitle=escape(_subtitle(data)), body="\n".join(parts))


def _subtitle(data: PageData) -> str:
    if not data.cameras:
        return "No frame was processed."
    cameras = plural(len(data.cameras), "camera")
    length = clock(data.end_us, data.start_us)
    return f"{cameras} · {length} of footage · capture time from {rfc3339(data.start_us)[:19].replace('T', ' ')} UTC"


def _video(data: PageData) -> str:
    if data.video is None:
        return ""
    name, codec = escape(data.video.name), data.video.codec
    player = ""
    if codec.plays_in_browsers:
        how = 'controls muted playsinline preload="metadata" aria-label="The annotated video"'
        player = f'<video src="{name}" {how}></video>'
    note = f" {escape(codec.note)}." if codec.note else ""
    return (
        f'<section aria-labelledby="video"><h2 id="video">The video</h2>{player}'
        f'<p class="quiet"><a href="{name}">{name}</a>, {escape(codec.name)}, beside this page.{note}</p></section>'
    )
