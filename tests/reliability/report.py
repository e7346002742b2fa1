"""Pages of ``benchmarks/`` from what was measured. Pure: the same figures give the same page."""

import textwrap
from collections.abc import Mapping
from typing import Any

Figures = Mapping[str, Any]
WIDTH = 118
CREATED, DEFAULTS = "as created", "broker's defaults"


def kafka_page(found: Figures) -> str:
    """benchmarks/kafka.md, of the parts that were measured."""
    parts = {"rates": _rates, "latency": _latency, "takeover": _takeover, "restoring": _restoring}
    chapters = [write(found[name]) for name, write in parts.items() if name in found]
    head = f"""# Kafka: what exactly-once costs, how late events are, how soon a dead worker is replaced

Made by `make throughput` (`python -m tests.reliability.throughput --out benchmarks`). {_machine(found["machine"])}
One real broker (Apache Kafka 4.3.1, one node) ran on the same cores, and other work came and went. So absolute figures
are those of a small and busy machine; ratios of interleaved runs say more.

Frames: {found["frames"]}, an empty room of 3 s between two visits. Half of the people are enrolled. Workers are
processes (`faceline run`) with default settings where nothing else is said.
"""
    return _wrapped("\n".join([head, *chapters]))


def soak_page(found: Figures, grows: bool, flat_kb: float) -> str:
    """benchmarks/soak.md."""
    frames, slope, memory = found["frames"], found["kb_per_1000_frames"], found["resident_mb"]
    width, height = frames["size"]
    verdict = (
        f"**Memory grows**: even the least slope that fits is above {flat_kb:g} kB per 1,000 frames."
        if grows
        else f"Memory is flat: no slope above {flat_kb:g} kB per 1,000 frames is shown."
    )
    page = f"""# One worker for {frames["number"]:,} frames

Made by `make soak` (`python -m tests.reliability.soak --frames {frames["number"]} --out benchmarks`).
{_machine(found["machine"])} The broker ran on the same cores.

{frames["cameras"]} cameras at {frames["fps"]:g} fps of event time, {width}×{height} pixels,
{frames["bytes"] / 1000:.0f} kB a frame, fitted from {frames["origin"]};
people come and go, an empty room in between. One process, default settings, so embeddings are sampled.
{found["seconds"] / 60:.1f} minutes, {found["frames_per_second"]:.0f} frames/s.

| | |
|---|---|
| resident memory, first quarter after warm-up | {memory["first_quarter"]:.1f} MB |
| resident memory, last quarter | {memory["last_quarter"]:.1f} MB |
| greatest | {memory["greatest"]:.1f} MB |
| slope by least squares, kB per 1,000 frames | {slope["slope"]:+.2f} |
| its 95 % interval | {slope["low"]:+.2f} … {slope["high"]:+.2f} |
| open files and sockets, then and at the end | {found["descriptors"][0]}, {found["descriptors"][1]} |
| threads, then and at the end | {found["threads"][0]}, {found["threads"][1]} |
| errors logged | {len(found["errors_logged"])} |

{verdict} The first fifth of the frames is warm-up. Samples of one process follow one another closely, so the textbook's
interval is widened by the correlation of neighbouring residuals (`tests/reliability/figures.py`).

## The way there

{_soak_table(found["samples"])}
"""
    return _wrapped(page)


def _wrapped(page: str) -> str:
    """The same with its prose in even lines."""
    blocks = page.strip().split("\n\n")
    return "\n\n".join(block if block[0] in "|#" else _filled(block) for block in blocks) + "\n"


def _filled(prose: str) -> str:
    return textwrap.fill(" ".join(prose.split()), WIDTH, break_long_words=False, break_on_hyphens=False)


def _soak_table(samples: list[Figures]) -> str:
    last = samples[-1]["frames"]
    rows = [next(s for s in samples if s["frames"] >= last * tenth / 10) for tenth in range(11)]
    lines = ["| frames | minutes | resident MB | open tracks |", "|---|---|---|---|"]
    lines += [
        f"| {r['frames']:,} | {r['seconds'] / 60:.1f} | {r['resident_kb'] / 1024:.1f} | {r['tracks']} |" for r in rows
    ]
    return "\n".join(lines)


def _rates(found: Figures) -> str:
    ratio = found["ratios"]["frames_per_second"]
    apart, cpu = 100 * (1 - ratio["median"]), found["ratios"]["cpu_ms_a_frame"]["median"]
    more = found["exactly_once"]["commit_share"]["median"] - found["at_least_once"]["commit_share"]["median"]
    lines = [
        "| delivery | frames/s | CPU ms a frame | frames a commit | commit ms | in commits | at work |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {mode} | {_spread(found[mode]['frames_per_second'], 1)} | {_spread(found[mode]['cpu_ms_a_frame'], 1)} "
            f"| {_spread(found[mode]['frames_a_commit'], 0)} | {_spread(found[mode]['commit_ms'], 1)} "
            f"| {_percent(found[mode]['commit_share'])} | {_percent(found[mode]['work_share'])} |"
            for mode in ("exactly_once", "at_least_once")
        ),
        f"| ratio, pair by pair | {_spread(ratio, 3)} | {_spread(found['ratios']['cpu_ms_a_frame'], 3)} | | | | |",
    ]
    met = "The target, at most 10 % apart, is met." if apart <= 10 else "The target, at most 10 % apart, is **missed**."
    return f"""## Frames per second: exactly once beside at least once

One worker, {found["cameras"]} cameras on {found["partitions"]} partitions, {found["frames"]:,} frames that wait for it,
a commit interval of {1000 * found["commit_interval_seconds"]:.0f} ms. {found["pairs"]} pairs of runs over the same
frames, in turn which goes first. The first tenth of a run is warm-up. Median (least–greatest).

{chr(10).join(lines)}

By the clock exactly once is {abs(apart):.1f} % {"slower" if apart > 0 else "faster"} in the median of pairs. {met}
Single pairs scatter widely, since other work came and went on the same cores: the median is good to some per cent.
What depends less on it: CPU a frame, {100 * (cpu - 1):+.1f} %, and the share of time in commits,
{100 * more:+.1f} percentage points.
"""


