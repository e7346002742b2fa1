"""Kafka's price and speed: rates, latencies, takeovers, restores, on a real broker with real frames.

``python -m tests.reliability.throughput --out benchmarks`` writes kafka.json and kafka.md.
"""

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from tests.reliability import latency, rates, report, restoring, takeover
from tests.reliability.figures import machine
from tests.reliability.footage import origin
from tests.reliability.plant import Site, cluster
from worker.settings import KafkaSettings

PARTS = ("rates", "latency", "takeover", "restoring")


@dataclass(frozen=True)
class Plan:
    """How long to measure."""

    pairs: int = 11
    frames: int = 500
    latency_seconds: float = 60.0
    trials: int = 4
    minutes: float = 5.0


def measure(kafka: KafkaSettings, folder: Path, plan: Plan, parts: tuple[str, ...] = PARTS) -> dict[str, Any]:
    """All of it, or some parts. Latency needs the rates."""
    found: dict[str, Any] = {"machine": machine(), "frames": origin()}

    def site() -> Site:
        return Site.make(kafka, folder)

    if "rates" in parts:
        found["rates"] = rates.measure(site(), plan.pairs, plan.frames)
    if "latency" in parts:
        most = found["rates"]["exactly_once"]["frames_per_second"]["median"]
        found["latency"] = latency.measure(site(), most, plan.latency_seconds)
    if "takeover" in parts:
        found["takeover"] = takeover.measure(site(), plan.trials)
    if "restoring" in parts:
        found["restoring"] = restoring.measure(site(), plan.minutes)
    return found


def main() -> None:
    """Measure, write the report, print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for kafka.json and kafka.md")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="measure only these again")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "kafka.json"
    found = json.loads(file.read_text()) if file.exists() and options.parts != PARTS else {}
    with cluster() as kafka, tempfile.TemporaryDirectory() as folder:
        found |= measure(kafka, Path(folder), Plan(), tuple(options.parts))
    file.write_text(json.dumps(found, indent=2) + "\n")
    (options.out / "kafka.md").write_text(report.kafka_page(found))


if __name__ == "__main__":
    main()
