"""The page's last sections: every event with its id, where the time went, what was refused, how to read it all."""

from html import escape

from worker.messages import IdentityEvent
from worker.reporting.charts import share_bar
from worker.reporting.data import PageData, anchor
from worker.reporting.reasons import FRAME_NOTES, KINDS, event_reason, refusal
from worker.reporting.story import microseconds
from worker.reporting.words import moment, row, said

MAX_EVENTS = 1_000


def events(data: PageData) -> str:
    """All events but heartbeats, in order of time, with ids to copy."""
    told = sorted(
        ((microseconds(event.time), number, event, anchor(story))
         for number, story in enumerate(data.stories) for event in story.events),
        key=lambda item: item[:2],
    )  # fmt: skip
    if not told:
        return ""
    several = len(data.cameras) > 1
    heads = ["time", *(["camera"] if several else []), "event", "what it says", "id"]
    rows = "".join(_event(event, target, several, data.start_us) for _, _, event, target in told[:MAX_EVENTS])
    more = f'<p class="quiet">{len(told) - MAX_EVENTS} more in events.jsonl.</p>' if len(told) > MAX_EVENTS else ""
    return (
        '<section aria-labelledby="events"><h2 id="events">Events</h2>'
        "<p>Copy an id and ask why: <code>faceline explain ID --in DIR</code>, DIR being the folder of this page.</p>"
        '<div class="scroll" tabindex="0" role="region" aria-labelledby="events">'
        f"<table><thead>{row(heads, 'th')}</thead><tbody>{rows}</tbody></table></div>{more}</section>"
    )


def _event(event: IdentityEvent, target: str, several: bool, zero_us: int) -> str:
    why = f' <small class="quiet">{escape(event_reason(event.reason))}</small>' if event.reason else ""
    copy = f'<button type="button" class="copy" data-id="{escape(event.id)}">copy id</button>'
    kind = f'<span class="chip {event.kind}" title="{escape(KINDS[event.kind])}">{event.kind}</span>'
    words = f'<a href="#{target}">{escape(said(event))}</a>{why}'
    camera = [escape(event.camera)] if several else []
    time = moment(microseconds(event.time), zero_us)
    return row([time, *camera, kind, words, f"<code>{event.id[:12]}</code> {copy}"])


def workings(data: PageData) -> str:
    """Where the time went, and what became of frames."""
    return (
        '<section aria-labelledby="run"><h2 id="run">The run</h2><div class="columns">'
        f"{_stages(data)}{_frames(data)}</div></section>"
    )


def _stages(data: PageData) -> str:
    stages = data.played.stage_cpu_seconds
    total = sum(stages.values())
    if total <= 0:
        return ""
    frames = max(1, data.played.num_frames)
    rows = "".join(
        row([escape(name), share_bar(seconds / total, "wide"), f"{seconds / frames * 1e3:.2f} ms"])
        for name, seconds in stages.items()
    )
    return f'<div><h4>CPU time a frame, by stage</h4><table class="plain">{rows}</table></div>'


def _frames(data: PageData) -> str:
    rows = ""
    for code, number in sorted(data.played.outcomes.items(), key=lambda item: (item[0] != "processed", item[0])):
        meaning = "processed" if code == "processed" else FRAME_NOTES.get(code) or f"not processed: {refusal(code)}"
        rows += row([f"{number:,}", escape(meaning)])
        for example in data.examples.get(code, ()):
            rows += row(["", f'<small class="quiet">{escape(example)}</small>'])
    return f'<div><h4>Frames and faces</h4><table class="plain">{rows}</table></div>'


def reading(data: PageData) -> str:
    """How to read the page, and what it rests on."""
    kinds = "".join(
        f'<div><dt><span class="chip {kind}">{kind}</span></dt><dd>{escape(meaning)}</dd></div>'
        for kind, meaning in KINDS.items()
    )
    crops = "Face crops are in it because they were asked for" if data.thumbnails else "It holds no face crop"
    last = data.stories[-1].last if data.stories else None
    versions = ""
    if last is not None:
        models = ", ".join(f"{name} {digest}" for name, digest in last.models.model_dump().items())
        versions = f'<p class="quiet">Models: {escape(models)}. Gallery version: {escape(last.gallery_version)}.</p>'
    return (
        '<section aria-labelledby="reading"><h2 id="reading">How to read this</h2>'
        f'<dl class="kinds">{kinds}</dl>'
        "<p>A score is a calibrated similarity: compare it with its threshold and with nothing else. The threshold "
        "follows from the share of strangers that may be named at all, and from how many people are enrolled. "
        "The weight is what the recognizer let a frame count in the track's template.</p>"
        f'<p class="quiet">This page needs no network. {crops}, and no embedding in any case.</p>{versions}</section>'
    )
