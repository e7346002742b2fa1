"""``python -m tests.deploy.pictures``: what the dashboards show of a real site, plotted by our own code.

It is no picture of Grafana: the panels' queries are asked of Prometheus and drawn where the panels lie.
"""

import argparse
import io
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
from matplotlib import pyplot
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from PIL import Image

from tests.deploy.drawing import FAINT, GREY, draw
from tests.deploy.grafana import NAMES, Chosen, board, targets
from tests.deploy.pictured_run import SCRAPE_SECONDS, Run, observe
from tests.deploy.prometheus_server import Answer, Server
from tests.deploy.tools import ROOT

OUT = ROOT / "docs" / "images"
WIDTH, COLUMNS, UNIT, HEAD = 1240, 24, 27, 52  # pixels; a panel's height is counted in units
DPI = 100
PADDING = 4
CAPTION = "The panels' queries on a real Prometheus, plotted by our own code: not Grafana's rendering."
COLOURS = 72


class Page:
    """One dashboard's picture."""

    def __init__(self, name: str, run: Run, server: Server) -> None:
        self._board, self._run, self._server = board(name), run, server
        values = {"namespace": [".*"], "job": ["lobby/faceline"], "pod": [".*"], "instance": [".*"], "camera": [".*"]}
        self._chosen = Chosen(values, round(run.end - run.start), SCRAPE_SECONDS, SCRAPE_SECONDS)

    def draw(self) -> Figure:
        """Everything in its place."""
        placed = list(self._placed())
        height = HEAD + UNIT * max(y + panel["gridPos"]["h"] for panel, y, _ in placed) + PADDING
        figure = pyplot.figure(figsize=(WIDTH / DPI, height / DPI), dpi=DPI, facecolor="#f4f5f5")
        self._headline(figure, height)
        for panel, y, chosen in placed:
            self._panel(figure, height, panel, y, chosen)
        return figure

    def _placed(self) -> Iterator[tuple[dict[str, Any], int, Chosen]]:
        """Panels with their first line; a repeated row comes once for each value, those after it move down."""
        repeated = [panel for panel in self._board["panels"] if panel.get("repeat")]
        start = repeated[0]["gridPos"]["y"] if repeated else None
        below = [panel for panel in self._board["panels"] if start is not None and panel["gridPos"]["y"] >= start]
        for panel in self._board["panels"]:
            if panel not in below:
                yield panel, panel["gridPos"]["y"], self._chosen
        if not below or start is None:
            return
        lines = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in below) - start
        variable = repeated[0]["repeat"]
        for number, value in enumerate(self._values(variable)):
            chosen = Chosen({**self._chosen.values, variable: [value]}, self._chosen.range_seconds,
                            SCRAPE_SECONDS, SCRAPE_SECONDS)  # fmt: skip
            for panel in below:
                title = panel["title"].replace(f"${variable}", value)
                yield {**panel, "title": title}, panel["gridPos"]["y"] + number * lines, chosen

    def _values(self, variable: str) -> list[str]:
        selector = self._chosen.put_into('faceline_camera_frames_total{job=~"$job"}')
        return self._server.label_values(variable, selector, self._run.start, self._run.end)

    def _headline(self, figure: Figure, height: int) -> None:
        at = datetime.fromtimestamp(self._run.start, UTC), datetime.fromtimestamp(self._run.end, UTC)
        figure.text(8 / WIDTH, 1 - 15 / height, self._board["title"], fontsize=12, weight="bold", va="center")
        said = f"{CAPTION} {at[0]:%H:%M:%S}-{at[1]:%H:%M:%S} UTC. Dotted: a worker started."
        figure.text(8 / WIDTH, 1 - 37 / height, said, fontsize=7.5, color=GREY, va="center")

    def _panel(self, figure: Figure, height: int, panel: Mapping[str, Any], y: int, chosen: Chosen) -> None:
        grid = panel["gridPos"]
        left, width = grid["x"] * WIDTH / COLUMNS, grid["w"] * WIDTH / COLUMNS
        top, tall = HEAD + y * UNIT, grid["h"] * UNIT
        if panel["type"] == "row":
            figure.text((left + 8) / WIDTH, 1 - (top + tall * 0.6) / height, f"▾ {panel['title']}", fontsize=9.5,
                        weight="bold", va="center")  # fmt: skip
            return
        box = (left + PADDING) / WIDTH, 1 - (top + tall - PADDING) / height
        size = (width - 2 * PADDING) / WIDTH, (tall - 2 * PADDING) / height
        figure.patches.append(FancyBboxPatch(box, *size, boxstyle="round,pad=0,rounding_size=0.002", facecolor="white",
                                             edgecolor=FAINT, transform=figure.transFigure, zorder=-1))  # fmt: skip
        figure.text(
            (left + 12) / WIDTH, 1 - (top + 15) / height, panel["title"], fontsize=8, weight="bold", va="center"
        )
        answers = [self._answer(target.expression, target.instant, chosen) for target in targets(panel)]
        above, under, beside = (34, 42, 54) if panel["type"] == "timeseries" else (26, 8, 14)
        axes = figure.add_axes((
            (left + beside) / WIDTH, 1 - (top + tall - under) / height,
            (width - beside - 16) / WIDTH, (tall - above - under) / height,
        ))  # fmt: skip
        draw(axes, panel, answers, self._starts())

    def _answer(self, expression: str, instant: bool, chosen: Chosen) -> Answer:
        query = chosen.put_into(expression)
        if instant:
            return self._server.query(query, self._run.end)
        return self._server.query_range(query, self._run.start, self._run.end, SCRAPE_SECONDS)

    def _starts(self) -> list[float]:
        marks = self._server.query(self._chosen.put_into(self._board["annotations"]["list"][0]["expr"]), self._run.end)
        times = [float(mark["value"][1]) / 1000 for mark in marks]
        return [at for at in times if self._run.start < at < self._run.end]


def save(figure: Figure, path: Path) -> None:
    """A picture of few colours, so that it stays small."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor=figure.get_facecolor())
    pyplot.close(figure)
    with Image.open(buffer) as image:
        image.convert("RGB").quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
            path, optimize=True
        )
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    """Run a site, or take up an earlier run, and draw."""
    parser = argparse.ArgumentParser(prog="python -m tests.deploy.pictures", description=__doc__)
    parser.add_argument("--run", type=Path, metavar="DIR", help="where a run's data are kept; an earlier one is drawn")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="folder for the pictures")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    mpl.use("agg")
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.run or Path(scratch)
        run = Run.read(folder) if (folder / "run.json").exists() else observe(folder)
        with Server(folder) as server:
            for name in NAMES:
                save(Page(name, run, server).draw(), options.out / f"dashboard-{name}.png")


if __name__ == "__main__":
    main()