def _latency(found: Figures) -> str:
    lines = [
        "| delivery | to | p50 | p95 | p99 | max | events |",
        "|---|---|---|---|---|---|---|",
    ]
    for mode, of_mode in found["modes"].items():
        for name, where in (("capture_to_publish", "publication"), ("capture_to_subscriber", "subscriber")):
            q = of_mode[name]
            cells = " | ".join(f"{1000 * q[each]:.0f}" for each in ("p50", "p95", "p99", "max"))
            lines.append(f"| {mode} | {where} | {cells} | {q['n']} |")
    busy = ", ".join(f"{100 * m['busy']:.0f} % ({mode})" for mode, m in found["modes"].items())
    return f"""## From capture to event, at half load

{found["cameras"]} cameras, {found["frames_per_second"]:.0f} frames/s in all, about half of the
{found["most_frames_per_second"]:.0f} frames/s above; every frame is taken and sent when it is due, for
{found["seconds"]:.0f} s after warm-up. Publication is `ce_recordedtime`, just before the commit; the subscriber reads
committed records in a process beside the worker. Heartbeats are set to 1 s, so that there are more events to time.
`departed` events are left out: they tell of the last frame that showed a face. Milliseconds after the frame's capture;
they include the JPEG's way to the broker. The worker was at work {busy} of the time.

{chr(10).join(lines)}

Exactly once, a frame waits up to one commit interval of {1000 * found["commit_interval_seconds"]:.0f} ms for its batch,
then for the batch's work.
"""


def _takeover(rows: list[Figures]) -> str:
    lines = ["| members | session | first partition | last partition | kills |", "|---|---|---|---|---|"]
    for row in rows:
        kind = "static, started again at once" if row["static"] else "dynamic"
        cells = " | ".join(f"{_spread(row[f'{which}_partition_seconds'], 1)} s" for which in ("first", "last"))
        lines.append(f"| {kind} | {row['session_timeout_seconds']:.0f} s | {cells} | {len(row['trials'])} |")
    return f"""## Takeover after kill -9

Two workers, 6 cameras × 1 fps on 6 partitions; one worker is killed at a random moment. From the kill to the next
committed offset of its partitions: the first one's, and the last one's. Median (least–greatest).

{chr(10).join(lines)}

Dynamic members: the broker waits for the session to end, counted from the last heartbeat, then the other worker takes
over. A static member keeps its
partitions while it is away, so what counts is how soon the process is up, models and all; nobody else works on them.
"""


def _restoring(found: Figures) -> str:
    created, defaults = (found["restores"][kind] for kind in (CREATED, DEFAULTS))
    track = found["snapshots"]["bytes_an_open_track"]
    lines = ["| minutes | as created, MB | broker's defaults, MB |", "|---|---|---|"]
    lines += [
        f"| {s['minutes']:.1f} | {s[CREATED] / 1e6:.2f} | {s[DEFAULTS] / 1e6:.2f} |" for s in _thinned(found["sizes"])
    ]
    rows = ["| open tracks of the camera | snapshot, bytes | n |", "|---|---|---|"]
    rows += [
        f"| {number} | {of['median']:.0f} ({of['least']}–{of['greatest']}) | {of['n']} |"
        for number, of in found["snapshots"]["bytes_by_open_tracks"].items()
    ]
    return f"""## What a restore reads

Two applications on the same frames ({found["cameras"]} cameras, {found["frames_per_second"]:.0f} frames/s) for
{found["minutes"]:g} minutes: one with its state topic as `faceline topics create` makes it, one with a topic that is
only `cleanup.policy=compact` and else has the broker's defaults. Size of the state topic, all {created["partitions"]}
partitions, as the broker tells it (lz4, so as it is read):

{chr(10).join(lines)}

By the defaults a partition's active segment, up to 1 GiB or seven days, is never compacted: it goes on growing. Then a
new worker took everything over:

| state topic | MB read | s a partition | s in all | `faceline_restore_seconds`, mean |
|---|---|---|---|---|
{_restore_row(CREATED, created)}
{_restore_row(DEFAULTS, defaults)}

Snapshots before compression: {_spread(track, 0)} bytes an open track; the partition's own
record {_spread(found["snapshots"]["partition_bytes"], 0)} bytes.

{chr(10).join(rows)}
"""


def _restore_row(kind: str, of: Figures) -> str:
    return (
        f"| {kind} | {of['bytes'] / 1e6:.2f} | {_spread(of['seconds_a_partition'], 3)} | {of['seconds']:.2f} "
        f"| {of['faceline_restore_seconds_mean']:.3f} |"
    )


def _thinned(sizes: list[Figures], most: int = 12) -> list[Figures]:
    step = max(1, round(len(sizes) / most))
    return sizes[step - 1 :: step]


def _percent(of: Figures) -> str:
    return f"{100 * of['median']:.1f} %"


def _spread(of: Figures, digits: int) -> str:
    return f"{of['median']:.{digits}f} ({of['least']:.{digits}f}–{of['greatest']:.{digits}f})"


def _machine(of: Figures) -> str:
    return (
        f"{of['cores']} shared cores ({of['processor']}), Python {of['python']}, ONNX Runtime {of['onnxruntime']}, "
        f"kafka-python {of['kafka-python']}."
    )
