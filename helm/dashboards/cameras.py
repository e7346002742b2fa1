"""Cameras: who sends, how fast, who fell silent. Only frames are counted by camera, so it is all from one metric."""

from helm.dashboards.board import Board, Row, anything, choice
from helm.dashboards.panels import (
    ALARM,
    GOOD,
    HERE,
    WARNING,
    Column,
    Query,
    drill_down,
    lines,
    number,
    rows,
    runbook,
    uid,
)
from helm.dashboards.promql import (
    OF_DEPLOYMENT,
    RANGE,
    by_worker,
    grouped,
    increase,
    or_zero,
    rate,
    series,
    total,
    whole,
)

FRAMES = "faceline_camera_frames_total"
ONE = 'camera=~"$camera"'
STEP = "30s"
SILENT = "2m"
"""Without a frame for so long a camera counts as silent."""


def _moved(matchers: str = "") -> str:
    """Cameras whose count is not what it was a step ago. The sum, since a camera moves between workers."""
    before = f"{series(FRAMES, matchers)} offset {STEP}"
    return f"{total(series(FRAMES, matchers), 'camera')} > {total(before, 'camera')}"


def _silence(matchers: str = "") -> str:
    """Seconds since a camera's count last moved, within the time range."""
    return f"time() - max_over_time(timestamp({_moved(matchers)})[{RANGE}:{STEP}])"


def _seen(window: str) -> str:
    return f"{total(increase(FRAMES, window=window), 'camera')} > 0"


NOW = Row(
    "Now",
    [
        number(
            "Cameras that send",
            "none",
            "Those with a frame in the last two minutes. The first 100 that a worker sees are told apart, the rest "
            "are one, called other.",
            Query(or_zero(grouped("count", _seen(SILENT))), "{{job}}"),
            width=6,
        ),
        number(
            "Cameras that fell silent",
            "none",
            "They sent in this time range, and nothing for two minutes. Any: the table says which; look at the camera, "
            "its network and its publisher.",
            Query(or_zero(grouped("count", f"({_seen(RANGE)}) unless ({_seen(SILENT)})")), "{{job}}"),
            width=6,
            limits={1: ALARM},
            links=[runbook("FacelineCameraSilent")],
        ),
        number(
            "Slowest camera",
            "suffix:frames/s",
            "Of those that send. Far below the others: its network, or its publisher's --fps. Frames further apart "
            "than track.lost_seconds, so below 0.67 as shipped: nobody is followed there.",
            Query(grouped("min", f"{total(rate(FRAMES, window=SILENT), 'camera')} > 0"), "{{job}}"),
            width=6,
            limits={0: WARNING, 0.67: GOOD},
            empty="no frames",
        ),
        number(
            "Frames of cameras beyond the first 100",
            "suffix:frames/s",
            "Counted as other. Above 0: not every camera can be told apart here.",
            Query(or_zero(total(rate(FRAMES, 'camera="other"'))), "{{job}}"),
            width=6,
        ),
    ],
)

ALL_CAMERAS = Row(
    "All cameras",
    [
        lines(
            "Frames by camera",
            "suffix:frames/s",
            "Frames that reached a worker, whatever became of them. One falls: look at the camera. All fall: look at "
            "the publishers, and at operations.",
            Query(total(rate(FRAMES), "camera"), "{{camera}} · {{job}}"),
            links=[drill_down("operations")],
        ),
        rows(
            "Cameras, the longest silent first",
            "Silent for: since its count last moved, to half a minute. Click a camera to see it alone. A camera that "
            "was silent for all of the time range isn't here: widen it. Refused frames aren't told by camera: "
            "'faceline dlq list' does.",
            [
                Column("camera", "Camera"),
                Column("Value #A", "Silent for", "s", {60: WARNING, 120: ALARM}),
                Column("Value #B", "Frames/s"),
                Column("Value #C", "Frames in this time"),
                Column("job", "Deployment"),
            ],
            _silence(),
            total(rate(FRAMES, window=SILENT), "camera"),
            whole(total(increase(FRAMES), "camera")),
            sort=("Silent for", True),
            cell_links={"Camera": f"/d/{uid('cameras')}?{HERE}&var-camera=${{__value.text}}"},
            links=[runbook("FacelineCameraSilent")],
        ),
    ],
)

EACH = Row(
    "$camera",
    [
        lines(
            "Frames of $camera, by worker",
            "suffix:frames/s",
            "Who reads this camera. Another worker's colour: its partition moved. Both at once: never, or two "
            "deployments read the same topic under one name.",
            Query(by_worker(rate(FRAMES, ONE)), "{{worker}}"),
            height=6,
            stacked=True,
        ),
        number(
            "Sending time of $camera",
            "percentunit",
            "Share of the time range in which it sent at least a frame each half minute. Below 100 %: its network or "
            "its power comes and goes, or a takeover took longer.",
            Query(
                f"count_over_time(({_moved(ONE)})[{RANGE}:{STEP}]) / "
                f"count_over_time({total(series(FRAMES, ONE) + f' offset {STEP}', 'camera')}[{RANGE}:{STEP}])",
                "{{job}}",
            ),
            width=6,
            height=6,
            limits={0: ALARM, 0.95: WARNING, 0.995: GOOD},
            empty="silent",
        ),
        number(
            "Silence of $camera",
            "s",
            "Since its count last moved, to half a minute.",
            Query(_silence(ONE), "{{job}}"),
            width=6,
            height=6,
            limits={60: WARNING, 120: ALARM},
            empty="silent",
        ),
    ],
    repeat="camera",
)

BOARD = Board(
    "cameras",
    "Faceline / Cameras",
    "Who sends, how fast, and who fell silent.",
    [NOW, ALL_CAMERAS, EACH],
    [
        anything(
            choice(
                "camera",
                "Camera",
                "those shown one by one below",
                f"label_values({FRAMES}{{{OF_DEPLOYMENT}}}, camera)",
            )
        )
    ],
)
