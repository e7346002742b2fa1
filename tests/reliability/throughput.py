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

PARTS = ("rates", "latency", "takeover", "restoring")


@dataclass(frozen=True)
class Plan:
    """How long to measure."""

    pairs: int = 9
    frames: int = 500
    latency_seconds: float = 60.0
    trials: int = 4
    minutes: float = 5.0


def measure(site: Site, part: str, plan: Plan, found: dict[str, Any]) -> Any:
    """One part. Latency needs the rates that were found before."""
    if part == "rates":
        return rates.measure(site, plan.pairs, plan.frames)
    if part == "latency":
        return latency.measure(
            site, found["rates"]["exactly_once"]["frames_per_second"]["median"], plan.latency_seconds
        )
    if part == "takeover":
        return takeover.measure(site, plan.trials)
    return restoring.measure(site, plan.minutes)


def main() -> None:
    """Measure, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for kafka.json and kafka.md")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="measure only these again")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "kafka.json"
    found = json.loads(file.read_text()) if file.exists() and tuple(options.parts) != PARTS else {}
    found |= {"machine": machine(), "frames": origin()}
    with cluster() as kafka, tempfile.TemporaryDirectory() as folder:
        for part in options.parts:
            found[part] = measure(Site.make(kafka, Path(folder)), part, Plan(), found)
            # At once: what was measured stays measured, whatever happens to the next part.
            file.write_text(json.dumps(found, indent=2) + "\n")
            (options.out / "kafka.md").write_text(report.kafka_page(found))


if __name__ == "__main__":
    main()
