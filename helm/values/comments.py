"""``values.yaml`` read with its comments: each value's path, default, description and what it may be."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

_KEY = re.compile(r"^(?P<indent> *)(?P<name>[A-Za-z0-9_]+):")
_COMMENT = re.compile(r"^ *# ?(?P<text>.*)$")


@dataclass(frozen=True, slots=True)
class Value:
    """One value. ``rules``: what its ``# @`` lines say, as one mapping; ``children``: of a group."""

    path: str
    default: Any
    description: str
    rules: dict[str, Any] = field(default_factory=dict)

    @property
    def is_leaf(self) -> bool:
        """Whether it is described as a whole: what lies within is no value of its own."""
        return not isinstance(self.default, dict) or bool({"map", "k8s"} & set(self.rules))


def read(text: str) -> list[Value]:
    """All values in the order of the file, groups before what is in them."""
    content = yaml.safe_load(text)
    found: list[Value] = []
    for path, comments in _commented(text):
        if any(path.startswith(f"{value.path}.") and value.is_leaf for value in found):
            continue
        found.append(_value(path, _at(content, path), comments))
    return found


def _commented(text: str) -> Iterator[tuple[str, list[str]]]:
    """Every key's path with the comment lines right above it."""
    comments: list[str] = []
    above: list[tuple[int, str]] = []
    for line in text.splitlines():
        if match := _COMMENT.match(line):
            comments.append(match["text"])
            continue
        if key := _KEY.match(line):
            indent = len(key["indent"])
            above = [(depth, name) for depth, name in above if depth < indent] + [(indent, key["name"])]
            yield ".".join(name for _, name in above), comments
        comments = []


def _value(path: str, default: Any, comments: list[str]) -> Value:
    rules: dict[str, Any] = {}
    for line in comments:
        if line.startswith("@ "):
            rules |= yaml.safe_load(line.removeprefix("@ "))
    words = [line.removeprefix("-- ") for line in comments if not line.startswith("@ ")]
    return Value(path, default, " ".join(words), rules)


def _at(content: Any, path: str) -> Any:
    for name in path.split("."):
        content = content[name]
    return content
