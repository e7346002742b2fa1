"""The metered transport: the contract, through what it measures."""

from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("tests.transport.contract")

from tests.transport.contract import TransportContract  # after the line above
from tests.transport.test_memory import MemoryHarness
from worker.metrics import Metrics
from worker.transport.log import Transport
from worker.transport.metered import MeteredTransport


class MeteredHarness(MemoryHarness):
    """Every member is measured."""

    num_random_steps = 200

    def member(self, member_id: str | None = None) -> Transport:  # type: ignore[override]
        """See ``Harness``."""
        return MeteredTransport(super().member(member_id), Metrics())

    def expire(self, member: Transport) -> None:
        """See ``Harness``."""
        assert isinstance(member, MeteredTransport)
        super().expire(member._inner)

    kill = expire


@pytest.fixture
def harness() -> Iterator[MeteredHarness]:
    """Fresh topics and a fresh group."""
    yield MeteredHarness()


class TestContract(TransportContract):
    """What is measured is still a transport."""
