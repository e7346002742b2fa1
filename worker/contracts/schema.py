"""JSON Schema, draft 2020-12, of a model as it is written."""

import re
from typing import Any

from pydantic import BaseModel


def schema(model: type[BaseModel]) -> dict[str, object]:
    """The schema of what ``model`` writes.

    Open: a later version of the same major number may add fields, and readers pass over what they don't know.
    """
    described: dict[str, object] = _published(model.model_json_schema(mode="serialization"))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **described}


def _published(node: Any) -> Any:
    """Open, without titles that repeat names, paragraphs on one line, tuples as arrays of one kind.

    The last reads the same in draft 7, which AsyncAPI's tools speak.
    """
    if isinstance(node, list):
        return [_published(value) for value in node]
    if not isinstance(node, dict):
        return node
    kept = {key: value for key, value in node.items() if key != "additionalProperties"}
    if isinstance(kept.get("properties"), dict):
        kept["properties"] = {name: _untitled(value) for name, value in kept["properties"].items()}
    kinds = kept.get("prefixItems")
    if kinds and all(kind == kinds[0] for kind in kinds):
        del kept["prefixItems"]
        kept["items"] = kinds[0]
    if isinstance(kept.get("description"), str):
        kept["description"] = re.sub(r"(?<!\n)\n(?!\n)", " ", kept["description"])
    return {key: _published(value) for key, value in kept.items()}


def _untitled(node: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in node.items() if key != "title"}
