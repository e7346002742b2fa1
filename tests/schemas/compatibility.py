"""What a reader who checks against an older schema would trip over in a newer one of the same major version."""

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]
_LOWER, _UPPER = ("minimum", "minLength", "minItems"), ("maximum", "maxLength", "maxItems")


def breaks(released: Schema, current: Schema) -> list[str]:
    """One line for each value that ``current`` allows and ``released`` refuses; empty: readers notice nothing.

    Knows the words that our schemas use. Fields may be added, bounds tightened, choices dropped; nothing else.
    """
    return list(_breaks("", released, current, released, current))


def _breaks(path: str, old: Schema, new: Schema, old_root: Schema, new_root: Schema) -> Iterator[str]:
    old, new = _resolved(old, old_root), _resolved(new, new_root)
    if "anyOf" in old or "anyOf" in new:
        yield from _alternatives(path, old, new, old_root, new_root)
        return
    yield from _words(path, old, new)
    yield from (f"{path}/{name}: may be missing" for name in _required(old) - _required(new))
    for name, field in old.get("properties", {}).items():
        if name in new.get("properties", {}):
            yield from _breaks(f"{path}/{name}", field, new["properties"][name], old_root, new_root)
    if "items" in old:
        yield from _breaks(f"{path}/*", old["items"], new.get("items", {}), old_root, new_root)


def _alternatives(path: str, old: Schema, new: Schema, old_root: Schema, new_root: Schema) -> Iterator[str]:
    """Each alternative of the new schema must be one of the old."""
    for choice in new.get("anyOf", [new]):
        found = [list(_breaks(path, other, choice, old_root, new_root)) for other in old.get("anyOf", [old])]
        if all(found):
            yield from min(found, key=len)


def _words(path: str, old: Schema, new: Schema) -> Iterator[str]:
    if "type" in old and new.get("type") not in (old["type"], *(("integer",) if old["type"] == "number" else ())):
        yield f"{path}: is {new.get('type', 'anything')}, was {old['type']}"
    added = set(_choices(new) or ()) - set(_choices(old) or ())
    if _choices(old) is not None and (added or _choices(new) is None):
        yield f"{path}: may be {sorted(added) or 'anything'}"
    if "pattern" in old and new.get("pattern") != old["pattern"]:
        yield f"{path}: looks otherwise"
    for names, beyond in ((_LOWER, lambda now, then: now < then), (_UPPER, lambda now, then: now > then)):
        for name in names:
            if name in old and (name not in new or beyond(new[name], old[name])):
                yield f"{path}: {name} is {new.get(name, 'none')}, was {old[name]}"


def _resolved(schema: Schema, root: Schema) -> Schema:
    reference = schema.get("$ref")
    return root["$defs"][reference.removeprefix("#/$defs/")] if reference else schema


def _required(schema: Schema) -> set[str]:
    return set(schema.get("required", ()))


def _choices(schema: Schema) -> list[str] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")
