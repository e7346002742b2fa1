"""The loop's pauses; the whole of serving is tested in tests/end_to_end."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from worker import serving
from worker.errors import ParityFailed
from worker.health import Health
from worker.logs import BatchLog
from worker.metrics import Metrics
from worker.service import Step
from worker.serving import _Desk, _hindrance, _load, _turn
from worker.settings import ServiceSettings, Settings


@dataclass
class Room:
    """Stands for all that the loop talks to: every turn commits, and so many records wait after it."""

    waiting: int
    requested: bool = False
    pauses: list[float] = field(default_factory=list)

    def step(self) -> Step:
        """A batch, committed."""
        return Step(num_records=8, committed=True)

    def batch_frames(self) -> int:
        """As many as the step had."""
        return 8

    def lag(self) -> dict[int, int]:
        """On two partitions."""
        return {0: self.waiting - self.waiting // 2, 1: self.waiting // 2}

    def tell(self, *_: object) -> None:
        """Heard once, then the loop is asked to stop."""
        self.requested = True

    def wait(self, seconds: float) -> None:
        """Noted, not slept."""
        self.pauses.append(seconds)


@pytest.mark.parametrize(
    ("delivery", "waiting", "pauses"),
    [("exactly_once", 0, 1), ("exactly_once", 7, 1), ("exactly_once", 8, 0), ("at_least_once", 0, 0)],
)
def test_a_batch_waits_for_its_interval_only_where_work_does_not(delivery: str, waiting: int, pauses: int) -> None:
    """Exactly once, a commit is put off until its time has come or a whole batch waits; else never."""
    settings = Settings(service=ServiceSettings(delivery=delivery, commit_interval_seconds=5))
    room = Room(waiting)
    _turn(settings, room, room, None, room, room, fail_fast=False)
    assert len(room.pauses) == pauses
    assert all(4 < seconds <= 5 for seconds in room.pauses)


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (Step(), "joining"),
        (Step(generation=1, gained=frozenset({0}), waiting=frozenset({0})), "restoring"),
        (Step(generation=1, restored={0: 0.1}, working=1), "restoring"),
        (Step(generation=1, waiting=frozenset({0, 1})), "none of its partitions can be restored"),
        (Step(generation=1, waiting=frozenset({0}), working=1), None),
        (Step(generation=1), None),
        (Step(generation=1, working=2), None),
        (Step(generation=1, committed=True, restored={0: 0.1}, working=1), None),
    ],
)
def test_a_worker_is_ready_when_it_can_work(step: Step, reason: str | None) -> None:
    """A spare one without partitions too; one that has just restored must show that it can commit or has nothing to."""
    told = _hindrance(step)
    assert told is None if reason is None else reason in (told or "")


def test_compiling_is_told_and_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Minutes at start: /startupz says how far it is; a stop ends it, and is no error."""
    desk, stop = _Desk(Metrics(), Health(120), BatchLog()), Room(0)
    reasons: list[str | None] = []

    def open_models(settings: Settings, progress: Callable[[str], None]) -> None:
        for done in range(10):
            stop.requested = done == 2
            progress(f"compiling embedder: building, {done} of 10")
            reasons.append(desk.health.why_not_started())
        pytest.fail("it went on compiling")

    monkeypatch.setattr(serving, "open_models", open_models)
    assert _load(Settings(), desk, stop) is None
    assert reasons == ["compiling embedder: building, 0 of 10", "compiling embedder: building, 1 of 10"]


@pytest.mark.parametrize("fail_fast", [False, True])
def test_an_engine_that_differs_is_shown_before_the_end(monkeypatch: pytest.MonkeyPatch, fail_fast: bool) -> None:
    """Probes and Prometheus see why nothing is served; then the process ends with it, at once where that is asked."""
    desk = _Desk(Metrics(), Health(120), BatchLog())
    error = ParityFailed("embedder", "embedder isn't the reference's equal: run 'faceline compile --force'")

    class Waits(Room):
        seen: str | None = None

        def wait(self, seconds: float) -> None:
            super().wait(seconds)
            self.seen, self.requested = desk.health.why_not_started(), len(self.pauses) == 3

    def open_models(settings: Settings, progress: object) -> None:
        raise error

    monkeypatch.setattr(serving, "open_models", open_models)
    stop = Waits(0)
    with pytest.raises(ParityFailed):
        _load(Settings(), desk, stop, fail_fast)
    assert desk.health.why_not_alive() is None
    shown = desk.metrics.registry.get_sample_value("faceline_engine_parity_failed", {"model": "embedder"})
    assert (shown, len(stop.pauses)) == ((None, 0) if fail_fast else (1, 3))
    assert fail_fast or "refuses to serve: embedder isn't the reference's equal" in (stop.seen or "")
