"""What ``faceline doctor`` asks the cluster. Nothing is written that a reader of any topic could see."""

import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from kafka import errors as kafka_errors
from kafka.admin import KafkaAdminClient, MemberToRemove

from worker.errors import Retryable
from worker.settings import Settings
from worker.transport.clients import NotAllowed, explained, open_admin, open_producer
from worker.transport.reading import TopicReader
from worker.transport.rights import Right, rights
from worker.transport.topics import describe

_Answer = TypeVar("_Answer")
_AGAIN_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Group:
    """The application's consumer group, and how far it is behind."""

    state: str  # as Kafka spells it: Stable, Empty, Dead where nobody ever joined
    num_members: int
    lags: Mapping[int, int]  # records not yet committed, by partition that has a commit


def brokers(settings: Settings) -> tuple[str, ...]:
    """Addresses of the brokers, as they tell them. Raises ``Retryable``."""
    admin = open_admin(settings.kafka)
    try:
        with explained("asking for the brokers"):
            found = admin.describe_cluster()["brokers"]
    finally:
        admin.close()
    return tuple(sorted(f"{broker['host']}:{broker['port']}" for broker in found))


def lacking(settings: Settings) -> tuple[Right, ...]:
    """What a worker needs and this user wasn't granted. Raises ``Retryable``.

    A topic that doesn't exist counts as granted: the check of topics tells. The transactional id that is tried is
    one a host, and Kafka forgets it when it wasn't used for a week.
    """
    needed = rights("worker", settings)
    admin = open_admin(settings.kafka)
    try:
        granted = _topics(settings, admin) | _group(settings, admin)
    finally:
        admin.close()
    if settings.service.delivery == "exactly_once":
        granted |= _transactions(settings)
    else:
        needed = tuple(right for right in needed if right.resource != "transactional-id")
    return tuple(
        Right(right.resource, right.name, missing, right.prefixed)
        for right in needed
        if (missing := tuple(each for each in right.operations if (right.resource, right.name, each) not in granted))
    )


def group(settings: Settings) -> Group:
    """The group as it is now. Raises ``Retryable``."""
    name = settings.service.application_id
    admin = open_admin(settings.kafka)
    try:
        found = _patiently(lambda: admin.describe_groups([name])[name], settings)
        commits = _patiently(lambda: admin.list_group_offsets({name: None})[name], settings)
    finally:
        admin.close()
    with TopicReader(settings.kafka, settings.topics.frames) as reader:
        ends = reader.ends()
    committed = {
        home.partition: at.offset
        for home, at in commits.items()
        if home.topic == settings.topics.frames and at.offset >= 0
    }
    lags = {number: max(0, ends[number] - offset) for number, offset in sorted(committed.items()) if number in ends}
    return Group(found["group_state"], len(found["members"]), lags)


_Granted = set[tuple[str, str, str]]  # resource, name, operation


def _topics(settings: Settings, admin: KafkaAdminClient) -> _Granted:
    needed = {right.name: right for right in rights("worker", settings) if right.resource == "topic"}
    with explained("asking for rights on topics"):
        described = describe(admin, list(needed))
    granted: _Granted = set()
    for name, topic in described.items():
        missing = topic.problem is not None and not topic.hidden
        operations = needed[name].operations if missing else topic.operations
        granted |= {("topic", name, operation) for operation in operations}
    return granted


def _group(settings: Settings, admin: KafkaAdminClient) -> _Granted:
    name = settings.service.application_id
    try:
        found = _patiently(lambda: admin.describe_groups([name])[name], settings)
    except NotAllowed:
        return set()
    operations = found["authorized_operations"]
    # Of a group that nobody ever joined the broker tells nothing.
    if not operations and _may_read_group(name, admin, settings):
        operations = ["READ"]
    return {("group", name, operation) for operation in operations or ()}


def _may_read_group(name: str, admin: KafkaAdminClient, settings: Settings) -> bool:
    """Whether a member that doesn't exist may leave a group that doesn't exist either: it takes the right to read."""
    try:
        nobody = [MemberToRemove(member_id="faceline-doctor")]
        told = _patiently(lambda: admin.remove_group_members(name, nobody), settings)
    except NotAllowed:
        return False
    return not any(issubclass(error, kafka_errors.AuthorizationError) for error in told.values())


def _transactions(settings: Settings) -> _Granted:
    prefix = f"{settings.service.application_id}-"
    producer = open_producer(settings.kafka, transactional_id=f"{prefix}doctor-{socket.gethostname()}")
    try:
        with explained("trying a transactional id"):
            producer.init_transactions()
    except NotAllowed:
        return set()
    finally:
        producer.close(timeout=1)
    return {("transactional-id", prefix, "WRITE")}


def _patiently(ask: Callable[[], _Answer], settings: Settings) -> _Answer:
    """The answer; on a new cluster the group's coordinator takes a moment to be there."""
    deadline = time.monotonic() + settings.kafka.request_timeout_seconds
    while True:
        try:
            with explained(f"asking about group {settings.service.application_id}"):
                return ask()
        except NotAllowed:
            raise
        except Retryable:
            if time.monotonic() > deadline:
                raise
            time.sleep(_AGAIN_SECONDS)
