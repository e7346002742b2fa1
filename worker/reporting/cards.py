"""One card a track: who, why, and which frames said so."""

import base64
from collections.abc import Sequence
from html import escape

from worker.messages import EvidenceMessage, IdentityEvent, IdentityMessage
from worker.reporting.charts import Axis, score_chart, share_bar
from worker.reporting.data import PageData, anchor
from worker.reporting.reasons import event_reason, why_nobody
from worker.reporting.story import Story, microseconds
from worker.reporting.words import chip, figure, moment, name_of, percent, plural

MAX_CARDS = 80
_LEAST_SHARE = 0.005  # of the template: frames of less aren't shown one by one


def cards(data: PageData) -> str:
    """The tracks, named ones first, then by how long they were seen."""
    order = {"known": 0, "tentative": 1, "unknown": 2}
    stories = sorted(data.stories, key=lambda s: (order[s.last.identity.status], s.first_us - s.last_us))
    if not stories:
        return ""
    shown = "".join(_card(story, data) for story in stories[:MAX_CARDS])
    left = len(stories) - MAX_CARDS
    more = f'<p class="quiet">{plural(left, "more track")} in tracks.json.</p>' if left > 0 else ""
    return (
        '<section aria-labelledby="tracks"><h2 id="tracks">Track by track</h2>'
        '<p class="key"><span class="swatch score"></span>score of the best match after each frame '
        '<span class="swatch limit"></span>threshold '
        '<span class="swatch weight"></span>what the frame counted '
        '<span class="swatch foreign"></span>taken for another person</p>'
        f"{shown}{more}</section>"
    )


def _card(story: Story, data: PageData) -> str:
    identity, zero = story.last.identity, data.start_us
    axis = Axis(story.first_us, max(story.last_us, story.course.end_us or 0, story.first_us + 100_000))
    told = [
        (microseconds(event.time), f"{event.kind}: {name_of(event.identity)}") for event in story.events
        if event.kind in ("tentative", "confirmed", "revised")
    ]  # fmt: skip
    seen = f"{moment(story.first_us, zero)} – {moment(story.last_us, zero)}"
    return (
        f'<article class="track" id="{anchor(story)}" tabindex="-1"><header><h3>{escape(name_of(identity))}</h3>'
        f'{_chip(identity)}<span class="quiet">{escape(story.camera)} · {seen}</span></header>'
        f'<p class="why">{escape(verdict(story.last))}</p>{_remarks(story, data)}'
        f"{score_chart(story.course, axis, zero, told, name_of(identity))}"
        f"{_grounds(story, data)}{_steps(story, data)}</article>"
    )


def _chip(identity: IdentityMessage) -> str:
    """The status; of somebody not named, the reason in short."""
    reason = (identity.reason or "").replace("_", " ") if identity.status == "unknown" else ""
    return chip(identity.status, reason or None)


def _grounds(story: Story, data: PageData) -> str:
    """Figures and frames; folded away where nobody is named."""
    columns = f'<div class="columns">{_facts(story)}{_evidence(story, data)}</div>'
    if story.last.identity.status != "unknown":
        return columns
    return f"<details><summary>Figures and frames</summary>{columns}</details>"


def verdict(event: IdentityEvent) -> str:
    """Why this name, or why none, in one or two sentences of plain text."""
    identity = event.identity
    if identity.person_id is None:
        return why_nobody(identity.reason)
    score, threshold = figure(identity.score), figure(identity.threshold)
    lead = "The only enrolled person near." if identity.margin is None else (
        f"The runner-up is {figure(identity.margin)} behind."
    )  # fmt: skip
    if identity.status == "tentative":
        needed = f"score {score}, where {threshold} is needed for a tentative name"
        return f"Perhaps {identity.person_id}: {needed}. Not certain enough to be confirmed. {lead}"
    return f"{identity.person_id}: score {score} against a threshold of {threshold}. {lead}"


def _remarks(story: Story, data: PageData) -> str:
    """What is out of the ordinary about this track."""
    remarks = [escape(event_reason(e.reason)) for e in story.events if e.kind == "revised" and e.reason]
    if story.course.num_foreign:
        remarks.append(
            f"{plural(story.course.num_foreign, 'frame')} of {story.course.num_frames} seemed to show another person "
            "and did not count."
        )
    if story.last.reason == "track_split":
        after = next((other for other in data.stories if _follows(other) == story.track_id), None)
        link = f' <a href="#{anchor(after)}">{escape(name_of(after.last.identity))}</a>' if after else ""
        remarks.append(escape(event_reason("track_split")) + link)
    return "".join(f'<p class="remark">{remark}</p>' for remark in remarks)


def _follows(story: Story) -> str | None:
    return next((event.follows for event in story.events if event.follows), None)


def _facts(story: Story) -> str:
    event = story.last
    identity, quality = event.identity, event.quality
    facts = [
        ("score / threshold", f"{figure(identity.score)} / {figure(identity.threshold)}"),
        ("probability", percent(identity.probability)),
        ("margin to the runner-up", figure(identity.margin)),
        ("frames read / seen", f"{event.frames_used:,} / {event.frames_seen:,}"),
        ("in view", f"{event.dwell_seconds:.1f} s"),
    ]
    if quality is not None:
        facts.append(("last crop", f"{quality.face_pixels:.0f} px, sharpness {quality.sharpness:.0f}"))
    return "<dl>" + "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts) + "</dl>"


def _evidence(story: Story, data: PageData) -> str:
    evidence = [item for item in story.last.evidence if item.weight >= _LEAST_SHARE]
    if not evidence:
        return '<p class="quiet">No frame counted.</p>'
    items = "".join(_frame(story, item, data) for item in evidence)
    rest = max(0.0, 1 - sum(item.weight for item in evidence))
    others = story.last.frames_used - len(evidence)
    more = f'<li class="quiet">{plural(others, "other frame")}: {percent(rest)}</li>' if others > 0 else ""
    return f'<div><h4>Frames that counted most</h4><ol class="evidence">{items}{more}</ol></div>'


def _frame(story: Story, item: EvidenceMessage, data: PageData) -> str:
    picture = ""
    code = data.thumbnails.jpeg(story.track_id, item.offset) if data.thumbnails is not None else None
    if code is not None:
        source = "data:image/jpeg;base64," + base64.b64encode(code).decode("ascii")
        picture = f'<img src="{source}" width="56" height="56" alt="Face in the frame at offset {item.offset}">'
    when = moment(microseconds(item.time), data.start_us)
    return f"<li>{picture}<span>{when}</span>{share_bar(item.weight)}<span>{percent(item.weight)}</span></li>"


def _steps(story: Story, data: PageData) -> str:
    """The track's events in one line."""
    steps: Sequence[str] = [
        f'<li><span class="chip {event.kind}">{event.kind}</span> {moment(microseconds(event.time), data.start_us)}'
        f'{_to_video(event, data)}</li>'
        for event in story.events
    ]  # fmt: skip
    last = story.last
    end = f'<p class="quiet">{escape(event_reason(last.reason))}</p>' if last.kind == "departed" and last.reason else ""
    return f'<ol class="steps">{"".join(steps)}</ol>{end if last.reason != "track_split" else ""}'


def _to_video(event: IdentityEvent, data: PageData) -> str:
    """A button that shows the moment in the video, where the page plays one."""
    if data.video is None or not data.video.codec.plays_in_browsers:
        return ""
    second = data.video.seek.get((event.camera, microseconds(event.time)))
    if second is None:
        return ""
    words = '▶ <span class="hide">show in the video</span>'
    return f' <button type="button" class="seek" data-second="{second:.2f}">{words}</button>'
