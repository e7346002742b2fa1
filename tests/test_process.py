"""Signals to real processes, as an orchestrator sends them; and the watchdog that ends a loop which hangs."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.clock import Clock
from worker.health import Health
from worker.process import EXIT_STALLED, Stop, Watchdog

TIMEOUT_SECONDS = 60
LOOP = """
from worker.process import Stop
with Stop() as stop:
    print("up", flush=True)
    while not stop.wait({seconds}):
        pass
    print("stopping", stop.signal.name, flush=True)
    {then}
print("done", flush=True)
"""
# Deaf to nothing but the second signal: what a commit that hangs looks like.
HANG = "import time\n    while True: time.sleep(0.01)"


@contextmanager
def process(script: str, *prefix: str) -> Iterator[subprocess.Popen[str]]:
    """A Python of its own; killed at the end if it is still there."""
    run = subprocess.Popen(
        [*prefix, sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield run
    finally:
        if run.poll() is None:
            run.kill()
        run.communicate()


def line(run: subprocess.Popen[str]) -> str:
    """The next one on standard output."""
    assert run.stdout is not None
    return run.stdout.readline().strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_wakes_a_loop_that_sleeps_for_an_hour(number: signal.Signals) -> None:
    """It stops in order, with exit code 0 and no traceback."""
    with process(LOOP.format(seconds=3600, then="pass")) as run:
        assert line(run) == "up"
        run.send_signal(number)
        out, err = run.communicate(timeout=TIMEOUT_SECONDS)
        assert (run.returncode, out, err) == (0, f"stopping {number.name}\ndone\n", "")


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [(signal.SIGTERM, signal.SIGTERM, 143), (signal.SIGTERM, signal.SIGINT, 130), (signal.SIGINT, signal.SIGINT, 130)],
)
def test_a_second_signal_ends_at_once(first: signal.Signals, second: signal.Signals, code: int) -> None:
    """Whatever the loop is at."""
    with process(LOOP.format(seconds=3600, then=HANG)) as run:
        assert line(run) == "up"
        run.send_signal(first)
        assert line(run) == f"stopping {first.name}"
        run.send_signal(second)
        out, err = run.communicate(timeout=TIMEOUT_SECONDS)
        assert (run.returncode, out, err) == (code, "", "")


def test_many_signals_in_a_busy_loop_never_deadlock() -> None:
    """Thousands of short sleeps, a signal in any of them."""
    for _ in range(5):
        with process(LOOP.format(seconds=0, then="pass")) as run:
            assert line(run) == "up"
            run.send_signal(signal.SIGTERM)
            run.communicate(timeout=TIMEOUT_SECONDS)
            assert run.returncode == 0


def test_pid_1_stops_too() -> None:
    """For the first process of a container, signals without a handler do nothing."""
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "--pid", "--fork", "true"], capture_output=True).returncode:
        pytest.skip("no right to make a PID namespace here")
    script = "import os; print(os.getpid(), flush=True)\n" + LOOP.format(seconds=3600, then="pass")
    with process(script, unshare, "--pid", "--fork", "--kill-child") as run:
        assert [line(run), line(run)] == ["1", "up"]
        (inside,) = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        os.kill(int(inside), signal.SIGTERM)
        out, _ = run.communicate(timeout=TIMEOUT_SECONDS)
        assert (run.returncode, out) == (0, "stopping SIGTERM\ndone\n")


def test_handlers_are_put_back() -> None:
    """A signal after the loop does what it did before."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with Stop() as stop:
        assert not stop.wait(0)
        signal.raise_signal(signal.SIGTERM)
        assert stop.requested
        assert stop.signal is signal.SIGTERM
        assert stop.wait(3600), "returns at once from now on"
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_watchdog_ends_a_loop_that_stands_still(caplog: pytest.LogCaptureFixture) -> None:
    """With the code for it, and a line that says where every thread stands."""
    clock, codes, ended = Clock(), [], threading.Event()

    def end(code: int) -> None:
        codes.append(code)
        ended.set()

    with Watchdog(Health(120, now=clock), 0.001, end):
        clock.seconds = 121
        assert ended.wait(TIMEOUT_SECONDS)
    assert codes == [EXIT_STALLED] == [70]
    (record,) = [record for record in caplog.records if record.name.startswith("worker")]
    assert record.levelname == "CRITICAL"
    assert "the loop hasn't turned for 121 s" in record.getMessage()
    assert any("test_process.py" in place for place in vars(record)["threads"]["MainThread"])


def test_watchdog_leaves_a_beating_loop_alone() -> None:
    """However long it works."""
    looks, codes = threading.Semaphore(0), []

    class Watched(Health):
        def why_not_alive(self) -> str | None:
            looks.release()
            return super().why_not_alive()

    clock = Clock()
    health = Watched(120, now=clock)
    with Watchdog(health, 0.001, codes.append) as watchdog:
        for _ in range(10):
            health.beat()
            clock.seconds += 100
            health.beat()
            assert looks.acquire(timeout=TIMEOUT_SECONDS)
    assert codes == []
    assert not watchdog._thread.is_alive()


def test_watchdog_ends_a_real_process() -> None:
    """The loop hangs, the process doesn't: exit code 70 and one JSON line."""
    script = """
import time
from worker import logs
from worker.health import Health
from worker.process import Watchdog
from worker.settings import LogSettings

seconds = [0.0]
def hang():
    seconds[0] = 121.0
    while True: time.sleep(3600)

logs.configure(LogSettings())
with Watchdog(Health(120, now=lambda: seconds[0]), 0.01):
    hang()
"""
    with process(script) as run:
        out, err = run.communicate(timeout=TIMEOUT_SECONDS)
        assert (run.returncode, out) == (70, "")
        told = json.loads(err)
        assert (told["level"], told["logger"]) == ("CRITICAL", "worker.process")
        assert told["threads"]["MainThread"][-1].endswith(" hang")


def test_watchdog_ends_a_process_that_hangs_in_a_log_line() -> None:
    """Whoever reads standard error has stopped reading, so that nothing more can be logged."""
    script = """
import logging, sys
from worker import logs, process
from worker.health import Health
from worker.settings import LogSettings
process._LAST_WORDS_SECONDS = 0.05
logs.configure(LogSettings())
with process.Watchdog(Health(0.05), 0.01):
    while True:
        logging.error("x" * 10000)
"""
    with process(script) as run:
        assert run.wait(timeout=TIMEOUT_SECONDS) == 70
