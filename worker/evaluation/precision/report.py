"""What the guard measured, as JSON, as a page, and as numbers in the model's description."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import numpy as np

from worker.evaluation.embedders import open_embedder
from worker.evaluation.metrics import Interval
from worker.evaluation.precision.calibrate import written
from worker.settings import Settings
from worker.training.data import VARIANTS, EmbeddedFaces

TOLERATED = 0.001  # 0.1 point of TAR

Table = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Result:
    """One protocol under one precision."""

    protocol: str
    precision: str
    people: int
    genuine: int
    impostor: int
    tar: float
    drop: Interval | None  # None: the reference itself

    @property
    def failed(self) -> bool:
        """Whether the drop is surely more than is tolerated."""
        return self.drop is not None and self.drop.low > TOLERATED


def similarity(reference: EmbeddedFaces, candidate: EmbeddedFaces) -> dict[str, float]:
    """Cosine between the two embeddings of one crop: mean and least, of clean and of degraded crops."""
    one, other = reference.embeddings, candidate.embeddings
    cosine = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    clean = np.arange(len(cosine)) % VARIANTS == 0
    return {
        "clean_mean": float(cosine[clean].mean()),
        "clean_least": float(cosine[clean].min()),
        "poor_mean": float(cosine[~clean].mean()),
        "poor_least": float(cosine[~clean].min()),
    }


def milliseconds(settings: Settings, rounds: int = 60) -> Table:
    """CPU time of one face in milliseconds, fp32 and int8 taking turns in one process on one thread."""
    engines = {precision: open_embedder(precision, settings)[0] for precision in ("fp32", "int8")}
    crop = np.random.default_rng(0).uniform(0, 255, (1, 3, 112, 112)).astype(np.float32)
    spent: dict[str, list[float]] = {precision: [] for precision in engines}
    for _ in range(rounds):
        for precision, engine in engines.items():
            began = process_time()
            engine.run({"data": crop})
            spent[precision].append(1000 * (process_time() - began))
    for engine in engines.values():
        engine.close()
    return {name: {"median": median(values), "least": min(values)} for name, values in spent.items()}


def as_json(results: Sequence[Result], similar: Table, speed: Table) -> str:
    """Everything, for machines."""
    rows = [asdict(result) | {"failed": result.failed} for result in results]
    return json.dumps({"results": rows, "cosine_to_fp32": similar, "cpu_milliseconds": speed}, indent=2) + "\n"


def markdown(results: Sequence[Result], similar: Table, speed: Table) -> str:
    """The page that is committed."""
    failed = any(result.failed for result in results)
    lines = [
        "# Precision: what fp16 and int8 of the embedder cost",
        "",
        "TAR at FAR 1e-3; the drop against fp32 in points, with the 95 % interval of a paired bootstrap over people.",
        "A drop whose interval lies wholly above 0.1 point fails the conversion"
        + (": **one does**." if failed else ": none does."),
        "`fp32 → int8`: enrolled by fp32, seen by int8. fp16 is simulated on the CPU: weights and what layers hand on",
        "are rounded to halves. People: LFW, those on whom nothing was trained or calibrated; real tracks: NUAA.",
        "An interval that reaches above 0.1 point doesn't exclude such a drop: so many people can't tell.",
        "",
        "| protocol | precision | people | genuine | impostor | TAR | drop, points | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        drop = result.drop
        told = f"{100 * drop.value:+.2f} [{100 * drop.low:+.2f}, {100 * drop.high:+.2f}]" if drop else "–"
        lines.append(
            f"| {result.protocol} | {result.precision} | {result.people} | {result.genuine:,} | {result.impostor:,} "
            f"| {result.tar:.4f} | {told} | {'**fails**' if result.failed else ''} |"
        )
    lines += ["", "Cosine of one crop's embedding with the one that fp32 gives:", ""]
    lines += ["| precision | clean: mean | least | degraded: mean | least |", "|---|---|---|---|---|"]
    lines += [f"| {name} | " + " | ".join(f"{v:.5f}" for v in row.values()) + " |" for name, row in similar.items()]
    lines += ["", "CPU milliseconds a face, one thread, taking turns in one process:", ""]
    lines += ["| precision | median | least |", "|---|---|---|"]
    lines += [f"| {name} | {row['median']:.1f} | {row['least']:.1f} |" for name, row in speed.items()]
    return (
        "\n".join(lines)
        + "\n\nMade by `make precision`; the least time is the one to compare on a machine that is shared.\n"
    )


def write_accuracy(manifest: Path, results: Sequence[Result], similar: Table) -> None:
    """Put the figures of int8 into its description, those of fp16 beside them; nothing else in it changes."""
    described: dict[str, Any] = json.loads(manifest.read_text())
    described["accuracy"] = {
        "measure": "TAR at FAR 1e-3, drop against fp32 with the 95 % interval of a paired bootstrap over identities",
        **_accuracy("int8", results, similar),
        "fp16": {"made": "simulated on a CPU, the embedder alone", **_accuracy("fp16", results, similar)},
    }
    manifest.write_text(written(described))


def _accuracy(precision: str, results: Sequence[Result], similar: Table) -> dict[str, Any]:
    ours = [result for result in results if precision in result.precision]
    return {
        "protocols": [
            {
                "protocol": result.protocol,
                "precision": result.precision,
                "people": result.people,
                "tar": round(result.tar, 5),
                "drop": [round(value, 5) for value in (result.drop.value, result.drop.low, result.drop.high)],
            }
            for result in ours
            if result.drop is not None
        ],
        "cosine_to_fp32": {name: round(value, 5) for name, value in similar[precision].items()},
        "failed": any(result.failed for result in ours),
    }
