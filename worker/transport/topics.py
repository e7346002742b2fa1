"""The topics that Faceline needs: what each must be like, creating them, and what is wrong with those there are."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewTopic

from worker.errors import Retryable
from worker.settings import Settings
from worker.transport.clients import explained, open_admin

HOUR_MS, DAY_MS = 3_600_000, 86_400_000


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """What a topic must be like. ``partitions`` 0: as many as the frames' topic has."""

    name: str
    role: str
    partitions: int
    config: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about a topic that isn't as it should be; ``fatal``: workers can't run with it."""

    topic: str
    text: str
    fatal: bool


def specs(settings: Settings, partitions: int = 6) -> tuple[TopicSpec, ...]:
    """All topics, with settings that keep restores short and dead letters short-lived."""
    names, largest = settings.topics, str(settings.kafka.max_record_bytes)
    compacted = {
        "cleanup.policy": "compact",
        # A restore reads the whole partition of a compacted topic: what is never compacted is read for ever.
        "segment.ms": "60000",
        "segment.bytes": str(16 * 2**20),
        "min.cleanable.dirty.ratio": "0.1",
        "max.compaction.lag.ms": "60000",
        "delete.retention.ms": str(DAY_MS),
        "max.message.bytes": largest,
    }
    return (
        TopicSpec(names.frames, "frames", partitions, {"retention.ms": str(HOUR_MS), "max.message.bytes": largest}),
        TopicSpec(names.events, "events", 0, {"retention.ms": str(7 * DAY_MS)}),
        TopicSpec(names.dead_letters, "dead_letters", 0, {"retention.ms": str(DAY_MS), "max.message.bytes": largest}),
        TopicSpec(names.state, "state", 0, compacted),
        TopicSpec(names.gallery, "gallery", 1, {**compacted, "segment.ms": str(HOUR_MS)}),
        TopicSpec(names.receipts, "receipts", 1, {"retention.ms": str(30 * DAY_MS)}),
    )


def create(settings: Settings, partitions: int = 6, replication: int = -1) -> list[str]:
    """Create what is missing, and give the topics of a worker as many partitions as the frames have.

    Returns one line for each thing done. Raises ``Retryable``.
    """
    done: list[str] = []
    admin = open_admin(settings.kafka)
    try:
        with explained("creating topics"):
            existing = partition_counts(admin, [spec.name for spec in specs(settings)])
            wanted = existing.get(settings.topics.frames, partitions)
            for spec in specs(settings, wanted):
                number = spec.partitions or wanted
                have = existing.get(spec.name)
                if have is None:
                    _create(admin, NewTopic(spec.name, number, replication, topic_configs=spec.config))
                    done.append(f"{spec.name}: created with {number} partition{'s' if number > 1 else ''}")
                elif have < number:
                    admin.create_partitions({spec.name: number})
                    done.append(f"{spec.name}: grown from {have} to {number} partitions")
            admin.wait_for_topics([spec.name for spec in specs(settings)])
    finally:
        admin.close()
    return done


def check(settings: Settings) -> list[Finding]:
    """What is wrong with the topics that are there. Raises ``Retryable`` where the broker can't be asked."""
    admin = open_admin(settings.kafka)
    try:
        with explained("checking topics"):
            counts = partition_counts(admin, [spec.name for spec in specs(settings)])
            configs = _configs(admin, list(counts))
    finally:
        admin.close()
    frames = counts.get(settings.topics.frames, 0)
    findings: list[Finding] = []
    for spec in specs(settings, frames):
        if spec.name not in counts:
            findings.append(Finding(spec.name, "missing: run 'faceline topics create'", fatal=True))
            continue
        findings += _compare(spec, counts[spec.name], frames, configs.get(spec.name, {}))
    return findings


def partition_counts(admin: KafkaAdminClient, names: Sequence[str]) -> dict[str, int]:
    """How many partitions each of these topics has; those that don't exist are left out."""
    found: dict[str, int] = {}
    for name in names:
        for topic in admin.describe_topics([name]):
            code = topic.get("error_code", 0)
            if not code:
                found[topic.get("name") or name] = len(topic["partitions"])
            elif kafka_errors.for_code(code) is not kafka_errors.UnknownTopicOrPartitionError:
                raise kafka_errors.for_code(code)(f"topic {name}")
    return found


def _create(admin: KafkaAdminClient, topic: NewTopic) -> None:
    try:
        admin.create_topics([topic])
    except kafka_errors.TopicAlreadyExistsError:
        pass  # somebody else was quicker
    except kafka_errors.InvalidReplicationFactorError as error:
        raise Retryable(f"topic {topic.name}: {error}: ask for fewer copies with --replication") from error


def _configs(admin: KafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Effective settings of topics; empty where this user may not ask."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    if not resources:
        return {}
    try:
        described = admin.describe_configs(resources, config_filter="all")["topic"]
    except kafka_errors.AuthorizationError:
        return {}
    return {name: {key: entry["value"] for key, entry in entries.items()} for name, entries in described.items()}


def _compare(spec: TopicSpec, have: int, frames: int, config: dict[str, str]) -> list[Finding]:
    findings = []
    if spec.role == "state" and have < frames:
        text = f"{have} partitions for {frames} of frames: run 'faceline topics create'"
        findings.append(Finding(spec.name, text, fatal=True))
    if spec.role == "gallery" and have != 1:
        text = f"{have} partitions, expected 1: its order is the gallery's version; delete and create it, enrol anew"
        findings.append(Finding(spec.name, text, fatal=True))
    if not config:
        return findings
    compacted = spec.config.get("cleanup.policy") == "compact"
    if compacted and config.get("cleanup.policy") != "compact":
        text = f"cleanup.policy is {config.get('cleanup.policy')}, expected compact: its records would expire; alter it"
        findings.append(Finding(spec.name, text, fatal=True))
    if not compacted and "compact" in config.get("cleanup.policy", ""):
        text = f"cleanup.policy is {config['cleanup.policy']}, expected delete: all but each camera's newest would go"
        findings.append(Finding(spec.name, text, fatal=True))
    for name in ("segment.ms", "segment.bytes", "max.compaction.lag.ms", "retention.ms"):
        if name in spec.config and (_number(config.get(name)) or 0) > 10 * int(spec.config[name]):
            text = f"{name} is {config.get(name)}, advised {spec.config[name]}: {_WHY[name]}"
            findings.append(Finding(spec.name, text, fatal=False))
    largest = _number(config.get("max.message.bytes"))
    if "max.message.bytes" in spec.config and largest is not None and largest < int(spec.config["max.message.bytes"]):
        wanted = spec.config["max.message.bytes"]
        text = f"max.message.bytes is {largest}, kafka.max_record_bytes {wanted}: make them equal"
        findings.append(Finding(spec.name, text, fatal=False))
    return findings


_WHY = {
    "segment.ms": "what isn't compacted yet is read at every restore",
    "segment.bytes": "what isn't compacted yet is read at every restore",
    "max.compaction.lag.ms": "what isn't compacted yet is read at every restore",
    "retention.ms": "it holds images or names for longer",
}


def _number(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None
