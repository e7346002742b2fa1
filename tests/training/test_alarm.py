"""The alarm that says when a track has gone over to another person."""

from copy import deepcopy

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")

from tests.training.made import made_faces
from worker.training import jumps
from worker.training.checkpoint import Interrupted
from worker.training.jumps import set_limit, train_alarm
from worker.training.model import Recognizer
from worker.training.sequences import People, compose

pytestmark = pytest.mark.slow

FACES = made_faces(60, 4)
EMBEDDINGS = torch.from_numpy(FACES.embeddings)
TRAINED_ON, OTHERS = People.of(FACES, np.arange(40)), People.of(FACES, np.arange(40, 60))


@pytest.fixture(scope="module")
def alarmed() -> tuple[Recognizer, Recognizer]:
    """A network as it was born, and the same with an alarm trained in a few seconds."""
    torch.manual_seed(0)
    born = Recognizer(hidden=16).eval()
    born.log_norm_mean.fill_(float(torch.log(EMBEDDINGS.norm(dim=1)).mean()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jumps, "ROUNDS", 6)
        model = deepcopy(born)
        train_alarm(model, EMBEDDINGS, TRAINED_ON, 120, seed=0)
    return born, model


def tracks(people: People, jumped: bool, length: int = 16, number: int = 20) -> np.ndarray:
    """Rows of a track for each of ``people``, from the ninth frame on somebody else's where ``jumped``."""
    rng = np.random.default_rng(1)
    everyone = np.tile(np.arange(len(people)), number)
    rows = compose(people, everyone, None, length, rng)
    if jumped:
        rows[:, 8:] = compose(people, (everyone + 1) % len(people), None, length, rng)[:, 8:]
    return rows


def alarms(model: Recognizer, rows: np.ndarray) -> np.ndarray:
    """What serving is told at every frame."""
    with torch.no_grad():
        outputs, _ = model(EMBEDDINGS[rows])
    return np.stack([output.summary[:, 5].numpy() for output in outputs], 1)


def test_training_the_alarm_changes_nothing_else(alarmed: tuple[Recognizer, Recognizer]) -> None:
    """Every other weight, and so every score, is what it was."""
    born, model = alarmed
    before, after = born.state_dict(), model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith("alarm.") for name in changed)


def test_jumps_are_noticed_on_people_not_trained_on(alarmed: tuple[Recognizer, Recognizer]) -> None:
    """At the limit for one false alarm in a hundred tracks nearly every jump between clear faces is noticed in time."""
    model = deepcopy(alarmed[1])
    set_limit(model, EMBEDDINGS, OTHERS, seed=2)
    calm, jumped = alarms(model, tracks(OTHERS, jumped=False)), alarms(model, tracks(OTHERS, jumped=True))
    assert (calm.max(1) > 0.5).mean() < 0.05
    assert (jumped[:, 8:12].max(1) > 0.5).mean() > 0.8
    assert (jumped[:, :8].max(1) > 0.5).mean() < 0.05


def test_the_limit_is_that_of_the_wanted_share(alarmed: tuple[Recognizer, Recognizer]) -> None:
    """Of degraded tracks of the people whom it was set on, one in a hundred raises the alarm; set again, it stays."""
    model = deepcopy(alarmed[1])
    set_limit(model, EMBEDDINGS, OTHERS, seed=2)
    once = float(model.alarm.limit)
    assert once != 0
    set_limit(model, EMBEDDINGS, OTHERS, seed=2)
    assert float(model.alarm.limit) == pytest.approx(once, abs=1e-4)
    rng, everyone = np.random.default_rng(7), np.tile(np.arange(len(OTHERS)), 100)
    raised = [
        (alarms(model, compose(OTHERS, everyone, None, length, rng, hard=1.0, bursts=bursts, still=0.0)) > 0.5).any(1)
        for length in jumps.LENGTHS
        for bursts in (0.6, 1.0)
    ]
    assert 0.004 < np.concatenate(raised).mean() < 0.02, "of 12,000 tracks of the same 20 people"


def test_a_stop_is_heard(alarmed: tuple[Recognizer, Recognizer]) -> None:
    """After the step at hand, with what to do."""
    heard: list[int] = []
    with pytest.raises(Interrupted, match="go on with --resume"):
        train_alarm(
            deepcopy(alarmed[0]), EMBEDDINGS, TRAINED_ON, 50, seed=0,
            report=lambda step, loss: heard.append(step), stop=lambda: len(heard) == 2,
        )  # fmt: skip
    assert heard == [1, 2]


def test_the_first_frame_never_alarms(alarmed: tuple[Recognizer, Recognizer]) -> None:
    """It is the first person's by definition."""
    assert (alarms(alarmed[1], tracks(OTHERS, jumped=True))[:, 0] == 0).all()


def test_the_same_seed_gives_the_same_alarm(alarmed: tuple[Recognizer, Recognizer]) -> None:
    """To the bit, so that an interrupted run ends where another would have."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jumps, "ROUNDS", 3)
        found = []
        for _ in range(2):
            torch.rand(7)
            model = deepcopy(alarmed[0])
            train_alarm(model, EMBEDDINGS, TRAINED_ON, 3, seed=5)
            found.append(model.alarm.state_dict())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
