"""``faceline schemas``: the JSON Schemas of everything that crosses the edge."""

import argparse
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from worker.gallery.records import PersonRecord
from worker.messages import IdentityEvent, TrackSummary

SCHEMAS: dict[str, type[BaseModel]] = {
    "identity-event.v1.json": IdentityEvent,
    "person-record.v1.json": PersonRecord,
    "track-summary.v1.json": TrackSummary,
}
"""By file name. The number is the major version: within it, what was released goes on validating."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command."""
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write one file a schema here (default: print them all)"
    )
    parser.epilog = """examples:
  faceline schemas --out schemas/
  faceline schemas | jq '."identity-event.v1.json".properties'"""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write or print."""
    if options.out is None:
        print(json.dumps({name: schema(model) for name, model in SCHEMAS.items()}, indent=2))
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    for name, model in SCHEMAS.items():
        (options.out / name).write_text(json.dumps(schema(model), indent=2, ensure_ascii=False) + "\n")
    return 0


def schema(model: type[BaseModel]) -> dict[str, object]:
    """JSON Schema, draft 2020-12, of what ``model`` writes.

    Open: a later version of the same major number may add fields, and readers pass over what they don't know.
    """
    described: dict[str, object] = opened(model.model_json_schema(mode="serialization"))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **described}


def opened(node: Any) -> Any:
    """The same schema without ``additionalProperties: false``."""
    if isinstance(node, dict):
        return {key: opened(value) for key, value in node.items() if (key, value) != ("additionalProperties", False)}
    return [opened(value) for value in node] if isinstance(node, list) else node
