"""``values.schema.json``: from the comments of ``values.yaml``, the worker's settings and the schemas of Kubernetes."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from helm.values.comments import Value
from worker.settings import Settings

KUBERNETES = "1.34"
"""Whose definitions of pods' parts are used; what came later can't be given through these values."""

_PARTS = "kubernetes."
_SETTINGS = "worker."
_KINDS = {bool: "boolean", int: "integer", float: "number", str: "string"}
_KEPT = ("enum", "pattern", "minimum", "maximum", "minLength", "maxLength")


def schema(values: list[Value]) -> dict[str, Any]:
    """The whole schema. Nothing that isn't named in it may be given, at no depth."""
    definitions: dict[str, Any] = _settings()
    root = _group("", values, definitions)
    # Helm hands the parent chart's globals down to every chart.
    root["properties"]["global"] = {"type": "object", "description": "Of a parent chart; not used here."}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Values of the chart faceline",
        **root,
        "$defs": dict(sorted(definitions.items())),
    }


def _group(path: str, values: list[Value], definitions: dict[str, Any]) -> dict[str, Any]:
    prefix = f"{path}." if path else ""
    children = [v for v in values if v.path.startswith(prefix) and "." not in v.path.removeprefix(prefix)]
    groups = [v.path.removeprefix(prefix) for v in children if not v.is_leaf or v.rules.get("settings")]
    return {
        "type": "object",
        "additionalProperties": False,
        **({"required": groups} if groups else {}),  # null takes a group's defaults away, and templates rely on them
        "properties": {v.path.removeprefix(prefix): _one(v, values, definitions) for v in children},
    }


def _one(value: Value, values: list[Value], definitions: dict[str, Any]) -> dict[str, Any]:
    described = {"description": value.description} if value.description else {}
    if value.rules.get("settings"):
        return {**described, "$ref": f"#/$defs/{_SETTINGS}Settings"}
    if not value.is_leaf:
        return {**described, **_group(value.path, values, definitions)}
    return {**described, **_leaf(value, definitions)}


def _leaf(value: Value, definitions: dict[str, Any]) -> dict[str, Any]:
    rules = value.rules
    if "k8s" in rules:
        return _part(rules["k8s"], definitions)
    if "map" in rules:
        # By false and not by propertyNames: for the latter Helm's validator tells a path that isn't the map's.
        taken = {"properties": dict.fromkeys(rules["taken"], False)} if "taken" in rules else {}
        return {"type": "object", "additionalProperties": _within(rules["map"], definitions), **taken}
    kept = {name: rules[name] for name in _KEPT if name in rules}
    if "type" not in rules and any(not isinstance(each, str) for each in rules.get("enum", ())):
        return kept  # of several types, all of them listed
    return {"type": rules.get("type", _KINDS[type(value.default)]), **kept}


def _within(rule: Any, definitions: dict[str, Any]) -> Any:
    """A rule with every ``k8s`` in it resolved."""
    if isinstance(rule, list):
        return [_within(each, definitions) for each in rule]
    if not isinstance(rule, dict):
        return rule
    if "k8s" not in rule:
        return {name: _within(each, definitions) for name, each in rule.items()}
    part = _part(rule["k8s"], definitions)
    if left_out := rule.get("without"):
        whole = definitions[part["$ref"].removeprefix("#/$defs/")]
        properties = {name: each for name, each in whole["properties"].items() if name not in left_out}
        required = [name for name in whole.get("required", ()) if name not in left_out]
        return {**whole, "properties": properties, **({"required": required} if "required" in whole else {})}
    return part


def _part(name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """A reference to a part of Kubernetes' API, which is put into ``definitions`` with all that it refers to."""
    key = f"{_PARTS}{name.removeprefix('io.k8s.')}"
    if key not in definitions:
        definitions[key] = {}  # parts may refer to themselves
        definitions[key] = _plain(_kubernetes()[name], definitions)
    return {"$ref": f"#/$defs/{key}"}


def _plain(node: Any, definitions: dict[str, Any]) -> Any:
    """Without descriptions and what is Kubernetes' own; references lead to our definitions."""
    if isinstance(node, list):
        return [_plain(each, definitions) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return _part(node["$ref"].rpartition("/")[2], definitions)
    made = {}
    for name, each in node.items():
        if name == "properties":
            made[name] = {key: _plain(value, definitions) for key, value in each.items()}
        elif name != "description" and not name.startswith("x-kubernetes"):
            made[name] = _plain(each, definitions)
    return made


@cache
def _kubernetes() -> dict[str, Any]:
    folder = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{KUBERNETES}.0-local-strict"
    definitions: dict[str, Any] = json.loads((folder / "_definitions.json").read_text())["$defs"]
    return definitions


def _settings() -> dict[str, Any]:
    """The worker's settings and their groups."""
    whole = Settings.model_json_schema(ref_template=f"#/$defs/{_SETTINGS}{{model}}")
    groups = whole.pop("$defs")
    return {f"{_SETTINGS}{name}": _bare(each) for name, each in {**groups, "Settings": whole}.items()}


def _bare(node: Any) -> Any:
    """Without what pydantic adds for itself; paths are texts, since ``format: path`` is no format of JSON Schema's."""
    if isinstance(node, list):
        return [_bare(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {}
    for name, each in node.items():
        if name == "properties":
            made[name] = {key: _bare(value) for key, value in each.items()}
        elif name not in ("title", "default") and (name, each) != ("format", "path"):
            made[name] = _bare(each)
    return made
