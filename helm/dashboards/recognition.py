"""Recognition: who is known, how soon, and how often a name had to be taken back."""

from helm.dashboards.board import Board, Row
from helm.dashboards.panels import ALARM, WARNING, Query, drill_down, lines, number
from helm.dashboards.promql import (
    RANGE,
    SLOW,
    by_worker,
    increase,
    or_zero,
    quantile,
    rate,
    ratio,
    series,
    total,
    whole,
)

IDENTITIES = "faceline_identities_total"
EVENTS = "faceline_events_total"
NOTES = "faceline_frame_notes_total"
STATUSES = ("known", "tentative", "unknown")
OTHER_NOTES = 'note!~"embedded|shed_embeddings"'
TO_IDENTITY = "faceline_time_to_identity_seconds"
PROCESSED = total(rate("faceline_frames_total", 'outcome="processed"'))


def _share_of(status: str, window: str) -> str:
    """Of the tracks that departed, those of one status."""
    part = or_zero(total(increase(IDENTITIES, f'status="{status}"', window)))
    return ratio(part, total(increase(IDENTITIES, window=window)))


def _revised_per_confirmed(window: str) -> str:
    revised = or_zero(total(increase(EVENTS, 'kind="revised"', window)))
    return ratio(revised, total(increase(EVENTS, 'kind="confirmed"', window)))


NOW = Row(
    "In this time range",
    [
        number(
            "Tracks open",
            "none",
            "Faces being followed now. Far above the people in view: raise detect.min_score.",
            Query(total(series("faceline_tracks_open")), "{{job}}"),
        ),
        number(
            "Tracks departed",
            "none",
            "Visits that ended. 0 while frames come: nobody is in view, or the cameras look elsewhere.",
            Query(whole(total(increase(IDENTITIES))), "{{job}}"),
        ),
        number(
            "Known",
            "percentunit",
            "Share of departed tracks that had a confirmed name at the end. What is right depends on who comes; a fall "
            "doesn't: look at light and lenses, or enrol better photos.",
            Query(_share_of("known", RANGE), "{{job}}"),
            empty="nobody departed",
        ),
        number(
            "Unknown",
            "percentunit",
            "Share of departed tracks that nobody was found for: strangers, and the enrolled whom light or photos "
            "hide. The gallery's dashboard says how many could be found.",
            Query(_share_of("unknown", RANGE), "{{job}}"),
            empty="nobody departed",
            links=[drill_down("gallery")],
        ),
        number(
            "Time to identity, p95",
            "s",
            "From a track's first frame to its first confirmed name, in event time. Rising: faces are small or dark, "
            "or embeddings are shed.",
            Query(quantile(0.95, TO_IDENTITY, window=RANGE), "{{job}}"),
            limits={2: WARNING, 5: ALARM},
            empty="no names",
        ),
        number(
            "Revised per confirmed",
            "percentunit",
            "Names that were taken back, to names that were given. Many: names flap, raise decide.confirm_frames.",
            Query(_revised_per_confirmed(RANGE), "{{job}}"),
            limits={0.02: WARNING, 0.1: ALARM},
            empty="no names",
        ),
    ],
)

IDENTITY = Row(
    "Who was recognised",
    [
        lines(
            "Tracks departed, by status",
            "suffix:tracks/min",
            "What was known of them at the end. tentative: a name that never became certain; many: visits are too "
            "short, or photos too few.",
            Query(f"60 * {total(rate(IDENTITIES), 'status')}", "{{status}} · {{job}}"),
            stacked=True,
        ),
        lines(
            "Open set: shares over half an hour",
            "percentunit",
            "known, tentative and unknown add up to 100 %. known falls at all hours: a lens, the light, or a gallery "
            "that lost people; at some hours: look at the light then.",
            *(Query(_share_of(status, SLOW), f"{status} · {{{{job}}}}") for status in STATUSES),
            most=1,
            stacked=True,
        ),
        lines(
            "Time to identity",
            "s",
            "From a track's first frame to its first confirmed name, in event time, over half an hour. Rising: faces "
            "are small or dark, or embeddings are shed.",
            *(Query(quantile(q, TO_IDENTITY, window=SLOW), f"p{q * 100:.0f} · {{{{job}}}}") for q in (0.5, 0.95, 0.99)),
        ),
        lines(
            "Events by kind",
            "suffix:events/min",
            "appeared and departed go together; many appeared for few people: tracks break, see frame notes. None "
            "while tracks are open: frames come further apart than track.lost_seconds.",
            Query(f"60 * {total(rate(EVENTS), 'kind')}", "{{kind}} · {{job}}"),
        ),
        lines(
            "Revised per confirmed, over half an hour",
            "percentunit",
            "Names that were taken back, to names that were given. Many: names flap, raise decide.confirm_frames. An "
            "erasure revises too.",
            Query(_revised_per_confirmed(SLOW), "{{job}}"),
            limits={0.1: ALARM},
        ),
        lines(
            "Tracks open, by worker",
            "suffix:tracks",
            "Faces being followed now. Far above the people in view: raise detect.min_score.",
            Query(by_worker(series("faceline_tracks_open")), "{{worker}}"),
            stacked=True,
        ),
    ],
)

FRAMES = Row(
    "What frames gave",
    [
        lines(
            "Embeddings per frame",
            "none",
            "Faces that cost an embedding, per processed frame: most of the work. Above the people in view: each frame "
            "of theirs is suspect, see track_split and the light.",
            Query(ratio(or_zero(total(rate(NOTES, 'note="embedded"'))), PROCESSED), "embedded · {{job}}"),
            Query(
                ratio(total(rate("faceline_shed_total", 'what="embeddings"')), PROCESSED),
                "shed to stay fresh · {{job}}",
            ),
            links=[drill_down("operations")],
        ),
        lines(
            "Frame notes",
            "suffix:/min",
            "replaced_time, malformed_time, new_epoch: set that camera's clock; faces_over_limit: raise "
            "detect.max_faces or accept it; track_split: two people passed for one. Embeddings are told beside.",
            Query(f"60 * {or_zero(total(rate(NOTES, OTHER_NOTES), 'note'), 'note')}", "{{note}} · {{job}}"),
        ),
    ],
)

BOARD = Board(
    "recognition",
    "Faceline / Recognition",
    "Who is known, how soon, and how often a name had to be taken back.",
    [NOW, IDENTITY, FRAMES],
)
