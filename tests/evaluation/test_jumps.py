"""Jumps noticed: the tracks, the signals and the counting, each held against a loop that says the same slowly."""

from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")

from tests.evaluation.faces import made_up
from worker.evaluation.alarms import disagreement, told_by
from worker.evaluation.cells import Material
from worker.evaluation.jumps import LENGTHS, SETS, Jumps, courses, jumps
from worker.evaluation.networks import Network
from worker.evaluation.noticed import first_alarms, is_noticed, jumps_noticed
from worker.evaluation.results import Results
from worker.evaluation.store import Scored
from worker.training.data import VARIANTS
from worker.training.model import Recognizer

MATERIAL = Material.of(made_up(30), None)
TESTED = np.arange(4, 28)


def persons(rows: np.ndarray) -> np.ndarray:
    """Whom each row shows."""
    return MATERIAL.faces.person[rows // VARIANTS]


@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize("length", LENGTHS)
def test_a_jump_has_four_frames_of_either(kind: str, length: int) -> None:
    """One block of one other person, who stays in bursts; before and after it the track as it was."""
    made: Jumps = jumps(MATERIAL.images, TESTED, kind, length, 0)
    foreign = persons(made.jumped) != TESTED[made.person][:, None]
    assert (persons(made.clean) == TESTED[made.person][:, None]).all()
    np.testing.assert_array_equal(made.jumped[~foreign], made.clean[~foreign])
    np.testing.assert_array_equal(foreign.argmax(1), made.start)
    block = foreign.sum(1)
    assert (np.abs(np.diff(foreign, axis=1)).sum(1) == np.where(foreign[:, -1], 1, 2)).all(), "one block"
    assert all(len(set(row[mask])) == 1 for row, mask in zip(persons(made.jumped), foreign, strict=True))
    assert made.start.min() == max(4, length // 4 if kind == "C" else 4)
    assert block.min() >= 4
    if kind == "bursts":
        assert foreign[:, -1].all() and made.start.max() == length - 4
    else:
        assert block.max() == max(4, round(0.4 * length)) and (length == 8) == bool(foreign[:, -1].all())


def test_jumps_are_the_same_for_everybody() -> None:
    """By seed alone, so that all signals are judged on the same tracks; another seed gives others."""
    one, again, other = (jumps(MATERIAL.images, TESTED, "C", 16, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.jumped, again.jumped)
    assert (one.jumped != other.jumped).any()


def test_disagreement_is_what_a_loop_says() -> None:
    """One minus the centred cosine with the norm^8 mean of all frames before, and with the last one."""
    rng = np.random.default_rng(0)
    frames = rng.normal(0, 1, (3, 9, 128)) * rng.uniform(5, 15, (3, 9, 1))
    center = rng.normal(0, 0.02, 128)
    found = disagreement(frames.astype(np.float32), center)

    def one(vector: np.ndarray) -> np.ndarray:
        less = vector / np.linalg.norm(vector) - center
        return less / np.linalg.norm(less)

    for track in range(3):
        for t in range(1, 9):
            before = sum(np.linalg.norm(f) ** 7 * f for f in frames[track, :t])
            assert found["running"][track, t] == pytest.approx(1 - one(frames[track, t]) @ one(before), abs=1e-5)
            assert found["previous"][track, t] == pytest.approx(
                1 - one(frames[track, t]) @ one(frames[track, t - 1]), abs=1e-5
            )
    assert (found["running"][:, 0] == 0).all() and (found["previous"][:, 0] == 0).all()


def test_the_network_tells_at_each_frame() -> None:
    """The signal at a frame is that of the track ending there: nothing later can change it."""
    torch.manual_seed(0)
    model = Recognizer().eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.log_norm_mean.fill_(2.4)  # about what made-up faces have
    frames = MATERIAL.embeddings[jumps(MATERIAL.images, TESTED, "C", 16, 0).jumped[:5]]
    whole, part = (told_by(Network(model), frames[:, :t])["alarm"] for t in (16, 6))
    assert whole.shape == (5, 16) and whole[:, 1:].std() > 0.001
    np.testing.assert_allclose(whole[:, :6], part, atol=1e-6)
    with torch.no_grad():
        alone = torch.sigmoid(model.alarm.along(model.heard(torch.from_numpy(frames)))).numpy()
    np.testing.assert_allclose(whole[:, 1:], alone[:, 1:], atol=1e-6)
    assert (whole[:, 0] == 0).all(), "the first frame is the first person's"


def test_alarms_by_hand() -> None:
    """In time at the block's first and fourth frame, not at the fifth, not before, not never."""
    signal = np.zeros((5, 12))
    for track, frame in enumerate((4, 7, 8, 3)):
        signal[track, frame:] = 1
    assert first_alarms(signal, 0.5).tolist() == [4, 7, 8, 3, 12]
    assert is_noticed(signal, np.full(5, 4), 0.5).tolist() == [True, True, False, False, False]
    assert not is_noticed(signal[4:], np.array([8]), 0.5).any(), "the end of the track is no alarm"


def made_results(signal: Callable[[str, tuple[int, int], np.ndarray], np.ndarray], folds: int = 3) -> Results:
    """Of two networks' worth of signals, ``signal`` of (what, shape, start)."""
    found = {}
    for fold in range(folds):
        for seed in (0, 1):
            extra = {}
            for kind in SETS:
                for length in LENGTHS:
                    start = np.random.default_rng([fold, length]).integers(4, length - 3, 60)
                    extra |= {f"jump-{kind}-{length}-start": start, f"jump-{kind}-{length}-person": np.arange(60) % 20}
                    for what in ("clean", "jumped"):
                        told = signal(what, (60, length), start)
                        for name in ("alarm", "doubt"):
                            extra[f"jump-{kind}-{length}-{what}-{name}"] = told
            found["lstm", seed, fold] = Scored({}, {}, extra)
    return Results(found)


def test_a_signal_that_knows_notices_all() -> None:
    """Where nothing is doubted but the block, every jump is noticed without a false alarm."""

    def knows(what: str, shape: tuple[int, int], start: np.ndarray) -> np.ndarray:
        return ((what == "jumped") & (np.arange(shape[1]) >= start[:, None])).astype(float)

    for row in jumps_noticed(made_results(knows))["rows"]:
        assert (row["noticed"]["value"], row["false_alarms"]["value"]) == (1, 0)
        assert row["noticed_at_own_threshold"] == 1


def test_a_signal_that_guesses_is_counted_as_a_loop_does() -> None:
    """Random signals: thresholds from the other folds' calm tracks, and each track judged one by one."""
    rng = np.random.default_rng(1)
    results = made_results(lambda what, shape, start: rng.normal(what == "jumped", 1, shape))
    rows = {(row["set"], row["T"]): row for row in jumps_noticed(results)["rows"]}
    hits, alarms, total = 0, 0, 0
    for (_, seed, fold), one in results.scored.items():
        calm = sorted(
            max(track)
            for other in range(3) if other != fold
            for kind in SETS for length in LENGTHS
            for track in results.scored["lstm", seed, other].extra[f"jump-{kind}-{length}-clean-alarm"]
        )  # fmt: skip
        limit = calm[-1 - len(calm) // 100]  # a hundredth of them is above
        jumped, start = one.extra["jump-C-16-jumped-alarm"], one.extra["jump-C-16-start"]
        for track, begin in zip(jumped, start, strict=True):
            frames = [t for t in range(16) if track[t] > limit]
            hits += bool(frames) and begin <= frames[0] <= begin + 3
        alarms += sum(max(track) > limit for track in one.extra["jump-C-16-clean-alarm"])
        total += len(start)
    assert rows["C", 16]["tracks"] == total
    assert rows["C", 16]["noticed"]["value"] == pytest.approx(hits / total)
    assert rows["C", 16]["false_alarms"]["value"] == pytest.approx(alarms / total)
    assert 0 < hits < total and alarms > 0
    low, high = rows["all", "all"]["false_alarms"]["ci95"]
    assert low <= 0.01 <= high


def test_courses_hold_every_set_and_length() -> None:
    """Signals of clean and jumped tracks alike, with where each jump begins; before it both say the same."""
    center = np.zeros(128)
    found = courses(lambda frames: disagreement(frames, center), MATERIAL, TESTED, 0)
    assert len(found) == len(SETS) * len(LENGTHS) * (2 + 2 * 2)
    start = found["jump-C-32-start"]
    clean, jumped = (found[f"jump-C-32-{what}-previous"] for what in ("clean", "jumped"))
    before = np.arange(32) < start[:, None]
    np.testing.assert_array_equal(clean[before], jumped[before])
    at_start = np.arange(len(start)), start
    assert jumped[at_start].mean() > clean[at_start].mean() + 0.2, "somebody else is unlike the frame before"
