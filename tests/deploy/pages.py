"""Tables of docs/ made from code and from what was measured. ``python -m tests.deploy.pages`` writes them."""

import re

from benchmarks.sizing import load, measured, memory_mb, size_of
from tests.deploy.tools import ROOT
from worker.settings import Settings
from worker.transport.topics import DAY_MS, HOUR_MS, specs

DOCS = ROOT / "docs"
PAGES = ("sizing.md", "deploy.md", "privacy.md")
CASES = (
    # cameras, fps, size, faces in view
    (4, 10, "720p", 1),
    (10, 10, "720p", 1),
    (20, 10, "720p", 1),
    (20, 10, "720p", 4),
    (50, 5, "720p", 1),
    (50, 10, "1080p", 1),
    (100, 5, "1080p", 1),
    (100, 10, "1080p", 4),
)
_BLOCK = re.compile(r"(<!-- made: (?P<name>[a-z-]+) -->\n)(?P<text>.*?)(<!-- end -->)", re.DOTALL)


def rewritten(page: str) -> str:
    """The page with every table made anew."""
    made = {"cost": _cost, "constants": _constants, "sizes": _sizes, "takeover": _takeover, "kept": _kept}
    return _BLOCK.sub(lambda found: found[1] + made[found["name"]]() + found[4], page)


def _cost() -> str:
    lines = [
        f"| frame | faces in view | CPU ms a frame | resident MB, {_resident()} | kB a frame |",
        "|---|---|---|---|---|",
    ]
    for row in measured("sizing")["rows"]:
        cpu, resident, kilobytes = row["cpu_ms_a_frame"], row["resident_mb"]["greatest"], row["frame_bytes"] / 1000
        spread = f"{cpu['median']:.1f} ({cpu['least']:.1f}–{cpu['greatest']:.1f})"
        lines.append(f"| {row['size']} | {row['faces']} | {spread} | {resident:.0f} | {kilobytes:.0f} |")
    return "\n".join(lines) + "\n"


def _resident() -> str:
    """When memory was read, in the runs that the file holds."""
    return "peak" if measured("sizing").get("resident") == "peak" else "at the end"


def _constants() -> str:
    latency = measured("kafka")["latency"]["modes"]["exactly_once"]["capture_to_publish"]
    return (
        f"- **load** = {load():.2f}: a worker that was busy for that share of its time published within\n"
        f"  {latency['p50']:.2f} s in the median and {latency['p95']:.2f} s in 95 of 100 events.\n"
        f"- **memory limit** = {memory_mb()} MiB: the most that any run held ({_resident()}), and half of it again.\n"
    )


def _sizes() -> str:
    lines = [
        "| cameras | fps | frame | faces | frames/s | cores of work | workers | memory | partitions | frames, MB/s "
        "| an hour of them, GB | on a GPU |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for cameras, fps, size, faces in CASES:
        each = size_of(cameras, fps, size, faces)
        cells = (
            cameras, fps, size, faces, f"{each.frames_per_second:.0f}", f"{each.cores:.1f}", each.workers,
            f"{each.workers} × {each.memory_mb} MiB", each.partitions, f"{each.megabytes_per_second:.0f}",
            f"{each.gigabytes_kept:.0f}", "not measured",
        )  # fmt: skip
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def _takeover() -> str:
    lines = ["| members | session timeout | first partition goes on | last one | kills |", "|---|---|---|---|---|"]
    for row in measured("kafka")["takeover"]:
        members = "stable ids, restarted at once" if row["static"] else "random ids"
        first, last = (
            f"{spread['median']:.1f} ({spread['least']:.1f}–{spread['greatest']:.1f}) s"
            for spread in (row["first_partition_seconds"], row["last_partition_seconds"])
        )
        lines.append(
            f"| {members} | {row['session_timeout_seconds']:.0f} s | {first} | {last} | {len(row['trials'])} |"
        )
    return "\n".join(lines) + "\n"


_HOLDS = {
    "frames": "pictures of everybody in view",
    "events": "person ids, cameras, boxes, times",
    "dead_letters": "pictures that couldn't be read, as they came",
    "state": "embeddings of everybody in view, named or not, while they are there; sealed with a key",
    "gallery": "templates, display name, consent of those enrolled; sealed with a key",
    "receipts": "that somebody was erased: a digest of the id, times, numbers",
}


def _kept() -> str:
    lines = ["| topic | holds | kept | by |", "|---|---|---|---|"]
    for spec in specs(Settings()):
        retention = spec.config.get("retention.ms")
        if retention is None:
            days = int(spec.config["delete.retention.ms"]) // DAY_MS
            kept = f"until deleted; a deletion's marker {days} day more"
            by = f"`cleanup.policy=compact`, `delete.retention.ms={spec.config['delete.retention.ms']}`"
        else:
            unit, word = (DAY_MS, "day") if int(retention) >= DAY_MS else (HOUR_MS, "hour")
            number = int(retention) // unit
            kept, by = f"{number} {word}{'s' * (number > 1)}", f"`retention.ms={retention}`"
        lines.append(f"| `{spec.name}` | {_HOLDS[spec.role]} | {kept} | {by} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for name in PAGES:
        path = DOCS / name
        path.write_text(rewritten(path.read_text()))
