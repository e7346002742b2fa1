"""The measurement as JSON and as a page of ``benchmarks/``."""

import platform
from importlib.metadata import version
from typing import Any

from worker.bench.measure import OURS, PEERS, Row, Spread
from worker.bench.scenes import SIZES
from worker.settings import Settings

STAGES = ("decode", "detect", "track", "align", "embed", "recognize", "identify", "decide")


def as_json(rows: list[Row], memory: dict[str, float], settings: Settings) -> dict[str, Any]:
    """Everything that was measured."""
    return {
        "environment": environment(),
        "detection_size": detection_sizes(settings),
        "rows": [
            {
                "size": row.size,
                "faces": row.faces,
                "frames_per_second": {name: _plain(spread) for name, spread in row.frames_per_second.items()},
                "ratios": {f"{ours} / {peer}": _plain(s) for (ours, peer), s in row.ratios.items()},
                "stage_ms": row.stage_ms,
            }
            for row in rows
        ],
        "peak_memory_mb": memory,
    }


def environment() -> dict[str, str]:
    """What it ran on, without naming the machine."""
    packages = ("opencv-python-headless", "onnxruntime", "numpy")
    return {"python": platform.python_version(), "machine": platform.machine()} | {p: version(p) for p in packages}


def detection_sizes(settings: Settings) -> dict[str, str]:
    """At which size each contender looks for faces."""
    longest = settings.detect.max_side_pixels
    ours = ", ".join(f"{name} at {longest}x{round(longest * h / w)}" for name, (w, h) in SIZES.items())
    full = ", ".join(f"{name} at {w}x{h}" for name, (w, h) in SIZES.items())
    return {OURS[0]: ours, OURS[1]: ours, PEERS[0]: full, PEERS[1]: ours}


def markdown(rows: list[Row], memory: dict[str, float], settings: Settings, command: str) -> str:
    """The page."""
    lines = [
        "# The pipeline against a plain OpenCV loop",
        "",
        f"Made by `{command}`. " + ", ".join(f"{k} {v}" for k, v in environment().items()) + "; one thread.",
        "",
        "All in one run on the same JPEG bytes, in turn, round by round; CPU time of the process; median",
        "(least–greatest) over the rounds. The run fails when contenders don't find the same faces in every frame of",
        "the warm-up, or don't agree on who is named after it.",
        "",
        "- **faceline, every face**: the whole pipeline (decode, detect, track, align, embed, LSTM, identify, decide),",
        "  made to embed every face of every frame: what better kernels alone bring.",
        "- **faceline, as shipped**: embeds what adds information; settled tracks are looked at twice a second.",
        "- **OpenCV, full size**: `FaceDetectorYN` + `FaceRecognizerSF`, same model files, every frame and every face,",
        "  faces sought at the frame's own size, as in OpenCV's samples.",
        "- **OpenCV, at our size**: the same, faces sought in a frame shrunk as ours is.",
        "",
        f"Faces are sought at: ours and 'at our size' {detection_sizes(settings)[OURS[0]]}; 'full size' "
        f"{detection_sizes(settings)[PEERS[0]]}. Faces are about 112 pixels high at 720p, 167 at 1080p.",
        "",
        "## Frames a second, one core",
        "",
        "| frame | faces | " + " | ".join((*OURS, *PEERS)) + " |",
        "|---|---|" + "---|" * (len(OURS) + len(PEERS)),
    ]
    for row in rows:
        cells = [_figure(row.frames_per_second[name], 1) for name in (*OURS, *PEERS)]
        lines.append(f"| {row.size} | {row.faces} | " + " | ".join(cells) + " |")
    pairs = [(ours, peer) for ours in OURS for peer in PEERS]
    lines += [
        "",
        "## Ratios, round by round (above 1: faceline is faster)",
        "",
        "| frame | faces | " + " | ".join(f"{ours} / {peer}" for ours, peer in pairs) + " |",
        "|---|---|" + "---|" * len(pairs),
    ]
    for row in rows:
        lines.append(f"| {row.size} | {row.faces} | " + " | ".join(_figure(row.ratios[p], 2) for p in pairs) + " |")
    for name in OURS:
        lines += [
            "",
            f"## CPU milliseconds a frame by stage: {name}",
            "",
            "| frame | faces | " + " | ".join(STAGES) + " |",
            "|---|---|" + "---|" * len(STAGES),
        ]
        for row in rows:
            cells = [f"{row.stage_ms[name].get(stage, 0.0):.2f}" for stage in STAGES]
            lines.append(f"| {row.size} | {row.faces} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "## Peak memory of a process, 1080p with 4 faces",
        "",
        "Each contender alone in a process that has also imported the benchmark and composed the frames.",
        "",
    ]
    lines += [f"- {name}: {megabytes:.0f} MB" for name, megabytes in memory.items()]
    return "\n".join(lines) + "\n"


def _plain(spread: Spread) -> dict[str, float]:
    return {"median": spread.median, "least": spread.least, "greatest": spread.greatest}


def _figure(spread: Spread, digits: int) -> str:
    return f"{spread.median:.{digits}f} ({spread.least:.{digits}f}–{spread.greatest:.{digits}f})"
