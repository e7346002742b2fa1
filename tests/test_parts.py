"""The whole suite in two runs: both are shown with what they skipped, and neither's failure is lost."""

import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("alone", "with_a_broker", "code"), [(True, True, 0), (False, True, 1), (True, False, 1)],
    ids=["both pass", "alone fails", "with a broker fails"],
)  # fmt: skip
def test_what_fails_in_either_part_fails(tmp_path: Path, alone: bool, with_a_broker: bool, code: int) -> None:
    """By the exit code, with both parts' results in order."""
    (tmp_path / "test_suite.py").write_text(SUITE.format(alone=alone, with_a_broker=with_a_broker))
    command = [sys.executable, "-m", "tests.parts", "-c", str(ROOT / "pyproject.toml"), "-p", "no:cacheprovider"]
    done = subprocess.run([*command, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    first, second = done.stdout.split("== the tests with a broker ==")
    assert f"1 {'passed' if alone else 'failed'}, 2 deselected" in first
    assert f"1 {'passed' if with_a_broker else 'failed'}, 1 skipped, 1 deselected" in second
    assert "no such broker" in second
