"""Real frames through real workers on a real broker: undisturbed, and with every kind of fault."""

from pathlib import Path

import pytest

from tests.end_to_end.chaos import Plan, run
from tests.end_to_end.fleet import Verdict
from worker.assemble import Loaded

pytestmark = [pytest.mark.kafka, pytest.mark.models, pytest.mark.slow]

CLEAN = Verdict(0, 0, 0, 0, 0, 0, 0)


def test_faults_change_nothing_that_subscribers_read(loaded: Loaded, tmp_path: Path) -> None:
    """Two workers say what one says, byte for byte, and go on saying it when workers and broker are hurt.

    The short form of ``make chaos``.
    """
    plans = [
        Plan(),
        Plan(kills=2, stalls=1, rescales=1, restarts=1),
        Plan(kills=2, stalls=1, static=True),
    ]
    outcomes = run(tmp_path, plans, cameras=6, frames=60, seed=7, seconds=120)
    assert [outcome.verdict for outcome in outcomes] == [CLEAN] * 3
    assert all(outcome.num_frames == 360 and outcome.num_events > 10 for outcome in outcomes)
    assert sum(outcomes[1].faults.values()) == 5
    assert outcomes[1].exit_codes[-9] >= 1
