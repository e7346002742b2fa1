"""The summary in the terminal."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tests.reporting import made
from worker.playback import Played
from worker.reporting.terminal import print_summary


def printed(out: Path, width: int) -> str:
    """What the made run's summary says."""
    report = made.folder_of_a_run(out)
    console = Console(file=StringIO(), width=width)
    print_summary(report.tracks(), report.last_events(), made.PLAYED, out, console)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 200])
def test_says_who_why_how_fast_and_where(tmp_path: Path, width: int) -> None:
    """At any width: names as they are, scores, reasons, refusals; the files that exist and no others."""
    text = printed(tmp_path, width)
    flat = "".join(text.split())
    assert "known,97%" in flat
    assert "0.90≥0.40" in flat
    assert "no match: Nobody enrolled looks enough like this person" in text
    assert "1 frame not processed: the image ends too early (truncated)" in text
    assert "16.0 a second" in text
    assert "".join(str(tmp_path / "report.html").split()) in flat
    assert "annotated.mp4" not in text
    assert f"faceline explain {made.record_ids(tmp_path)[0][:8]} --in" in text


def test_markup_in_names_is_text(tmp_path: Path) -> None:
    """Ids may hold brackets."""
    assert made.NAME[:6] in printed(tmp_path, 200)


def test_nobody_came(tmp_path: Path) -> None:
    """An empty table isn't printed."""
    console = Console(file=StringIO(), width=80)
    print_summary([], [], Played(), tmp_path, console)
    assert isinstance(console.file, StringIO)
    assert "No face was followed" in console.file.getvalue()
