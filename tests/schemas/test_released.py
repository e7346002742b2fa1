"""Within a major version, what was released goes on validating: the rule that subscribers rely on.

``schemas/released/VERSION/`` holds the schemas of each release (CONTRIBUTING.md says how they get there). Today's
schemas stand in for a release too, so that the check runs before there is one.
"""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.schemas.compatibility import breaks
from worker.contracts.catalogue import models
from worker.contracts.schema import schema

FOLDER = Path(__file__).parents[2] / "schemas"
FILES = sorted(FOLDER.rglob("*.json"))
ONLY_READ = {"frame-headers.v1.json"}
ALSO_READ = {"person-record.v1.json", "cloud-event-headers.v1.json"}
"""Records stay on the gallery's topic for years: a new version must read what an old one wrote, and the reverse."""
EVENT = json.loads((FOLDER / "identity-event.v1.json").read_text())


def taken_back(name: str, released: dict) -> list[str]:
    """What today's code no longer keeps of a released schema: in what it writes, and in what it reads of others."""
    model = models()[name]
    found = [] if name in ONLY_READ else breaks(released, schema(model))
    if name in ONLY_READ | ALSO_READ:
        found += [f"of others: {line}" for line in breaks(schema(model), released)]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_todays_messages_fit_what_was_released(path: Path) -> None:
    """Every file that was ever released is still generated, and nothing that it promises is taken back."""
    assert path.name in models(), "a released schema may not go: keep the message, or raise the major version"
    assert taken_back(path.name, json.loads(path.read_text())) == []


def test_producers_and_old_records_are_kept_too() -> None:
    """A header that producers may leave out, a field that old records lack: neither can become a must."""
    frame = schema(models()["frame-headers.v1.json"])
    frame["properties"] = {**frame["properties"], "ce_id": {"type": "integer"}}
    assert taken_back("frame-headers.v1.json", frame) == ["of others: /ce_id: is integer, was string"]
    person = copy.deepcopy(schema(models()["person-record.v1.json"]))
    person["required"].remove("consent_time")
    assert taken_back("person-record.v1.json", person) == ["of others: /consent_time: may be missing"]
    assert "tenant" not in person["required"], "what has a default may be missing"


def changed(change: Callable[[dict], object]) -> dict:
    """The event's schema as a careless commit might leave it."""
    new = copy.deepcopy(EVENT)
    change(new)
    return new


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s["properties"].pop("dwell_seconds") and s["required"].remove("dwell_seconds"), "/dwell_seconds"),
        (lambda s: s["required"].remove("evidence"), "/evidence: may be missing"),
        (lambda s: s["properties"]["sequence"].update(type="string"), "/sequence: is string, was integer"),
        (lambda s: s["properties"]["sequence"].pop("minimum"), "/sequence: minimum is none"),
        (lambda s: s["properties"]["dwell_seconds"].update(minimum=-1), "/dwell_seconds: minimum is -1"),
        (lambda s: s["properties"]["kind"]["enum"].append("vanished"), "/kind: may be ['vanished']"),
        (lambda s: s["properties"]["kind"].pop("enum"), "/kind: may be anything"),
        (lambda s: s["properties"]["type"].update(pattern=r"\.v2$"), "/type: looks otherwise"),
        (lambda s: s["properties"]["track_id"].update(anyOf=[{"type": "string"}, {"type": "null"}]), "/track_id: is"),
        (lambda s: s["properties"].update(quality={"type": "string"}), "/quality: is string"),
        (lambda s: s["$defs"]["IdentityMessage"]["required"].remove("reason"), "/identity/reason: may be missing"),
        (lambda s: s["$defs"]["QualityMessage"]["properties"]["norm"].update(type="string"), "/quality/norm: is"),
        (lambda s: s["$defs"]["EvidenceMessage"]["properties"]["weight"].update(maximum=100), "/evidence/*/weight"),
        (lambda s: s["$defs"]["BoxMessage"]["properties"]["pixels"].update(maxItems=5), "/box/pixels: maxItems is 5"),
        (lambda s: s["$defs"]["BoxMessage"]["properties"]["pixels"]["items"].update(type="string"), "/box/pixels/*"),
    ],
)  # fmt: skip
def test_a_breaking_change_is_caught(change: Callable[[dict], object], says: str) -> None:
    """Each with the field that readers would trip over."""
    found = breaks(EVENT, changed(change))
    assert len(found) == 1, found
    assert found[0].startswith(says)


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s["properties"].update(weather={"type": "object"}) or s["required"].append("weather"),
        lambda s: s["properties"]["sequence"].update(minimum=1),
        lambda s: s["properties"]["kind"]["enum"].remove("present"),
        lambda s: s["properties"]["dwell_seconds"].update(type="integer"),
        lambda s: s["properties"].update(quality={"$ref": "#/$defs/QualityMessage"}),
        lambda s: s["properties"].update(replaces={"type": "null"}),
        lambda s: s["properties"]["camera"].update(description="otherwise", maxLength=128),
    ],
)
def test_a_harmless_change_passes(change: Callable[[dict], object]) -> None:
    """Fields may come, bounds may tighten, words may be chosen better."""
    assert breaks(EVENT, changed(change)) == []
