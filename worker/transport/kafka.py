"""The log on Apache Kafka, by kafka-python: exactly once, or at least once.

One thread owns the consumer, the transaction and the state; no transaction is open across a poll, so a rebalance
never meets one. The group's membership is read once, right after the poll that brought the records: later it may
show a membership that was lost, which the broker would accept unfenced.
"""

import logging
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from kafka import ConsumerRebalanceListener, OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import OffsetSpec
from kafka.partitioner.default import murmur2

from worker.errors import Fenced, Replaced, Retryable
from worker.settings import KafkaSettings
from worker.transport.clients import close_consumer, explain, explained, is_caused_by, open_admin, open_consumer
from worker.transport.committing import RECENT, Committer, Offsets
from worker.transport.consumer import Assignor, Consumer
from worker.transport.log import Batch, Message, Record, Snapshot
from worker.transport.reading import as_record
from worker.transport.restoring import StateReader, offset_of

logger = logging.getLogger(__name__)

_SLICE_SECONDS = 0.2
_FILL_SECONDS = 0.01  # brokers answer a fetch at once where they have something
_CHECK_SECONDS = 2.0  # between looks at whether the frames' topic is there, and is still the same
_PENDING_SECONDS = 0.5  # for a committed offset that a transaction in progress is about to move
_TELL_SECONDS = 30.0  # between lines about a partition that can't be restored
_MEMBERSHIP_LOST = (kafka_errors.CommitFailedError, kafka_errors.UnknownMemberIdError,
                    kafka_errors.IllegalGenerationError, kafka_errors.RebalanceInProgressError)  # fmt: skip
_PRODUCER_FENCED = (kafka_errors.ProducerFencedError, kafka_errors.InvalidProducerEpochError)


