"""Topics: what is created, what is found wrong, on a real broker; and each rule by itself."""

from contextlib import closing

import pytest
from kafka.admin import ConfigResource, ConfigResourceType

from worker.settings import Settings
from worker.transport.clients import open_admin, open_producer
from worker.transport.topics import DAY_MS, HOUR_MS, check, compare, create, newest_frame_us, specs

ALL = {spec.role: spec for spec in specs(Settings())}
FULL = {role: {"max.message.bytes": "16777216", **spec.config} for role, spec in ALL.items()}


@pytest.mark.parametrize("role", ALL)
def test_as_created_nothing_is_wrong(role: str) -> None:
    """The advice doesn't complain about itself; nor about settings that nobody may see."""
    partitions = 1 if role == "gallery" else 6
    assert compare(ALL[role], partitions, 6, FULL[role]) == []
    assert compare(ALL[role], partitions, 6, {}) == []


@pytest.mark.parametrize(
    ("role", "changed", "words"),
    [
        ("state", {"cleanup.policy": "delete"}, "cleanup.policy is delete, expected compact"),
        ("state", {"cleanup.policy": "compact,delete"}, "expected compact: its records would expire"),
        ("gallery", {"cleanup.policy": "delete"}, "expected compact"),
        ("frames", {"cleanup.policy": "compact"}, "expected delete"),
        ("events", {"cleanup.policy": "compact,delete"}, "expected delete"),
    ],
)
def test_a_wrong_cleanup_is_fatal(role: str, changed: dict[str, str], words: str) -> None:
    """State that expires, or frames that replace each other."""
    partitions = 1 if role == "gallery" else 6
    (finding,) = compare(ALL[role], partitions, 6, FULL[role] | changed)
    assert finding.fatal and words in finding.text and finding.topic == ALL[role].name


@pytest.mark.parametrize(
    ("role", "setting", "value"),
    [
        ("frames", "retention.ms", -1),
        ("frames", "retention.ms", 11 * HOUR_MS),
        ("events", "retention.ms", -1),
        ("dead_letters", "retention.ms", 30 * DAY_MS),
        ("state", "segment.ms", 7 * DAY_MS),
        ("state", "segment.bytes", 2**30),
        ("state", "max.compaction.lag.ms", 9_223_372_036_854_775_807),
    ],
)
def test_too_long_is_told_and_not_fatal(role: str, setting: str, value: int) -> None:
    """Kept for ever, or read for ever; -1 is for ever too."""
    (finding,) = compare(ALL[role], 6, 6, FULL[role] | {setting: str(value)})
    assert not finding.fatal
    assert f"{setting} is {value}, advised {ALL[role].config[setting]}" in finding.text


@pytest.mark.parametrize("value", [0, 1, 10 * HOUR_MS])
def test_up_to_ten_times_as_long_is_a_choice(value: int) -> None:
    """Nobody is nagged about a retention of some hours."""
    assert compare(ALL["frames"], 6, 6, FULL["frames"] | {"retention.ms": str(value)}) == []


def test_too_small_for_the_largest_record() -> None:
    """The broker's default of 1 MB stands in the way of a large image."""
    (finding,) = compare(ALL["frames"], 6, 6, FULL["frames"] | {"max.message.bytes": "1048588"})
    assert not finding.fatal and "max.message.bytes is 1048588, kafka.max_record_bytes 16777216" in finding.text


@pytest.mark.parametrize(("have", "frames", "fatal"), [(5, 6, True), (6, 6, False), (7, 6, False)])
def test_state_needs_a_partition_for_each_of_frames(have: int, frames: int, fatal: bool) -> None:
    """A camera's state lies on the partition of the same number."""
    found = compare(ALL["state"], have, frames, FULL["state"])
    assert [finding.fatal for finding in found] == [True] * fatal


def test_the_gallery_has_one_partition() -> None:
    """Its order is its version."""
    (finding,) = compare(ALL["gallery"], 6, 6, FULL["gallery"])
    assert finding.fatal and "6 partitions, expected 1" in finding.text


def test_create_then_check(kafka: Settings) -> None:
    """All missing, all created, nothing to do, nothing wrong; then one that differs is found."""
    assert {finding.topic for finding in check(kafka)} == set(kafka.topics.model_dump().values())
    assert all(finding.fatal and "faceline topics create" in finding.text for finding in check(kafka))
    assert len(create(kafka, partitions=2)) == len(ALL)
    assert create(kafka, partitions=2) == []
    assert check(kafka) == []
    with closing(open_admin(kafka.kafka)) as admin:
        resource = ConfigResource(ConfigResourceType.TOPIC, kafka.topics.frames, {"retention.ms": "-1"})
        admin.alter_configs([resource])
    (finding,) = check(kafka)
    assert finding.topic == kafka.topics.frames and "retention.ms is -1" in finding.text and not finding.fatal


def test_topics_of_a_worker_grow_with_the_frames(kafka: Settings) -> None:
    """Whoever adds partitions to the frames is told, and ``create`` follows; it never shrinks or grows the frames."""
    create(kafka, partitions=1)
    with closing(open_admin(kafka.kafka)) as admin:
        admin.create_partitions({kafka.topics.frames: 3})
        admin.wait_for_topics([kafka.topics.frames])
    (finding,) = check(kafka)
    assert finding.topic == kafka.topics.state and finding.fatal and "1 partitions for 3 of frames" in finding.text
    grown = create(kafka, partitions=5)
    names = (kafka.topics.events, kafka.topics.dead_letters, kafka.topics.state)
    assert grown[0] == f"{kafka.topics.frames}: keeps its 3 partitions: see 'Add partitions' in docs/kafka.md"
    assert grown[1:] == [f"{name}: grown from 1 to 3 partitions" for name in names]
    assert check(kafka) == []


def test_the_newest_frame(kafka: Settings) -> None:
    """By its timestamp, over all partitions; none on an empty topic."""
    create(kafka, partitions=2)
    assert newest_frame_us(kafka) is None
    with closing(open_producer(kafka.kafka)) as producer:
        for partition, milliseconds in ((0, 5_000), (1, 9_000), (1, 7_000)):
            producer.send(kafka.topics.frames, b"x", partition=partition, timestamp_ms=milliseconds).get(10)
    assert newest_frame_us(kafka) == 9_000_000
