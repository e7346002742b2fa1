"""The committed schemas are those of the code, and what the code writes validates against them."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from worker.commands.schemas import SCHEMAS, schema

FOLDER = Path(__file__).parent.parent / "schemas"


@pytest.mark.parametrize("name", SCHEMAS)
def test_committed_schema_is_the_codes(name: str) -> None:
    """No drift: 'make schemas' would change nothing."""
    assert json.loads((FOLDER / name).read_text()) == schema(SCHEMAS[name]), "run 'make schemas'"


def test_no_schema_is_left_over() -> None:
    """Every file in schemas/ is generated."""
    assert {path.name for path in FOLDER.glob("*.json")} == set(SCHEMAS)


@pytest.mark.parametrize("name", SCHEMAS)
def test_schema_is_valid_and_can_grow(name: str) -> None:
    """A schema of draft 2020-12 that asks for every field of today and lets a later minor version add some."""
    read = json.loads((FOLDER / name).read_text())
    Draft202012Validator.check_schema(read)
    assert '"additionalProperties": false' not in json.dumps(read)
    assert list(Draft202012Validator(read).iter_errors({"typo": 1}))
    assert set(read["required"]) <= set(read["properties"])
