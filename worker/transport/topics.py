"""The topics that Faceline needs: what each must be like, creating them, and what is wrong with those there are."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from kafka import TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewTopic, OffsetSpec

from worker.errors import Retryable
from worker.settings import Settings
from worker.transport.clients import explained, open_admin

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
_PARTITIONS = 6  # of the frames, where nobody says otherwise


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
    missing: bool = False  # it isn't there, or not for this user


def specs(settings: Settings, partitions: int = _PARTITIONS) -> tuple[TopicSpec, ...]:
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


def create(settings: Settings, partitions: int | None = None, replication: int = -1) -> list[str]:
    """Create what is missing, and give the topics of a worker as many partitions as the frames have.

    ``partitions``: of the frames, 6 if not given; those that are there keep theirs, and a line says so.

    Returns one line for each thing done. Raises ``Retryable``.
    """
    done: list[str] = []
    admin = open_admin(settings.kafka)
    try:
        with explained("creating topics"):
            described = describe(admin, [spec.name for spec in specs(settings)])
            existing = {name: topic.num_partitions for name, topic in described.items() if topic.num_partitions}
            wanted = existing.get(frames := settings.topics.frames, partitions or _PARTITIONS)
            if partitions not in (None, wanted):
                done.append(f"{frames}: keeps its {wanted} partitions: see 'Add partitions' in docs/kafka.md")
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
            described = describe(admin, [spec.name for spec in specs(settings)])
            configs = _configs(admin, [name for name, topic in described.items() if topic.problem is None])
    finally:
        admin.close()
    frames = described[settings.topics.frames].num_partitions
    findings: list[Finding] = []
    for spec in specs(settings, frames):
        topic = described[spec.name]
        if topic.problem is not None:
            findings.append(Finding(spec.name, topic.problem, fatal=True, missing=True))
        else:
            findings += compare(spec, topic.num_partitions, frames, configs.get(spec.name, {}))
    unseen = [name for name, topic in described.items() if topic.problem is None and not configs.get(name)]
    if unseen:
        text = "settings weren't checked: this user has no DESCRIBE_CONFIGS on them; check as an administrator"
        findings.append(Finding(", ".join(unseen), text, fatal=False))
    return findings


@dataclass(frozen=True, slots=True)
class Described:
    """A topic as the broker shows it to this user. ``operations`` that it may do; empty where the broker won't say."""

    num_partitions: int = 0
    operations: frozenset[str] = frozenset()
    problem: str | None = None  # missing, or hidden
    hidden: bool = False  # from this user, whether it exists or not


def describe(admin: KafkaAdminClient, names: Sequence[str]) -> dict[str, Described]:
    """Each of these topics. Raises the library's errors where the broker can't tell."""
    found: dict[str, Described] = {}
    for topic in admin.describe_topics(list(names)):
        error = kafka_errors.for_code(topic.get("error_code", 0))
        if error is kafka_errors.NoError:
            found[topic["name"]] = Described(
                len(topic["partitions"]), frozenset(topic.get("authorized_operations") or ())
            )
        elif error is kafka_errors.UnknownTopicOrPartitionError:
            found[topic["name"]] = Described(problem="missing: run 'faceline topics create'")
        elif issubclass(error, kafka_errors.AuthorizationError):
            problem = "this user may not see it: grant what 'faceline topics rights' prints, then create it if need be"
            found[topic["name"]] = Described(problem=problem, hidden=True)
        else:
            raise error(f"topic {topic['name']}")
    return found


def newest_frame_us(settings: Settings) -> int | None:
    """The newest timestamp on the frames' topic, microseconds; None where it is empty. Raises ``Retryable``."""
    admin = open_admin(settings.kafka)
    try:
        with explained(f"looking for the newest frame on {settings.topics.frames}"):
            number = describe(admin, [settings.topics.frames])[settings.topics.frames].num_partitions
            homes = [TopicPartition(settings.topics.frames, partition) for partition in range(number)]
            found = admin.list_partition_offsets(dict.fromkeys(homes, OffsetSpec.MAX_TIMESTAMP))
    finally:
        admin.close()
    newest = max((at.timestamp for at in found.values()), default=-1)
    return None if newest < 0 else newest * 1000


def topic_id(settings: Settings, name: str) -> str:
    """The id that the cluster gave the topic when it was made, as ids of tracks hold it. Raises ``Retryable``."""
    admin = open_admin(settings.kafka)
    try:
        with explained(f"asking for the id of topic {name}"):
            (found,) = admin.describe_topics([name])
            if found["error_code"]:
                raise kafka_errors.for_code(found["error_code"])(f"topic {name}")
    finally:
        admin.close()
    return str(found["topic_id"])


def _create(admin: KafkaAdminClient, topic: NewTopic) -> None:
    try:
        admin.create_topics([topic])
    except kafka_errors.TopicAlreadyExistsError:
        pass  # somebody else was quicker
    except kafka_errors.InvalidReplicationFactorError as error:
        raise Retryable(f"topic {topic.name}: {error}: ask for fewer copies with --replication") from error


def _configs(admin: KafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Effective settings by topic; none where this user may not ask."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    if not resources:
        return {}
    described = admin.describe_configs(resources, config_filter="all")["topic"]
    return {name: {key: entry["value"] for key, entry in entries.items()} for name, entries in described.items()}


def compare(spec: TopicSpec, num_partitions: int, num_frames_partitions: int, config: dict[str, str]) -> list[Finding]:
    """What sets a topic apart from its spec; of ``config`` only what is known is looked at."""
    findings = [(_partitions(spec, num_partitions, num_frames_partitions), True), (_cleanup(spec, config), True)]
    findings += [(_too_long(name, spec, config), False) for name in _WHY]
    findings.append((_too_small(spec, config), False))
    return [Finding(spec.name, text, fatal) for text, fatal in findings if text is not None]


def _partitions(spec: TopicSpec, have: int, frames: int) -> str | None:
    if spec.role == "state" and have < frames:
        return f"{have} partitions for {frames} of frames: run 'faceline topics create'"
    if spec.role == "gallery" and have != 1:
        return f"{have} partitions, expected 1: its order is the gallery's version; delete and create it, enrol anew"
    return None


def _cleanup(spec: TopicSpec, config: dict[str, str]) -> str | None:
    policy = config.get("cleanup.policy")
    if policy is None:
        return None
    if spec.config.get("cleanup.policy") == "compact":
        if policy == "compact":
            return None
        return f"cleanup.policy is {policy}, expected compact: its records would expire; alter it"
    if "compact" in policy:
        return f"cleanup.policy is {policy}, expected delete: all but each camera's newest record would go; alter it"
    return None


def _too_long(name: str, spec: TopicSpec, config: dict[str, str]) -> str | None:
    """More than ten times what is advised; -1 is without end."""
    have = _number(config.get(name))
    if name not in spec.config or have is None or 0 <= have <= 10 * int(spec.config[name]):
        return None
    return f"{name} is {have}, advised {spec.config[name]}: {_WHY[name]}"


def _too_small(spec: TopicSpec, config: dict[str, str]) -> str | None:
    largest, wanted = _number(config.get("max.message.bytes")), spec.config.get("max.message.bytes")
    if largest is None or wanted is None or largest >= int(wanted):
        return None
    return f"max.message.bytes is {largest}, kafka.max_record_bytes {wanted}: make them equal"


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
