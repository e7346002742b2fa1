"""The gallery: who may be matched, whether all workers agree, and how soon an erasure is in force."""

from helm.dashboards.board import Board, Row
from helm.dashboards.panels import ALARM, GOOD, WARNING, Column, Query, lines, number, rows, runbook
from helm.dashboards.promql import RANGE, SLOW, by_worker, grouped, increase, quantile, series, whole

PEOPLE = series("faceline_gallery_people")
BEHIND = series("faceline_gallery_behind_seconds")
PASSED_OVER = series("faceline_gallery_passed_over_records")
HAS_READ = 'version!=""'
"""A worker that has just begun has no version yet."""
BY_VERSION = grouped("count", series("faceline_gallery_info", HAS_READ), "version")
ERASURE = "faceline_erasure_seconds"

NOW = Row(
    "Now",
    [
        number(
            "People",
            "none",
            "Who may be matched now. 0: nobody enrolled, or no consent for gallery.purpose; run 'faceline people'.",
            Query(grouped("max", PEOPLE), "{{job}}"),
            limits={0: WARNING, 1: GOOD},
        ),
        number(
            "Versions in force",
            "none",
            "Among all workers. 2 for seconds after an enrolment; for longer: a worker is behind, or reads with other "
            "keys, another purpose or another tenant.",
            Query(grouped("count", BY_VERSION), "{{job}}"),
            limits={2: WARNING},
            empty="none read yet",
        ),
        number(
            "Furthest behind",
            "s",
            "The oldest knowledge that a worker has of the gallery's topic. Above 1: enrolments and erasures are not "
            "in force there yet. Above 60: it can't read the topic, see its log.",
            Query(grouped("max", BEHIND), "{{job}}"),
            limits={1: WARNING, 60: ALARM},
            links=[runbook("FacelineGalleryBehind")],
        ),
        number(
            "Records passed over",
            "none",
            "On the gallery's topic, that a worker couldn't read. Any: the log says which and why; a key is missing, "
            "or something else writes there.",
            Query(grouped("max", PASSED_OVER), "{{job}}"),
            limits={1: ALARM},
        ),
        number(
            "Erasures",
            "none",
            "In this time range, as the worker saw them that saw most.",
            Query(whole(grouped("max", increase(f"{ERASURE}_count"))), "{{job}}"),
        ),
        number(
            "Erasure in force, p95",
            "s",
            "From a person's erasure to its being in force on a worker, in this time range. Above 1: see who lags.",
            Query(quantile(0.95, ERASURE, window=RANGE), "{{job}}"),
            limits={1: WARNING, 60: ALARM},
            empty="no erasures",
            links=[runbook("FacelineGalleryBehind")],
        ),
    ],
)

WORKERS = Row(
    "Worker by worker",
    [
        lines(
            "People by worker",
            "suffix:people",
            "Lines that part for longer than seconds: workers disagree on who may be matched. 0 just after a start.",
            Query(by_worker(PEOPLE), "{{worker}}"),
        ),
        lines(
            "Workers by version of the gallery",
            "suffix:workers",
            "At an enrolment all change over within seconds. A version that keeps a worker: that one is behind.",
            Query(BY_VERSION, "{{version}} · {{job}}"),
            stacked=True,
        ),
        lines(
            "Behind by",
            "s",
            "Age of what a worker knows of the gallery's topic. Above 1: enrolments and erasures are not in force "
            "there yet.",
            Query(by_worker(BEHIND), "{{worker}}"),
            limits={60: ALARM},
            links=[runbook("FacelineGalleryBehind")],
        ),
        lines(
            "Erasure in force, over half an hour",
            "s",
            "From a person's erasure to its being in force on a worker. Empty: nobody was erased. Above 1: see who is "
            "behind.",
            Query(quantile(0.5, ERASURE, window=SLOW), "p50 · {{job}}"),
            Query(quantile(0.95, ERASURE, window=SLOW), "p95 · {{job}}"),
        ),
        lines(
            "Records passed over, by worker",
            "suffix:records",
            "On the gallery's topic. Any: the log says which and why. On one worker alone: its key differs from the "
            "others'.",
            Query(by_worker(PASSED_OVER), "{{worker}}"),
        ),
        rows(
            "What each worker has",
            "One line a worker. Another version than the others', for longer than seconds: its log says why.",
            [
                Column("worker", "Worker"),
                Column("version", "Version"),
                Column("Value #B", "People"),
                Column("Value #C", "Behind", "s", {1: WARNING, 60: ALARM}),
                Column("job", "Deployment"),
            ],
            by_worker(series("faceline_gallery_info", HAS_READ), "version"),
            by_worker(PEOPLE),
            by_worker(BEHIND),
            sort=("Worker", False),
        ),
    ],
)

BOARD = Board(
    "gallery",
    "Faceline / Gallery",
    "Who may be matched, whether all workers agree, and how soon an erasure is in force.",
    [NOW, WORKERS],
)
