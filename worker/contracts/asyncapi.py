"""The AsyncAPI document: every topic with its messages, as a worker with given settings uses them.

Schemas are referred to by the files beside it. Version 3.0.0 of the specification, and 0.5.0 of its Kafka bindings.
"""

from typing import Any

from worker import __version__
from worker.contracts.catalogue import CHANNELS, CONTRACTS, Channel, Contract, headers_file
from worker.settings import KafkaSettings, Settings
from worker.transport.topics import TopicSpec, specs

_BINDING = "0.5.0"
_DESCRIPTION = (
    "Camera frames in, identity events out. A worker follows every face from frame to frame, matches the sequence with "
    "the people who enrolled, and tells subscribers who appeared, who was confirmed, who was revised and who left.\n\n"
    "Messages are CloudEvents 1.0 in Kafka's binary mode: attributes are headers that begin with ce_, the value is the "
    "data. The number at the end of a type is the major version of its schema (JSON Schema, draft 2020-12); within it "
    "fields are only ever added, so pass over what you don't know. Subscribers find the rules in docs/subscribers.md."
)


def document(settings: Settings, partitions: int = 6) -> dict[str, Any]:
    """The document as plain values. ``partitions``: of the frames' topic."""
    topics = specs(settings, partitions)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Faceline",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": _servers(settings.kafka),
        "channels": {spec.role: _channel(spec, CHANNELS[spec.role], partitions) for spec in topics},
        "operations": {
            f"{action}_{spec.role}": _operation(action, spec.role, settings)
            for spec in topics
            for action in CHANNELS[spec.role].worker
        },
        "components": _components(settings.kafka),
    }


def _servers(kafka: KafkaSettings) -> dict[str, Any]:
    hosts = [host.strip() for host in kafka.bootstrap_servers.split(",") if host.strip()]
    server: dict[str, Any] = {
        "protocol": "kafka-secure" if kafka.security_protocol.endswith("SSL") else "kafka",
        "description": "Apache Kafka; any of its brokers to begin with.",
    }
    if schemes := _security(kafka):
        server["security"] = [{"$ref": f"#/components/securitySchemes/{name}"} for name in schemes]
    if hosts:
        return {f"kafka{number}": {"host": host, **server} for number, host in enumerate(hosts)}
    variable = {"default": "localhost:9092", "description": "host and port, as in kafka.bootstrap_servers"}
    return {"kafka": {"host": "{bootstrap}", **server, "variables": {"bootstrap": variable}}}


def _security(kafka: KafkaSettings) -> dict[str, Any]:
    kinds = {"PLAIN": "plain", "SCRAM-SHA-256": "scramSha256", "SCRAM-SHA-512": "scramSha512"}
    schemes: dict[str, Any] = {}
    if kafka.security_protocol.startswith("SASL") and kafka.sasl_mechanism is not None:
        schemes["sasl"] = {"type": kinds[kafka.sasl_mechanism], "description": "user and password"}
    if kafka.security_protocol.endswith("SSL") and kafka.ssl_certfile is not None:
        schemes["certificate"] = {"type": "X509", "description": "mutual TLS"}
    return schemes


def _components(kafka: KafkaSettings) -> dict[str, Any]:
    components: dict[str, Any] = {"messages": {c.name: _message(c) for c in CONTRACTS if c.role is not None}}
    if schemes := _security(kafka):
        components["securitySchemes"] = schemes
    return components


def _channel(spec: TopicSpec, channel: Channel, partitions: int) -> dict[str, Any]:
    names = [contract.name for contract in CONTRACTS if contract.role == spec.role]
    return {
        "address": spec.name,
        "title": channel.title,
        "description": channel.description,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {
            "kafka": {
                "topic": spec.name,
                "partitions": spec.partitions or partitions,
                "topicConfiguration": _topic_configuration(spec),
                "bindingVersion": _BINDING,
            }
        },
    }


def _topic_configuration(spec: TopicSpec) -> dict[str, Any]:
    """What 'faceline topics create' asks for, as the binding wants it: policies as a list, numbers as numbers."""
    written: dict[str, Any] = {"cleanup.policy": [spec.config.get("cleanup.policy", "delete")]}
    for name, value in spec.config.items():
        if name != "cleanup.policy":
            written[name] = float(value) if "ratio" in name else int(value)
    return written


def _operation(action: str, role: str, settings: Settings) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "action": action,
        "channel": {"$ref": f"#/channels/{role}"},
        "summary": f"A worker {'reads' if action == 'receive' else 'writes'}: {CHANNELS[role].title.lower()}.",
    }
    if role == "frames":
        group = {"type": "string", "const": settings.service.application_id}
        operation["bindings"] = {"kafka": {"groupId": group, "bindingVersion": _BINDING}}
    return operation


def _message(contract: Contract) -> dict[str, Any]:
    assert contract.role is not None, "only messages on topics are described"
    message: dict[str, Any] = {
        "name": contract.name,
        "title": contract.title,
        "contentType": contract.content_type,
        "payload": {"type": "string", "format": "binary", "description": contract.opaque}
        if contract.model is None
        else {"$ref": f"./{contract.name}.json"},
    }
    if key := CHANNELS[contract.role].key:
        described = {"type": "string", "description": key}
        message["bindings"] = {"kafka": {"key": described, "bindingVersion": _BINDING}}
    if contract.headers is not None:
        message["headers"] = {"$ref": f"./{headers_file(contract.headers)}"}
    if examples := contract.examples():
        message["examples"] = examples
    return message
