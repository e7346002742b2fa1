"""The whole suite in two runs: both are shown with what they skipped, and neither's failure is lost."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import parts

ROOT = Path(__file__).parents[1]
SUITE = """
import pytest

def test_alone():
    assert {alone}

@pytest.mark.kafka
def test_with_a_broker():
    assert {with_a_broker}

@pytest.mark.kafka
def test_skipped():
    pytest.skip("no such broker")
"""


WITH_A_BROKER = "import pytest\n\n@pytest.mark.kafka\ndef test_with_a_broker(): pass"


def start(folder: Path, *arguments: str, deaf: bool = False) -> subprocess.Popen[str]:
    """With the markers of this suite, over the files of the folder, where the log is written too.

    ``deaf``: with SIGINT ignored, as a shell starts what is to run in the background.
    """
    command = [sys.executable, "-m", "tests.parts", "-c", str(ROOT / "pyproject.toml"), "-p", "no:cacheprovider"]
    return subprocess.Popen(
        [*command, *arguments, str(folder)], cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if deaf else None,
    )  # fmt: skip


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """To its end: the exit code, and what was printed."""
    with start(folder, *arguments) as started:
        printed, _ = started.communicate(timeout=120)
    return started.returncode, printed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("alone", "with_a_broker"), [(False, True), (True, False)], ids=["alone fails", "with a broker fails"]
)
def test_what_fails_in_either_part_fails(tmp_path: Path, alone: bool, with_a_broker: bool) -> None:
    """By the exit code, with both parts' results in order."""
    (tmp_path / "test_suite.py").write_text(SUITE.format(alone=alone, with_a_broker=with_a_broker))
    found, printed = run(tmp_path)
    assert found == 1, printed
    first, second = printed.split("== the tests with a broker ==")
    assert f"1 {'passed' if alone else 'failed'}, 2 deselected" in first
    assert f"1 {'passed' if with_a_broker else 'failed'}, 1 skipped, 1 deselected" in second
    assert "no such broker" in second


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ([0, 0], 0),
        ([1, 0], 1),
        ([0, 2], 2),
        ([5, 0], 0),
        ([0, 5], 0),
        ([5, 1], 1),
        ([1, 5], 1),
        ([5, 5], 5),
        ([-9, 0], -9),
    ],
)
def test_codes_of_both(codes: list[int], code: int) -> None:
    """5 (nothing selected) is no failure of one part, and one of both."""
    assert parts._code(codes) == code


@pytest.mark.slow
def test_a_part_without_tests(tmp_path: Path) -> None:
    """Is no failure."""
    (tmp_path / "test_suite.py").write_text(WITH_A_BROKER)
    found, printed = run(tmp_path)
    assert found == 0, printed
    assert "1 deselected" in printed and "1 passed" in printed


def test_it_divides_by_marks_itself(tmp_path: Path) -> None:
    """A -m of the caller's would undo that: refused in a line, and nothing runs."""
    for argument in (["-m", "slow"], ["-mslow"]):
        code, printed = run(tmp_path, *argument)
        assert code == 4 and printed.count("\n") == 1 and "takes no -m" in printed


@pytest.mark.slow
@pytest.mark.parametrize("deaf", [False, True])
def test_what_the_killed_run_had_to_say(tmp_path: Path, deaf: bool) -> None:
    """Is in a file, also of the part whose output is shown at the end alone."""
    (tmp_path / "test_suite.py").write_text(f"{WITH_A_BROKER}; open('began', 'w').close(); import time; time.sleep(60)")
    with start(tmp_path, "-s", deaf=deaf) as killed:
        while not (tmp_path / "began").exists():
            assert killed.poll() is None
            time.sleep(0.1)
        killed.send_signal(signal.SIGTERM)
        killed.communicate(timeout=60)
    assert "KeyboardInterrupt" in (tmp_path / "out" / "tests-with-a-broker.log").read_text()
