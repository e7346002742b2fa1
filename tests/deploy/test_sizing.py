"""The arithmetic of docs/sizing.md, by hand and at its edges."""

import math
import subprocess
import sys

import pytest

from benchmarks import sizing
from tests.deploy import pages
from tests.deploy.tools import ROOT


def test_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """20 cameras at 10 fps and 20 ms: 4 cores of work, 7 workers at a load of 0.6, twice as many partitions."""
    rows = [
        {"size": "720p", "faces": faces, "frame_bytes": 100_000,
         "cpu_ms_a_frame": {"median": ms}, "resident_mb": {"greatest": 400.0}}
        for faces, ms in ((0, 10.0), (1, 20.0), (4, 50.0))
    ]  # fmt: skip
    files = {
        "sizing": {"rows": rows},
        "soak": {"resident_mb": {"greatest": 345.0}},
        "kafka": {"latency": {"modes": {"exactly_once": {"busy": 0.6}}}},
    }
    monkeypatch.setattr(sizing, "measured", files.__getitem__)
    assert sizing.size_of(20, 10, "720p", 1) == sizing.Size(200, 20.0, 4.0, 7, 640, 24, 20.0, 72.0)
    assert [sizing.at("720p", faces, "cpu_ms_a_frame") for faces in (0, 0.5, 2, 6)] == [10, 15, 30, 70]
    assert sizing.size_of(1, 1, "720p", 0).workers == 1
    assert sizing.size_of(2000, 10, "720p", 4).partitions == 2 * math.ceil(20_000 * 0.05 / 0.6)


@pytest.mark.parametrize("row", sizing.measured("sizing")["rows"], ids=lambda row: f"{row['size']}-{row['faces']}")
def test_a_measured_case_is_as_measured(row: dict) -> None:
    """At a size and a number of faces that were measured the figure is the measured one."""
    assert sizing.at(row["size"], row["faces"], "cpu_ms_a_frame") == pytest.approx(row["cpu_ms_a_frame"]["median"])


@pytest.mark.parametrize(("resident", "word"), [({}, "at the end"), ({"resident": "peak"}, "peak")])
def test_the_page_says_which_memory_it_tells_of(
    resident: dict[str, str], word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read once, at the end of a run, isn't called the most of it."""
    found = {name: value for name, value in sizing.measured("sizing").items() if name != "resident"} | resident
    files = {"sizing": found, **{name: sizing.measured(name) for name in ("kafka", "soak")}}
    for module in (sizing, pages):
        monkeypatch.setattr(module, "measured", files.__getitem__)
    assert f"resident MB, {word} |" in pages._cost() and f"any run held ({word})" in pages._constants()


def test_the_command() -> None:
    """As the page has it."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sizing", "--cameras", "20", "--fps", "10", "--faces", "1", "--size", "720p"],
        capture_output=True, text=True, timeout=60, cwd=ROOT, check=True,
    )  # fmt: skip
    told = dict(line.split() for line in done.stdout.splitlines())
    assert told["frames_per_second"] == "200.0"
    assert told["workers"] == str(sizing.size_of(20, 10, "720p", 1).workers)
