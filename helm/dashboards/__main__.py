"""``python -m helm.dashboards``: write the dashboards that the chart and Compose provision."""

import argparse
import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from helm.dashboards import cameras, gallery, operations, recognition

BOARDS = (operations.BOARD, recognition.BOARD, cameras.BOARD, gallery.BOARD)
OUT = Path(__file__).parents[1] / "faceline" / "dashboards"


def texts() -> dict[str, str]:
    """Each dashboard's JSON by the name of its file; the same text every time."""
    return {
        f"{board.name}.json": json.dumps(
            board.build().build(), cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False
        )
        + "\n"
        for board in BOARDS
    }


def main() -> None:
    """Write them."""
    parser = argparse.ArgumentParser(prog="python -m helm.dashboards", description="write Grafana's dashboards as JSON")
    parser.add_argument("--out", type=Path, default=OUT, help="folder to write to")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        (out / name).write_text(text, encoding="utf-8")
        print(out / name)


if __name__ == "__main__":
    main()
