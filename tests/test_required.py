"""What is missing is skipped, and fails where the run requires it: by name, with the reason."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.required import REQUIRE, TOOLS, missing

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("tool", TOOLS)
def test_what_is_missing(tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Skipped with its reason unless it is named; beside others, too."""
    monkeypatch.delenv(REQUIRE, raising=False)
    with pytest.raises(pytest.skip.Exception, match="no such tool"):
        missing(tool, "no such tool")
    monkeypatch.setenv(REQUIRE, ",".join({*TOOLS} - {tool}))
    with pytest.raises(pytest.skip.Exception, match="no such tool"):
        missing(tool, "no such tool")
    monkeypatch.setenv(REQUIRE, ",".join(TOOLS))
    with pytest.raises(pytest.fail.Exception, match=f"no such tool .*names {tool}"):
        missing(tool, "no such tool")


NODES = {
    "kafka": "tests/commands/test_publish.py::test_a_broker_that_dies_costs_no_frame",
    "image": "tests/deploy/test_image.py::test_the_image_says_what_it_is",
}


def run(required: str, *nodes: str) -> subprocess.CompletedProcess[str]:
    """These tests in a run of their own, which sees no tool of the host."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *nodes],
        env={**os.environ, "PATH": "", REQUIRE: required},
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.mark.slow
def test_a_run_without_tools() -> None:
    """Fails where they are required, and skips the others."""
    done = run("kafka", *NODES.values())
    assert done.returncode == 1, done.stdout
    assert f"no Kafka: java isn't installed: install a JDK 17 or newer ({REQUIRE} names kafka)" in done.stdout
    assert "1 skipped" in done.stdout


@pytest.mark.slow
def test_a_name_that_is_none() -> None:
    """Ends the run at once: a typo would require nothing."""
    done = run("kafak", *NODES.values())
    assert done.returncode == 4 and "names kafak: expected some of" in done.stdout + done.stderr
