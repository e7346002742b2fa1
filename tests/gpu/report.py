"""The figures of a GPU host as a page."""

from collections.abc import Mapping, Sequence
from typing import Any


def page(found: Mapping[str, Any]) -> str:
    """``found`` is what ``check.py`` writes as JSON."""
    environment = found["environment"]
    lines = [
        f"# On {environment['gpu']}",
        "",
        f"Made by `{found['command']}`. " + ", ".join(f"{k} {v}" for k, v in environment.items() if k != "gpu") + ".",
        "",
        "## Is it right",
        "",
        f"Contract suite on this GPU: {found['contract']}.",
        "",
        "Compared with ONNX Runtime on the CPU in fp32 as a worker does at its start (docs/precision.md):",
        "",
    ]
    lines += _table(
        ("network", "measure", "worst", "tolerated", "agrees"),
        [(r["network"], r["measure"], f"{r['worst']:.5g}", _bound(r), _yes(r["agrees"])) for r in found["parity"]],
    )
    lines += ["", "## Compiled", ""]
    lines += _table(
        ("network", "precision", "", "seconds", "MB"),
        [(c["network"], c["precision"], c["result"], f"{c['seconds']:.1f}", f"{c['bytes'] / 1e6:.1f}")
         for c in found["compiled"]],
    )  # fmt: skip
    lines += [
        "",
        "## Networks alone",
        "",
        "Rows are frames of 640×384, faces, tracks. `fixed`: every run has the most rows of the settings; `free`: the",
        "next power of two. Milliseconds of a run from the host's memory and back. Busy: share of that time from the",
        "first copy to the end of the last.",
        "",
    ]
    lines += _table(
        ("network", "engine", "rows", "rows a second", "ms p50", "p95", "p99", "busy"),
        [(r["network"], r["engine"], r["rows"], f"{r['rows_per_second']:.0f}", *_latency(r), _share(r["busy"]))
         for r in found["rates"]],
    )  # fmt: skip
    lines += [
        "",
        "## The whole pipeline",
        "",
        "Frames of 720p with one face, a frame of each camera a round, decoding included, one process.",
        "",
    ]
    lines += _table(
        ("engine", "cameras", "frames a second", "round ms p50", "p95", "p99", "busy", "cameras at 10 fps"),
        [(f["engine"], f["cameras"], f"{f['frames_per_second']:.0f}", *_latency(f), _share(f["busy"]),
          f["cameras_at_10_fps"]) for f in found["fleets"]],
    )  # fmt: skip
    lines += ["", "## Not measured", ""]
    lines += [f"- {line}" for line in found["left_out"]] or ["Nothing was left out."]
    return "\n".join(lines) + "\n"


def _table(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    lines = [" | ".join(titles), "|".join("---" for _ in titles)]
    lines += [" | ".join(map(str, row)) for row in rows]
    return [f"| {lines[0]} |", f"|{lines[1]}|", *(f"| {line} |" for line in lines[2:])]


def _latency(row: Mapping[str, Any]) -> list[str]:
    return [f"{row['milliseconds'][name]:.2f}" for name in ("p50", "p95", "p99")]


def _bound(row: Mapping[str, Any]) -> str:
    return f"{'at least' if row['at_least'] else 'at most'} {row['tolerance']:g}"


def _share(busy: float | None) -> str:
    return "–" if busy is None else f"{busy:.0%}"


def _yes(fine: bool) -> str:
    return "yes" if fine else "**no**"
