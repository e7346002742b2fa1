"""The measurements run end to end; what they find is written by ``make throughput`` and ``make soak``."""

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.reliability import latency, rates, restoring, soak, takeover
from tests.reliability.figures import fit, machine, quantiles
from tests.reliability.plant import Site, status_of
from tests.reliability.report import kafka_page, soak_page
from worker.settings import Settings

PLACE = {"machine": machine(), "frames": "as they come"}


@pytest.fixture
def site(kafka: Settings, tmp_path: Path) -> Site:
    """A frames topic on a real broker, people enrolled."""
    return Site.make(kafka.kafka, tmp_path)


@pytest.mark.usefixtures("loaded")
@pytest.mark.slow
class TestMeasurements:
    """make throughput, make soak."""

    def test_rates(self, site: Site) -> None:
        """Both modes process every frame once."""
        found = rates.measure(site, num_pairs=1, num_frames=60)
        for mode in rates.MODES:
            assert found[mode]["frames_per_second"]["median"] > 0
            assert found[mode]["commit_ms"]["median"] > 0
        first, second = (found["runs"][mode][0]["frames_per_second"] for mode in rates.MODES)
        assert found["ratios"]["frames_per_second"]["median"] == pytest.approx(first / second)
        assert _rows(kafka_page({**PLACE, "rates": found})) == 5

    def test_latency(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        """A subscriber hears of an event after it was published, and that is after its frame was taken."""
        monkeypatch.setattr(latency, "WARM_UP_SECONDS", 1.0)
        found = latency.watch(site, "exactly_once", num_cameras=1, seconds=8)  # more than an empty room
        published, arrived = found["capture_to_publish"], found["capture_to_subscriber"]
        assert published["n"] == arrived["n"] > 0
        assert 0 < published["p50"] < arrived["p50"]
        whole = {"cameras": 1, "frames_per_second": 10, "most_frames_per_second": 20, "seconds": 8}
        whole |= {"commit_interval_seconds": 0.2, "modes": {"exactly_once": found}}
        assert _rows(kafka_page({**PLACE, "latency": whole})) == 4

    def test_takeover(self, site: Site) -> None:
        """A static member that is killed and started again goes on with its partitions."""
        trials = list(takeover.kills(site, 6.0, static=True, num_trials=1))
        assert len(trials) == 1 and 0 < trials[0][0] <= trials[0][1]

    def test_restoring(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        """Topics grow while snapshots are written, and all partitions are restored from them."""
        monkeypatch.setattr(restoring, "SAMPLE_SECONDS", 4.0)
        found = restoring.measure(site, minutes=0.12)
        for kind in restoring.KINDS:
            assert found["sizes"][-1][kind] > found["sizes"][0][kind] > 0
            assert found["restores"][kind]["seconds"] > 0
        assert found["snapshots"]["bytes_an_open_track"]["median"] > 500
        assert _rows(kafka_page({**PLACE, "restoring": found})) > 8

    def test_soak(self, kafka: Settings, tmp_path: Path) -> None:
        """Every frame is processed, and memory is sampled on the way."""
        found = soak.measure(kafka.kafka, tmp_path, 300)
        frames = [sample["frames"] for sample in found["samples"]]
        assert frames[-1] == 300 and all(a < b for a, b in pairwise(frames[:-1]))
        assert found["resident_mb"]["greatest"] > 50
        assert found["errors_logged"] == []
        assert _rows(soak_page(found, soak.grows(found), soak.FLAT_KB)) == 10 + 13


def _rows(page: str) -> int:
    """Lines of tables."""
    return sum(line.startswith("|") for line in page.splitlines())


class TestFigures:
    """The numbers that reports rest on."""

    def test_a_line_is_found_with_its_slope_within(self) -> None:
        """Of noise whose neighbours are alike, the interval holds the truth as often as it says, about."""
        rng, x = np.random.default_rng(3), np.arange(200.0)
        held = 0
        for _ in range(200):
            noise = np.zeros(200)
            for at in range(1, 200):
                noise[at] = 0.8 * noise[at - 1] + rng.normal()
            line = fit(x, 3.0 * x + 10 + noise)
            held += line.low <= 3.0 <= line.high
        assert held >= 170  # 95 % are 190; half-widths estimated from 200 alike points are a little short

    def test_memory_at_its_peak(self) -> None:
        """Is told when it is given back, too: a worker that needs more for a moment needs it."""
        passing = "a = bytearray(200 << 20); del a; print(flush=True); input()"
        with subprocess.Popen(
            [sys.executable, "-c", passing], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            now, peak = status_of(process.pid, "VmRSS"), status_of(process.pid, "VmHWM")
            process.communicate(b"\n")
        assert now < 200 << 10 < peak

    def test_quantiles(self) -> None:
        """As numpy tells them."""
        found = quantiles([float(value) for value in range(101)])
        assert (found["p50"], found["p95"], found["p99"], found["max"], found["n"]) == (50, 95, 99, 100, 101)

    @pytest.mark.parametrize(("slope", "grown"), [(0.0, False), (5.0, True)])
    def test_growth(self, slope: float, grown: bool) -> None:
        """Only what surely rises counts as growth."""
        assert soak.grows({"kb_per_1000_frames": {"slope": slope, "low": slope - 1, "high": slope + 1}}) is grown
