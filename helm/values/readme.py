"""The tables of the chart's README: its values, and the worker's settings under ``config``."""

import json
import re
from typing import Any

from helm.values.comments import Value

_BLOCK = re.compile(r"(<!-- made: (?P<name>[a-z-]+) -->\n)(?P<text>.*?)(<!-- end -->)", re.DOTALL)


def rewritten(page: str, values: list[Value], schema: dict[str, Any]) -> str:
    """The page with every table made anew."""
    made = {"values": _values(values), "settings": _settings(schema["$defs"])}
    return _BLOCK.sub(lambda found: found[1] + made[found["name"]] + found[4], page)


def _values(values: list[Value]) -> str:
    lines = ["| value | default | what |", "|---|---|---|"]
    for value in values:
        if value.description:
            default = f"`{json.dumps(value.default)}`" if value.is_leaf else ""
            lines.append(f"| `{value.path}` | {_cell(default)} | {_cell(value.description + _taken(value))} |")
    return "\n".join(lines) + "\n"


def _taken(value: Value) -> str:
    names = ", ".join(f"`{name}`" for name in value.rules.get("taken", ()))
    return f" Taken by the chart: {names}." if names else ""


def _settings(definitions: dict[str, Any]) -> str:
    """Without defaults: those are the worker's, and ``faceline config`` prints them."""
    lines = ["| setting | may be | what |", "|---|---|---|"]
    for group, reference in definitions["worker.Settings"]["properties"].items():
        for name, each in definitions[reference["$ref"].removeprefix("#/$defs/")]["properties"].items():
            lines.append(f"| `config.{group}.{name}` | {_cell(_kind(each))} | {_cell(each.get('description', ''))} |")
    return "\n".join(lines) + "\n"


def _kind(node: dict[str, Any]) -> str:
    if "anyOf" in node:
        return " or ".join(_kind(each) for each in node["anyOf"])
    if "enum" in node:
        return ", ".join(f"`{each}`" for each in node["enum"])
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {node[name]:g}" for name, sign in signs.items() if name in node]
    return " ".join([node.get("type", "anything"), *bounds])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
