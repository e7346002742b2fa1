"""The benchmark runs, compares like with like, and says so when it can't; no time is asserted."""

import json
import math

import pytest

from worker.__main__ import main
from worker.bench.contenders import Seen
from worker.bench.measure import _agree
from worker.errors import FacelineError

pytestmark = pytest.mark.models


@pytest.mark.slow
def test_quick_run_reports_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    """Six scenes, four contenders, four ratios, all finite and positive, and every stage was measured."""
    assert main(["bench", "--quick", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [(row["size"], row["faces"]) for row in report["rows"]] == [
        (size, faces) for size in ("720p", "1080p") for faces in (0, 1, 4)
    ]
    for row in report["rows"]:
        assert len(row["frames_per_second"]) == 4
        assert len(row["ratios"]) == 4
        figures = [f["median"] for f in (*row["frames_per_second"].values(), *row["ratios"].values())]
        assert all(math.isfinite(figure) and figure > 0 for figure in figures)
        assert {"decode", "detect"} <= set(row["stage_ms"]["faceline, every face"])
    assert all(megabytes > 50 for megabytes in report["peak_memory_mb"].values())


class _Fixed:
    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    def process(self, value: bytes) -> Seen:
        return self._seen


@pytest.mark.parametrize(
    ("other", "message"),
    [(Seen(2, ("ann",)), "found 2 faces"), (Seen(1, ()), "name different people")],
)
def test_unlike_work_is_not_compared(other: Seen, message: str) -> None:
    """A contender that finds other faces or names ends the run."""
    with pytest.raises(FacelineError, match=message):
        _agree({"a": _Fixed(Seen(1, ("ann",))), "b": _Fixed(other)}, [b"frame"], 1)
