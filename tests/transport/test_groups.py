"""Who works, on a cluster whose coordinator is still being made: the first question after its first start."""

import time

import pytest

from worker.errors import Retryable
from worker.transport.groups import _described


class Answers:
    """The admin client, with what a broker answered; real brokers say it for a second after their first start only."""

    def __init__(self, *answers: dict) -> None:
        self._answers = list(answers)

    def describe_groups(self, groups: list[str]) -> dict:
        """The next answer, the last one again and again."""
        return {groups[0]: self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]}


TO_COME = {"error": "[Error 16] NotCoordinatorError: None", "group_state": "", "members": []}
NOBODY = {"error": "[Error 69] GroupIdNotFoundError: None", "group_state": "Dead", "members": []}


def test_a_coordinator_to_come_is_waited_for() -> None:
    """Met on a new cluster, where 'faceline forget' gave up at once."""
    assert _described(Answers(TO_COME, TO_COME, NOBODY), "faceline", time.monotonic() + 60) == []  # type: ignore[arg-type]


def test_not_for_ever() -> None:
    """When the time is over, the broker's own words; likewise an error that time doesn't cure, at once."""
    with pytest.raises(Retryable, match="who is in group faceline: .*NotCoordinator"):
        _described(Answers(TO_COME), "faceline", time.monotonic())  # type: ignore[arg-type]
    refused = {"error": "[Error 30] GroupAuthorizationFailedError", "group_state": "", "members": []}
    with pytest.raises(Retryable, match="GroupAuthorizationFailed"):
        _described(Answers(refused), "faceline", time.monotonic() + 60)  # type: ignore[arg-type]
