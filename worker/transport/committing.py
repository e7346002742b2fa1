"""The writing half of the log on Kafka: records and offsets in one transaction, or records alone.

Every future of a sent record is looked at: a transaction commits as if all were well without a batch that timed out.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from kafka import KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors

from worker.errors import Retryable
from worker.settings import KafkaSettings
from worker.transport.clients import close_producer, explain, open_producer
from worker.transport.log import Message

logger = logging.getLogger(__name__)

Offsets: TypeAlias = Mapping[TopicPartition, OffsetAndMetadata]

_LAST_SECONDS = 2.0

RECENT = {"metadata_max_age_ms": 5000}
"""How soon a client hears of a partition that is added, and of its room."""


class Committer:
    """A producer and what it has to end before the next one writes. Used by one thread."""

    def __init__(self, settings: KafkaSettings, name: str, group: str, *, transactional: bool) -> None:
        """``name``: the member's. A transactional one takes ``commit``, the other ``send``."""
        self._settings = settings
        self._name = name
        self._transactional = transactional
        self._stable = settings.group_instance_id is not None
        self._transactional_id = f"{group}-{settings.group_instance_id}" if self._stable else name
        self._unended: str | None = None  # a transactional id under which something may be open
        self._num_opened = 0
        self._producer: KafkaProducer | None = None

    def prepare(self) -> KafkaProducer:
        """The producer, opened where there is none, after what one before it left open was ended.

        With a stable name the next producer has the same transactional id, and takes it from whoever else has it. With
        a random one it writes under an id of its own: should a broker have lost the end of the transaction before, it
        stays open, and is seen; under the same id the next commit would make it part of itself. Raises the library's
        errors.
        """
        if self._producer is not None:
            return self._producer
        if not self._transactional:
            self._producer = open_producer(self._settings, client_id=self._name, **RECENT)
            return self._producer
        self.end()
        self._producer = self._open(self._transactional_id)
        return self._producer

    def end(self) -> None:
        """End what a producer before left open; tried once, for the coordinator does it in time too."""
        if self._unended is None or self._stable:
            return
        ended, self._unended = self._unended, None
        self._num_opened += 1
        self._transactional_id = f"{self._name}-{self._num_opened}"
        try:
            close_producer(self._open(ended), give_up=True)
        except (kafka_errors.KafkaError, OSError, Retryable) as error:
            logger.info("what %s left open isn't ended yet: %s", ended, explain(error))

    def commit(self, messages: Sequence[Message], offsets: Offsets, membership: Any) -> None:
        """All in one transaction. Raises the library's errors; then call ``discard``."""
        self.prepare().begin_transaction()
        self.send(messages)
        if offsets:
            self._settle(lambda manager: manager.send_offsets_to_transaction(dict(offsets), membership))
        self._settle(lambda manager: manager.begin_commit())

    def send(self, messages: Sequence[Message]) -> None:
        """Write and wait for every acknowledgement. Raises the library's errors; then call ``discard``."""
        producer = self.prepare()
        _check_room(producer, messages)
        futures = [
            producer.send(
                message.topic,
                # The client takes no record that has neither key nor value.
                key=b"" if message.key is None and message.value is None else message.key,
                value=message.value,
                headers=list(message.headers),
                partition=message.partition,
                timestamp_ms=None if message.timestamp_us is None else message.timestamp_us // 1000,
            )
            for message in messages
        ]
        if futures:
            producer.flush(timeout=self._settings.request_timeout_seconds * 3)
        for future in futures:
            if not future.succeeded():
                raise future.exception or kafka_errors.KafkaTimeoutError("a record was not acknowledged in time")

    def discard(self, error: BaseException) -> None:
        """End what was begun with nothing written: the producer is thrown away.

        It isn't asked to abort. kafka-python 3.0.12 keeps offsets that the group refused, and commits them with the
        next transaction; after a timeout it may wait for ever, or say that it aborted what the broker still holds open.
        """
        if self._producer is None:
            return
        logger.info("the producer of %s is replaced: %s", self._name, explain(error))
        close_producer(self._producer, give_up=True)
        self._producer, self._unended = None, self._transactional_id

    def close(self) -> None:
        """Give up what isn't committed. What a failed commit left open is ended, if a broker answers at once."""
        if self._producer is not None:
            close_producer(self._producer, give_up=True)
            self._producer = None
        self._settings = self._settings.model_copy(update={"request_timeout_seconds": _LAST_SECONDS})
        self.end()

    def _open(self, transactional_id: str) -> KafkaProducer:
        """A producer of that id; the coordinator has ended whatever another one of it left open."""
        producer = open_producer(
            self._settings,
            client_id=self._name,
            transactional_id=transactional_id,
            transaction_timeout_ms=round(self._settings.transaction_timeout_seconds * 1000),
            **RECENT,
        )
        try:
            producer.init_transactions()
        except BaseException:
            close_producer(producer, give_up=True)
            raise
        return producer

    def _settle(self, request: Callable[[Any], Any]) -> None:
        """What the producer's own methods do, which wait without end: here for as long as a record may take."""
        producer = self.prepare()
        result = request(producer._transaction_manager)
        producer._sender.wakeup()
        if not result.wait(timeout_ms=round(self._settings.request_timeout_seconds * 3000)):
            raise kafka_errors.KafkaTimeoutError("the transaction's coordinator didn't answer in time")


def _check_room(producer: KafkaProducer, messages: Iterable[Message]) -> None:
    """The client takes a partition that it hasn't heard of yet for a mistake of ours."""
    for topic, partition in {(each.topic, each.partition) for each in messages if each.partition is not None}:
        if partition not in producer.partitions_for(topic):
            raise kafka_errors.UnknownTopicOrPartitionError(f"{topic}-{partition}")