class KafkaTransport:
    """One member of a consumer group, and its transactional writer; see ``Transport``. Used by one thread.

    With ``settings.group_instance_id`` membership and transactional id are stable, and a second live process of that
    name is ``Replaced``; else both are random. Opening raises ``Retryable`` where the cluster can't be reached.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        group: str,
        frames_topic: str,
        state_topic: str,
        *,
        transactional: bool = True,
    ) -> None:
        self._settings = settings
        self._group = group
        self._frames, self._state = frames_topic, state_topic
        self._transactional = transactional
        self.name = settings.group_instance_id or f"{group}-{uuid.uuid4().hex[:12]}"
        self._committer = Committer(settings, self.name, group, transactional=transactional)
        self._changes: deque[tuple[bool, frozenset[int]]] = deque()  # gained or lost, as the client's own thread tells
        self._known: set[int] = set()  # reported as gained
        self._stale: set[int] = set()  # of those: to be reported as gained again
        self._positions: dict[int, int] = {}  # of those: restored, so records flow
        self._batch: Batch | None = None
        self._membership: Any = None  # as it was right after the last poll
        self._member_id: str | None = None  # of the last membership
        self._topic_id: str | None = None
        self._num_partitions = 0
        self._checked_at = 0.0
        self._fenced_at: float | None = None  # when the producer of a stable name was refused
        self._told_at: dict[int, float] = {}  # by partition, when it was last told that it can't be restored
        self._opened: list[Callable[[], None]] = [self._committer.close]
        self._closed = False
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    # Polling

    def poll(self, max_records: int, timeout_seconds: float) -> Batch:
        """See ``Transport``. Raises ``Replaced`` where another process took our name."""
        self._check_may_poll(max_records)
        with explained(f"looking for {self._frames}"):
            self._check_topic()
        try:
            found = self._await(max_records, timeout_seconds)
        except kafka_errors.FencedInstanceIdError as error:
            raise self._replaced() from error
        except (kafka_errors.KafkaError, OSError) as error:
            self._reset()
            raise Retryable(f"reading {self._frames} as group {self._group}: {explain(error)}") from error
        self._membership = self._consumer.group_metadata()
        member = self._membership.generation_id >= 0 and bool(self._membership.member_id)
        if member and self._is_somebody_else(self._membership.member_id):
            found = {}
        if not member:
            # The membership went between the poll and here: whatever came belongs to somebody else.
            found = {}
            self._reset()
        lost, gained = self._catch_up()
        records = tuple(self._take(found)) if member else ()
        generation = self._membership.generation_id if member else -1
        if not self._known and self._may_write():
            self._committer.end()  # nothing is to be restored, so nothing else would end it
        self._batch = Batch(records, generation, gained, lost)
        return self._batch

    def _is_somebody_else(self, member_id: str) -> bool:
        """Whether this member was put out of the group and is in it again under another id: then all has to be anew.

        Others may have had its partitions meanwhile. Where kafka-python 3.0.12 learns of it only by joining, it takes
        its partitions for kept, and calls no listener.
        """
        before, self._member_id = self._member_id, member_id
        if before in (None, member_id):
            return False
        self._changes.appendleft((False, frozenset(self._known)))
        self._reset()
        return True

    def _await(self, max_records: int, timeout_seconds: float) -> dict[TopicPartition, list[Any]]:
        """Records, or nothing where the membership changed or the time is up."""
        deadline = time.monotonic() + timeout_seconds
        while max_records:
            self._join()
            # In slices, since the client's own poll goes on waiting for records after a rebalance.
            wait_seconds = 0.0 if self._stale else min(_SLICE_SECONDS, max(0.0, deadline - time.monotonic()))
            found = dict(self._consumer.poll(timeout_ms=round(wait_seconds * 1000), max_records=max_records))
            if found and self._transactional:
                self._fill(found, max_records)
            if found or self._stale or self._changes or time.monotonic() >= deadline:
                return found
        return {}

    def _fill(self, found: dict[TopicPartition, list[Any]], max_records: int) -> None:
        """Add what came while nobody polled.

        The client fetches ahead only once: what it has is the first that came since the last poll, all else still lies
        at the brokers, and would be a whole commit interval late.
        """
        deadline = time.monotonic() + _FILL_SECONDS
        while (room := max_records - sum(map(len, found.values()))) > 0:
            left_seconds = deadline - time.monotonic()
            if left_seconds <= 0:
                return
            for home, records in self._consumer.poll(round(left_seconds * 1000), max_records=room).items():
                found[home] = found.get(home, []) + records

    def _join(self) -> None:
        """Sit out a rebalance. At once where there is none.

        kafka-python 3.0.12 forgets an answer to a join that comes while nobody waits for it, and joins again, which
        makes everybody else join again. Waiting in small pieces, two busy workers can go on like that for ever. Where
        it joined because partitions were added, or because it led a group before it knew them, it doesn't even join
        again: it stays in the middle of the rebalance, sends no heartbeat, and is put out for good.
        """
        coordinator = self._consumer._coordinator
        if coordinator.rebalance_in_progress():
            coordinator.request_rejoin()  # an answer that is still to come ends it
        coordinator.poll(timeout_ms=round(self._settings.request_timeout_seconds * 1000))

    def lag(self) -> dict[int, int]:
        """How many offsets each restored partition is behind its end, as of the last fetch."""
        lags: dict[int, int] = {}
        for number in self._positions:
            with suppress(kafka_errors.IllegalStateError):  # it may go at any time, in the client's own thread
                end = self._consumer.highwater(self._home(number))
                if end is not None:
                    lags[number] = max(0, end - self._stands_at(number))
        return lags

    def num_partitions(self) -> int:
        """See ``Transport``."""
        return self._num_partitions

    def home(self, key: bytes, num_partitions: int) -> int:
        """See ``Transport``. The hash is murmur2, as that of every usual client."""
        return int(murmur2(key) & 0x7FFFFFFF) % num_partitions

    def at_end(self, partition: int) -> bool:
        """See ``Transport``."""
        home = self._home(partition)
        with explained(f"asking for the end of {self._frames}-{partition}"):
            end = offset_of(self._admin, OffsetSpec.LATEST, home)
            return partition in self._positions and self._stands_at(partition) >= end

    def _stands_at(self, partition: int) -> int:
        """The next offset that a poll may bring: past markers of transactions too, which are no records."""
        return max(self._positions[partition], self._consumer.stands_at(self._home(partition)) or 0)

    # Restoring

    def restore(self, partition: int) -> Snapshot | None:
        """See ``Transport``. None also where the partition moved, or is to be reported anew, since the last poll.

        The order matters: committed offset first (it waits until a pending transaction is decided), then the end of
        the state's partition, then the state up to there.
        """
        if partition not in self._known:
            raise ValueError(f"partition {partition} isn't assigned to {self.name}: wait until it is gained")
        if partition in self._stale or self._changes or not self._may_write():
            return None
        try:
            if self._transactional:
                self._committer.prepare()  # first: it ends what was left open, and the next line waits for
            committed = self._committed(partition)
            entries = self._snapshots.read(partition)
            if entries is None:
                self._tell(partition, "a transaction is open there, most likely a dead worker's")
                return None
            first = offset_of(self._admin, OffsetSpec.EARLIEST, self._home(partition))
            if self._changes or self._committed(partition) != committed:
                return None  # the last: this member was put out and doesn't know yet, and the new owner commits
            offset = first if committed is None else max(committed, first)  # retention may have gone further
            self._consumer.seek(self._home(partition), offset)
            self._consumer.resume(self._home(partition))
        except kafka_errors.IllegalStateError:
            return None  # it has gone, in the client's own thread
        except kafka_errors.RetriableError as error:
            self._tell(partition, self._hindrance(error))
            return None
        except (kafka_errors.KafkaError, OSError) as error:
            raise Retryable(f"restoring {self._state}-{partition}: {explain(error)}") from error
        self._told_at.pop(partition, None)
        self._positions.setdefault(partition, offset)
        return Snapshot(partition, offset, entries)

    def hold(self, partition: int) -> None:
        """See ``Transport``."""
        self._positions.pop(partition, None)
        with suppress(kafka_errors.IllegalStateError):  # it may go at any time, in the client's own thread
            self._consumer.pause(self._home(partition))

    def _may_write(self) -> bool:
        """With a stable name a new producer fences the one before: only the rightful owner may open one.

        That its own was refused says that another process has the name, or that its transaction took too long. The
        next heartbeat tells.
        """
        if self._fenced_at is not None and self._consumer.member_at > self._fenced_at:
            self._fenced_at = None
        return self._fenced_at is None

    def _hindrance(self, error: kafka_errors.RetriableError) -> str:
        if isinstance(error, kafka_errors.UnknownTopicOrPartitionError):
            return f"{self._state} has no such partition: run 'faceline topics create'"
        if isinstance(error, kafka_errors.KafkaTimeoutError):
            return "no answer in time: a transaction holds its offset, most likely a dead worker's, or brokers are slow"
        return explain(error)

    def _tell(self, partition: int, reason: str) -> None:
        now = time.monotonic()
        if now - self._told_at.get(partition, -_TELL_SECONDS) >= _TELL_SECONDS:
            self._told_at[partition] = now
            logger.warning(
                "partition %d can't be restored yet: %s (docs/kafka.md, 'A partition that can't be restored')",
                partition, reason,
            )  # fmt: skip

    def _committed(self, partition: int) -> int | None:
        return self._consumer.committed_now(self._home(partition), _PENDING_SECONDS)

    # Writing

    def commit(
        self,
        batch: Batch,
        outputs: Sequence[Message],
        snapshots: Mapping[int, Mapping[str, bytes | None]],
    ) -> None:
        """See ``Transport``. Where it isn't transactional: outputs, then snapshots, then offsets, each acknowledged."""
        polled, membership, self._batch = self._batch, self._membership, None
        try:
            if batch is not polled or batch.generation < 0:
                # The number alone wouldn't tell: a lost membership goes on under it until a heartbeat is answered.
                raise Fenced(f"{self.name} commits a batch of generation {batch.generation}: drop it, and all state")
            if not self._may_write():
                raise Retryable(f"{self.name} waits to hear whether it is still a member")
            if not snapshots.keys() <= self._positions.keys():
                raise ValueError(f"snapshots of partitions {sorted(snapshots)}, restored are {sorted(self._positions)}")
            messages, offsets = self._state_messages(snapshots), self._offsets(batch, snapshots)
            if self._transactional:
                self._committer.commit([*outputs, *messages], offsets, membership)
            else:
                self._write_in_order(outputs, messages, offsets, membership)
        except BaseException as error:
            self._reset()
            self._committer.discard(error)
            if is_caused_by(error, _PRODUCER_FENCED) and self._settings.group_instance_id:
                self._fenced_at = time.monotonic()
            if isinstance(error, kafka_errors.KafkaTimeoutError):
                self._name_missing({message.topic for message in outputs} | {self._state})
            raise self._meaning(error) from error

    def _name_missing(self, topics: Iterable[str]) -> None:
        """The client says of a topic that is gone only that it knows nothing of it after its time is up."""
        with suppress(kafka_errors.KafkaError, OSError):
            found = self._admin.describe_topics(sorted(topics))
            gone = [topic["name"] for topic in found if topic["error_code"]]
            if gone:
                raise Retryable(
                    f"topic {', '.join(gone)} isn't there, or not for this user: run 'faceline topics create'"
                )

    def _offsets(self, batch: Batch, snapshots: Iterable[int]) -> dict[TopicPartition, OffsetAndMetadata]:
        """Where the group goes on; without records where it stands, since offsets are what a zombie is fenced by."""
        moved = {record.partition: record.offset + 1 for record in batch.records}
        if not moved:
            moved = {number: self._positions[number] for number in list(snapshots) or self._positions}
        return {self._home(number): OffsetAndMetadata(offset, "", -1) for number, offset in moved.items()}

    def abort(self, batch: Batch) -> None:
        """See ``Transport``."""
        self._reset()

    def close(self) -> None:
        """See ``Transport``; takes a few seconds where no broker answers.

        A static member stays in its group until its session ends, so that a restart is quick.
        """
        if self._closed:
            return
        self._closed = True
        for close in reversed(self._opened):
            with suppress(kafka_errors.KafkaError, OSError, RuntimeError):
                close()

    def _write_in_order(
        self, outputs: Sequence[Message], snapshots: Sequence[Message], offsets: Offsets, membership: Any
    ) -> None:
        """At least once. What is written last vouches for the rest; nothing by one that knows it was put out."""
        cameras = [message for message in snapshots if message.key]
        for messages in (outputs, cameras, [message for message in snapshots if not message.key]):
            self._check_membership(membership)
            self._committer.send(messages)
        if offsets:
            self._check_membership(membership)
            self._consumer.commit(dict(offsets), timeout_ms=round(self._settings.request_timeout_seconds * 1000))

    def _check_membership(self, membership: Any) -> None:
        now = self._consumer.group_metadata()
        if (now.generation_id, now.member_id) != (membership.generation_id, membership.member_id):
            raise kafka_errors.CommitFailedError("the group moved on since the poll")

    def _state_messages(self, snapshots: Mapping[int, Mapping[str, bytes | None]]) -> list[Message]:
        return [
            Message(self._state, camera.encode(), value, partition=partition)
            for partition, entries in snapshots.items()
            for camera, value in entries.items()
        ]

    # When something failed

    def _meaning(self, error: BaseException) -> BaseException:
        """What the caller has to do about an error of a commit."""
        if isinstance(error, Retryable | Replaced) or not isinstance(error, kafka_errors.KafkaError | OSError):
            return error
        if isinstance(error, kafka_errors.FencedInstanceIdError):
            return self._replaced()
        if isinstance(error, _MEMBERSHIP_LOST):
            return Fenced(f"{self.name} is no longer a member of generation it polled in: {explain(error)}")
        return Retryable(f"committing as {self.name}: {explain(error)}")

    def _replaced(self) -> Replaced:
        return Replaced(
            f"another process runs as {self.name}: stop one of them, kafka.group_instance_id must be unique"
        )

    def _reset(self) -> None:
        """Nothing of the last batch has happened: all that was reported has to be restored anew."""
        self._batch, self._positions, self._stale = None, {}, set(self._known)
        for home in self._consumer.assignment():
            with suppress(kafka_errors.IllegalStateError):  # it may go at any time, in the client's own thread
                self._consumer.pause(home)

    # Membership, as the client's own thread tells it

    def _on_gained(self, homes: Iterable[TopicPartition]) -> None:
        """Nothing here may block: no record is fetched before the restore."""
        homes = list(homes)
        if homes:
            self._consumer.pause(*homes)
        self._changes.append((True, frozenset(home.partition for home in homes)))

    def _on_lost(self, homes: Iterable[TopicPartition]) -> None:
        self._changes.append((False, frozenset(home.partition for home in homes)))

    def _catch_up(self) -> tuple[frozenset[int], frozenset[int]]:
        """What was lost and gained since the last poll."""
        lost: set[int] = set()
        gained: set[int] = set()
        while self._changes:
            is_gain, partitions = self._changes.popleft()
            if is_gain:
                gained |= partitions
            else:
                lost |= partitions & self._known
                gained -= partitions
        assigned = {home.partition for home in self._consumer.assignment()}
        lost |= self._known - assigned
        gained = (gained | self._stale) & assigned
        self._known = (self._known - lost) | gained
        self._stale = set()
        self._positions = {p: offset for p, offset in self._positions.items() if p not in lost | gained}
        return frozenset(lost), frozenset(gained)

    def _take(self, found: Mapping[TopicPartition, Sequence[Any]]) -> Iterable[Record]:
        """Records of restored partitions from their position on; what was fetched before a restore comes again."""
        for home, records in found.items():
            for record in records:
                if record.offset >= self._positions.get(home.partition, record.offset + 1):
                    self._positions[home.partition] = record.offset + 1
                    yield as_record(record, self._topic_id or "")

    def _check_may_poll(self, max_records: int) -> None:
        if self._closed:
            raise ValueError(f"{self.name} has left its group: open a new transport")
        if max_records < 0:
            raise ValueError(f"max_records is {max_records}, expected 0 or more")
        if self._batch is not None and self._batch.records:
            raise ValueError("the last batch is neither committed nor aborted: do one before the next poll")

    def _check_topic(self) -> None:
        """The frames' topic must be there, and be the one that the state is of: offsets begin anew in another one."""
        if time.monotonic() - self._checked_at < _CHECK_SECONDS:
            return
        (topic,) = self._admin.describe_topics([self._frames])
        if topic["error_code"]:
            raise kafka_errors.for_code(topic["error_code"])(f"topic {self._frames}")
        self._checked_at = time.monotonic()
        if self._topic_id not in (None, str(topic["topic_id"])):
            logger.warning("topic %s was deleted and made again: beginning anew", self._frames)
            self._reset()
        self._topic_id = str(topic["topic_id"])
        self._num_partitions = len(topic["partitions"])

    # Clients

    def _open(self) -> None:
        settings = self._settings
        self._admin = open_admin(settings)
        self._opened.append(self._admin.close)
        reader = self._own(open_consumer(settings, group_id=None, fetch_max_wait_ms=20, **RECENT))
        self._snapshots = StateReader(reader, self._admin, self._state, settings.request_timeout_seconds)
        self._consumer = self._own(
            open_consumer(
                settings,
                group_id=self._group,
                client_id=self.name,
                group_instance_id=settings.group_instance_id,
                session_timeout_ms=round(settings.session_timeout_seconds * 1000),
                heartbeat_interval_ms=round(min(settings.session_timeout_seconds * 250, 1000)),
                max_poll_interval_ms=round(settings.max_poll_interval_seconds * 1000),
                partition_assignment_strategy=[Assignor],
                **RECENT,
            )
        )
        with explained(f"subscribing to {self._frames}"):
            self._check_topic()
            self._consumer.subscribe([self._frames], listener=_Listener(self._on_gained, self._on_lost))
            # Who leads a group without knowing the topic's partitions assigns nothing.
            self._consumer.learn(settings.request_timeout_seconds)

    def _own(self, consumer: Consumer) -> Consumer:
        self._opened.append(lambda: close_consumer(consumer))
        return consumer

    def _home(self, partition: int) -> TopicPartition:
        return TopicPartition(self._frames, partition)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    """Hands rebalances on."""

    def __init__(self, gained: Callable[..., None], lost: Callable[..., None]) -> None:
        self._gained, self._lost = gained, lost

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """The client's callback."""
        self._gained(assigned)

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """The client's callback."""
        self._lost(revoked)

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        """The client's callback."""
        self._lost(lost)
