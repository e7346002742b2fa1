"""A Prometheus to ask: over blocks that were made, or over what it scrapes. ``promtool`` makes the blocks."""

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.broker.cluster import free_ports
from tests.deploy import tools

START_SECONDS = 30.0
Answer = list[dict[str, Any]]
"""Series with their labels under ``metric``, and ``value`` or ``values``."""


class BadQuery(Exception):
    """Prometheus refuses the expression; the text is its own."""


class Server:
    """One server process on a free port; its data lie in ``folder``."""

    def __init__(self, folder: Path, config: str = "") -> None:
        self.port = free_ports(1)[0]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "prometheus.yml").write_text(config)
        (folder / "data").mkdir(exist_ok=True)
        self._log = folder / "prometheus.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [
                    str(tools.prometheus()),
                    f"--config.file={folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    "--storage.tsdb.retention.time=100y",  # what is made is older than two weeks
                    f"--web.listen-address=127.0.0.1:{self.port}",
                ],
                stdout=log,
                stderr=log,
            )

    def __enter__(self) -> "Server":
        try:
            self._until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(30)

    def query(self, expression: str, at: float) -> Answer:
        """The value at a time, in seconds since 1970. Raises ``BadQuery``."""
        found: Answer = self._get("query", query=expression, time=at)["result"]
        return found

    def query_range(self, expression: str, start: float, end: float, step: float) -> Answer:
        """The values from ``start`` to ``end``, one each ``step`` seconds. Raises ``BadQuery``."""
        found: Answer = self._get("query_range", query=expression, start=start, end=end, step=step)["result"]
        return found

    def label_values(self, label: str, selector: str, start: float, end: float) -> list[str]:
        """What a label is worth on the series of a selector. Raises ``BadQuery``."""
        found: list[str] = self._get(f"label/{label}/values", **{"match[]": selector}, start=start, end=end)
        return found

    def _get(self, path: str, **parameters: object) -> Any:
        address = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(address, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise BadQuery(f"{parameters}: {json.load(error)['error']}") from error

    def _until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5):
                    return
            except OSError:
                assert self._process.poll() is None, f"Prometheus ended: {self._log.read_text()[-2000:]}"
                assert time.monotonic() < deadline, f"Prometheus isn't ready: {self._log.read_text()[-2000:]}"
                time.sleep(0.05)


def load(folder: Path, lines: Sequence[str]) -> None:
    """Samples as OpenMetrics text, each with its time, into the data of a server that doesn't run yet."""
    text = folder / "made.txt"
    folder.mkdir(parents=True, exist_ok=True)
    text.write_text("\n".join((*lines, "# EOF\n")))
    done = tools.run(tools.promtool(), "tsdb", "create-blocks-from", "openmetrics", str(text), str(folder / "data"))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
