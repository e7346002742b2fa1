"""``python -m helm.values``: write ``values.schema.json`` and the tables of ``README.md`` anew."""

import json
from pathlib import Path

from helm.values.comments import read
from helm.values.readme import rewritten
from helm.values.schema import schema

CHART = Path(__file__).parents[1] / "faceline"


def made() -> dict[Path, str]:
    """Each file that is made, with the text that it should have."""
    values = read((CHART / "values.yaml").read_text())
    whole = schema(values)
    page = CHART / "README.md"
    return {
        CHART / "values.schema.json": json.dumps(whole, indent=1, ensure_ascii=False) + "\n",
        page: rewritten(page.read_text(), values, whole),
    }


if __name__ == "__main__":
    for path, text in made().items():
        path.write_text(text)
