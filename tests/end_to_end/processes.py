"""``faceline run`` as an orchestrator runs it: a process with probes, signals and an exit code."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.broker.cluster import free_ports
from tests.broker.environment import environment
from tests.end_to_end.on_kafka import PATIENCE_SECONDS, until
from worker.settings import Settings


def ask(port: int, path: str) -> tuple[int, str]:
    """Status and text that this machine answers; 0 where nothing is served (yet)."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


class Started:
    """A process as a context: killed at its end if it is still there. Its log is a file."""

    process: subprocess.Popen
    _log: Path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if error is not None:
            print(self.log[-6000:])

    @property
    def log(self) -> str:
        """Everything that it wrote."""
        return self._log.read_text()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """For its end; the exit code."""
        return self.process.wait(PATIENCE_SECONDS)


class Worker(Started):
    """One worker process."""

    def __init__(self, settings: Settings, folder: Path, *arguments: str, prefix: Sequence[str] = (),
                 **variables: str) -> None:  # fmt: skip
        self.port = free_ports(1)[0]
        self._log = folder / f"worker-{self.port}.log"
        given = {name: value for name, value in os.environ.items() if not name.startswith("FACELINE_")}
        set_here = {
            **environment(settings),
            "FACELINE_HTTP__HOST": "127.0.0.1",
            "FACELINE_HTTP__PORT": str(self.port),
            "FACELINE_SERVICE__DELIVERY": settings.service.delivery,
            **variables,
        }
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-m", "worker", "run", *arguments],
                env={**given, **set_here}, stdout=log, stderr=log,
            )  # fmt: skip

    def lines(self, **fields: object) -> list[dict[str, Any]]:
        """JSON lines of its log in which these fields have these values."""
        found = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [line for line in found if fields.items() <= line.items()]

    def tracebacks(self) -> list[str]:
        """Of ours: the client logs its own when a connection goes while it is closed."""
        ours = [line for line in self.log.splitlines() if not line.startswith("{") and "Traceback" in line]
        return ours + [str(line) for line in self.lines() if "exception" in line and "kafka" not in line["logger"]]

    def get(self, path: str) -> tuple[int, str]:
        """Status and text; 0 where nothing is served (yet)."""
        return ask(self.port, path)

    def metric(self, name: str, **labels: str) -> float:
        """A sample; 0 where there is none."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        for line in self.get("/metrics")[1].splitlines():
            sample, _, value = line.rpartition(" ")
            if sample.partition("{")[0] == name and all(each in sample for each in wanted):
                return float(value)
        return 0.0

    def until_answers(self, path: str, text: str, status: int = 503) -> str:
        """Wait for a probe's answer; the whole of it comes back."""

        def answer() -> str | None:
            assert self.process.poll() is None, f"it ended with {self.process.returncode}"
            found, body = self.get(path)
            return body if found == status and text in body else None

        body: str = until(answer)
        return body

    def until_ready(self) -> None:
        """Wait until it works."""
        self.until_answers("/readyz", "ok", 200)

    def until_frames(self, number: int) -> None:
        """Wait until so many were processed."""
        until(lambda: self.metric("faceline_frames_total", outcome="processed") >= number)

    def cpu_share(self, seconds: float) -> float:
        """Of a core, over so long from now."""
        began, used = time.monotonic(), self._cpu_seconds()
        time.sleep(seconds)
        return (self._cpu_seconds() - used) / (time.monotonic() - began)

    def _cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def changed(variables: Mapping[str, object]) -> dict[str, str]:
    """Settings by path, such as ``kafka.group_instance_id``, as variables."""
    return {f"FACELINE_{path.upper().replace('.', '__')}": str(value) for path, value in variables.items()}
