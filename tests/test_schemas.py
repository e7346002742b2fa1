"""The committed schemas and the AsyncAPI document are those of the code, and what the code writes validates."""

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ValidationError

from tests.test_messages import DECISIONS, START_US, event
from worker.__main__ import main
from worker.commands.schemas import ASYNCAPI, files
from worker.contracts.asyncapi import document
from worker.contracts.catalogue import CHANNELS, CONTRACTS, Contract, headers_file, models
from worker.contracts.headers import DeadLetterHeaders, EventHeaders, FrameHeaders
from worker.contracts.schema import schema
from worker.errors import BadMessage
from worker.messages import FRAME_TYPE, Kind
from worker.settings import KafkaSettings, ServiceSettings, Settings
from worker.transport.codec import dead_letter, frame_headers, message_from_event
from worker.transport.log import Headers, Record
from worker.transport.topics import specs

FOLDER = Path(__file__).parent.parent / "schemas"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def committed(name: str) -> dict:
    """A schema as it is in the repository."""
    return json.loads((FOLDER / name).read_text())


def read(headers: Headers) -> dict[str, str]:
    """As a subscriber reads them."""
    return {name: value.decode() for name, value in headers}


class TestFiles:
    """What stands in schemas/."""

    @pytest.mark.parametrize("name", [*models(), ASYNCAPI])
    def test_committed_file_is_the_codes(self, name: str) -> None:
        """No drift: 'make schemas' would change nothing."""
        assert (FOLDER / name).read_text() == files(Settings())[name], "run 'make schemas'"

    def test_no_schema_is_left_over(self) -> None:
        """Every file in schemas/ is generated."""
        generated = {path.name for path in FOLDER.iterdir() if path.suffix in (".json", ".yaml")}
        assert generated == {*models(), ASYNCAPI}

    @pytest.mark.parametrize("name", models())
    def test_schema_is_valid_and_can_grow(self, name: str) -> None:
        """A schema of draft 2020-12 that asks for every field of today and lets a later minor version add some."""
        found = committed(name)
        Draft202012Validator.check_schema(found)
        assert '"additionalProperties": false' not in json.dumps(found)
        assert set(found.get("required", ())) <= set(found["properties"])

    @pytest.mark.parametrize("name", ["identity-event.v1.json", "event-headers.v1.json", "dead-letter-headers.v1.json"])
    def test_subscribers_find_every_field_explained(self, name: str) -> None:
        """In the event, in what it is made of, and in headers."""
        found = committed(name)
        parts = {name: found, **found.get("$defs", {})}
        for part, described in parts.items():
            assert described["description"], part
            silent = [k for k, v in described["properties"].items() if "description" not in v and "$ref" not in v]
            assert silent == [], f"{part}: describe them in worker/messages.py or worker/contracts/headers.py"

    def test_the_command_writes_and_prints_them(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """All files, or the schemas by name on standard output."""
        assert main(["schemas", "--out", str(tmp_path / "new")]) == 0
        assert {p.name: p.read_text() for p in (tmp_path / "new").iterdir()} == files(Settings())
        assert main(["schemas"]) == 0
        assert json.loads(capsys.readouterr().out) == {name: schema(model) for name, model in models().items()}


class TestHeaders:
    """What the codec writes is what the schemas say."""

    def check(self, model: type[BaseModel], headers: dict[str, str]) -> None:
        """Against the committed schema, and with no header that it doesn't know."""
        found = committed(headers_file(model))
        Draft202012Validator(found).validate(headers)
        assert set(headers) <= set(found["properties"])

    def test_frames(self) -> None:
        """Our own producer's; and none at all are fine too."""
        headers = read(frame_headers("door", START_US, "image/jpeg", 8))
        self.check(FrameHeaders, headers)
        self.check(FrameHeaders, {})
        assert headers["ce_type"] == FRAME_TYPE
        assert committed("frame-headers.v1.json")["properties"]["ce_type"]["const"] == FRAME_TYPE

    @pytest.mark.parametrize("kind", DECISIONS)
    @pytest.mark.parametrize("trace", [None, TRACE])
    def test_events(self, kind: str, trace: str | None) -> None:
        """Every kind, with and without a trace."""
        message = message_from_event(event(DECISIONS[kind]), "identity.events", START_US, trace)
        self.check(EventHeaders, read(message.headers))

    @pytest.mark.parametrize("timestamp_us", [START_US, -1])
    def test_dead_letters(self, timestamp_us: int) -> None:
        """Ours and those that the record came with."""
        record = Record("camera.frames", "t", 3, 17, timestamp_us, b"door", b"", (("mine", b"1"),))
        headers = read(dead_letter(record, BadMessage("truncated", "stops early"), "camera.frames.dlq").headers)
        assert headers.pop("mine") == "1"
        self.check(DeadLetterHeaders, headers)

    @pytest.mark.parametrize(
        ("model", "change"),
        [
            (EventHeaders, {"ce_type": "io.faceline.identity.confirmed.v2"}),
            (EventHeaders, {"ce_type": "io.faceline.identity.vanished.v1"}),
            (EventHeaders, {"content-type": "text/plain"}),
            (EventHeaders, {"traceparent": "00"}),
            (FrameHeaders, {"ce_type": "io.faceline.person.v1"}),
            (DeadLetterHeaders, {"dlq_offset": "-1"}),
            (DeadLetterHeaders, {"dlq_bytes": "many"}),
        ],
    )
    def test_schemas_refuse_others(self, model: type[BaseModel], change: dict[str, str]) -> None:
        """A schema that accepts anything would prove nothing; the same for a header that is missing."""
        found = committed(headers_file(model))
        example = next(c.examples() for c in CONTRACTS if c.headers is model)[0]["headers"]
        good = {name: value for name, value in example.items() if name in found["properties"]}
        validator = Draft202012Validator(found)
        assert validator.is_valid(good)
        assert not validator.is_valid({**good, **change})
        assert [name for name in found.get("required", ()) if validator.is_valid({**good, name: None})] == []

    def test_event_types_are_the_kinds(self) -> None:
        """A kind that is added to events is added to their headers."""
        pattern = committed("event-headers.v1.json")["properties"]["ce_type"]["pattern"]
        assert pattern == rf"^io\.faceline\.identity\.({'|'.join(Kind.__args__)})\.v1$"


class TestExamples:
    """They are what the code writes, of nobody."""

    @pytest.mark.parametrize("contract", [c for c in CONTRACTS if c.examples()], ids=lambda c: c.name)
    def test_examples_fit_their_schemas(self, contract: Contract) -> None:
        """Headers and value."""
        for example in contract.examples():
            if contract.headers is not None:
                Draft202012Validator(committed(headers_file(contract.headers))).validate(example["headers"])
            if contract.model is not None:
                Draft202012Validator(committed(f"{contract.name}.json")).validate(example["payload"])

    def test_events_show_every_kind_and_a_retraction(self) -> None:
        """One life of a track, its sequence without a gap."""
        shown = [example["payload"] for c in CONTRACTS if c.role == "events" for example in c.examples()]
        assert [e["kind"] for e in shown] == ["appeared", "tentative", "confirmed", "present", "revised", "departed"]
        assert set(Kind.__args__) == {e["kind"] for e in shown}
        assert [e["sequence"] for e in shown] == list(range(6))
        assert shown[4]["replaces"] == shown[2]["id"]


class TestAsyncApi:
    """The document against the topics that are created."""

    def test_every_topic_is_described(self) -> None:
        """Each role has a channel and a message on it; nothing is described that isn't created."""
        roles = {spec.role for spec in specs(Settings())}
        assert roles == set(CHANNELS), "worker/contracts/catalogue.py: give the topic an entry in CHANNELS"
        assert roles == {contract.role for contract in CONTRACTS if contract.role}, "and a message in CONTRACTS"

    def test_bindings_are_what_is_created(self) -> None:
        """Names, partitions and settings."""
        channels = document(Settings(), partitions=4)["channels"]
        for spec in specs(Settings(), 4):
            kafka = channels[spec.role]["bindings"]["kafka"]
            assert (kafka["topic"], channels[spec.role]["address"]) == (spec.name, spec.name)
            assert kafka["partitions"] == (spec.partitions or 4)
            written = dict(kafka["topicConfiguration"])
            assert written.pop("cleanup.policy") == [spec.config.get("cleanup.policy", "delete")]
            created = {k: float(v) for k, v in spec.config.items() if k != "cleanup.policy"}
            assert written == created

    def test_settings_name_topics_brokers_and_security(self) -> None:
        """A deployment's own document; its password isn't in it."""
        kafka = KafkaSettings.model_validate({
            "bootstrap_servers": "a:9093, b:9093", "security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": "worker", "sasl_password": "not-for-subscribers", "ssl_certfile": "/c.pem",
        })  # fmt: skip
        settings = Settings(kafka=kafka, service=ServiceSettings(application_id="shop"))
        made = document(settings)
        assert made["channels"]["events"]["address"] == "shop.identity.events"
        assert made["operations"]["receive_frames"]["bindings"]["kafka"]["groupId"]["const"] == "shop"
        assert [server["host"] for server in made["servers"].values()] == ["a:9093", "b:9093"]
        assert {server["protocol"] for server in made["servers"].values()} == {"kafka-secure"}
        schemes = made["components"]["securitySchemes"]
        assert [scheme["type"] for scheme in schemes.values()] == ["scramSha512", "X509"]
        assert "not-for-subscribers" not in yaml.safe_dump(made)
        assert "worker" not in json.dumps(made["servers"]) + json.dumps(schemes)


def test_header_models_read_what_is_written() -> None:
    """By the names on the wire, in Python too."""
    headers = read(message_from_event(event(), "identity.events", START_US, None).headers)
    assert EventHeaders.model_validate(headers).content_type == "application/json"
    with pytest.raises(ValidationError):
        EventHeaders.model_validate({**headers, "ce_specversion": "0.3"})
