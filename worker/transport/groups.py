"""Who works: the members of the consumer group, as the broker knows them."""

import time

from kafka import errors as kafka_errors
from kafka.admin import KafkaAdminClient

from worker.errors import Retryable
from worker.settings import Settings
from worker.transport.clients import explained, open_admin

_PAUSE_SECONDS = 0.2
_COORDINATOR_TO_COME = ("NotCoordinator", "CoordinatorNotAvailable", "CoordinatorLoadInProgress")


class GroupReader:
    """Asks who the workers of this application are. One thread. Raises ``Retryable``."""

    def __init__(self, settings: Settings) -> None:
        self._group = settings.service.application_id
        self._patience_seconds = settings.kafka.request_timeout_seconds
        self._admin = open_admin(settings.kafka)

    def members(self) -> frozenset[str]:
        """The workers' names: the instance's id where membership is static, else the client's id."""
        described = _described(self._admin, self._group, time.monotonic() + self._patience_seconds)
        return frozenset(member["group_instance_id"] or member["client_id"] for member in described)

    def committed(self, topic: str) -> dict[int, int]:
        """The next offset of every partition of ``topic`` on which the group has committed."""
        deadline = time.monotonic() + self._patience_seconds
        while True:
            try:
                with explained(f"asking what group {self._group} has committed"):
                    found = self._admin.list_group_offsets({self._group: None})[self._group]
                break
            except Retryable as error:
                if not _may_pass(error) or time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE_SECONDS)
        return {home.partition: at.offset for home, at in found.items() if home.topic == topic and at.offset >= 0}

    def close(self) -> None:
        """Close the connection."""
        self._admin.close()


def _described(admin: KafkaAdminClient, group: str, deadline: float) -> list[dict[str, str]]:
    """The group's members; none where there is no such group."""
    while True:
        try:
            with explained(f"asking who is in group {group}"):
                found = admin.describe_groups([group])[group]
        except Retryable as error:
            if not _may_pass(error) or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)
            continue
        if found["error"] and found["group_state"] != "Dead":
            if any(name in str(found["error"]) for name in _COORDINATOR_TO_COME) and time.monotonic() < deadline:
                time.sleep(_PAUSE_SECONDS)
                continue
            raise Retryable(f"asking who is in group {group}: {found['error']}")
        members: list[dict[str, str]] = found["members"]
        return members


def _may_pass(error: Retryable) -> bool:
    """The coordinator of a cluster that has seen no group yet is only made by asking for it."""
    return isinstance(error.__cause__, kafka_errors.RetriableError)
