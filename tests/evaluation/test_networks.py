"""The networks as the evaluation trains and asks them; a few steps on made-up people, one thread."""

from collections.abc import Iterator

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")

from tests.evaluation.faces import made_up
from worker.evaluation.closed_set import ClosedSetRecipe, told, train_closed_set
from worker.evaluation.memoryless import Memoryless
from worker.evaluation.networks import NETWORKS, Network, trained
from worker.evaluation.pooling import Centers, Pooling
from worker.training.data import VARIANTS
from worker.training.model import Recognizer
from worker.training.train import Recipe

FACES = made_up(40)
SMALL = Recipe(steps=3, batch=16, length=10, bank=40, hardest_negatives=20)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small products are not worth two."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def some_tracks(tracks: int = 6, frames: int = 9, seed: int = 0) -> np.ndarray:
    """Raw embeddings [B, T, 128] of made-up people."""
    rows = np.random.default_rng(seed).integers(0, len(FACES.embeddings), (tracks, frames))
    return FACES.embeddings[rows]


def random_memoryless() -> Memoryless:
    """None of the zero initialisations is left."""
    torch.manual_seed(0)
    model = Memoryless()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() and float(parameter.abs().max()) == 0:
                parameter.normal_(0, 0.3)
        model.probe_center.normal_(0, 0.02)
        model.log_norm_mean.fill_(2.3)
    return model.eval()


@pytest.mark.slow
@pytest.mark.parametrize("kind", NETWORKS)
def test_every_kind_is_trained_and_asked(kind: str) -> None:
    """Scores are finite, of the shape asked for; a shorter track gives what the longer one gave at that length."""
    network = trained(kind, FACES, np.arange(40), SMALL, seed=1)
    photos = FACES.embeddings[: 5 * VARIANTS : VARIANTS][:, None]
    scores = network.scores(some_tracks(), photos, [1, 4, 9])
    assert scores.shape == (3, 6, 5) and np.isfinite(scores).all()
    np.testing.assert_allclose(network.scores(some_tracks()[:, :4], photos, [4])[0], scores[1], atol=1e-4)


@pytest.mark.slow
def test_the_seed_decides() -> None:
    """Two trainings with one seed are the same network; with another they aren't."""
    photos = FACES.embeddings[: 5 * VARIANTS : VARIANTS][:, None]
    one, same, other = (
        trained("memoryless", FACES, np.arange(40), SMALL, seed).scores(some_tracks(), photos, [9])
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-4


def test_memoryless_starts_as_the_eighth_power_of_the_norm() -> None:
    """Before any training its template is the centred norm^8 mean, and its score the cosine."""
    frames, photos = some_tracks(), FACES.embeddings[: 5 * VARIANTS : VARIANTS][:, None]
    nothing = Centers(np.zeros(128), np.zeros(128))
    expected = Pooling("mean", 8, nothing).scores(frames, photos, [9])
    np.testing.assert_allclose(Network(Memoryless().eval()).scores(frames, photos, [9]), expected, atol=1e-4)


def test_memoryless_remembers_nothing() -> None:
    """Frames in another order have the same weights and make the same template; a recurrent network differs."""
    frames = some_tracks()
    order = np.random.default_rng(1).permutation(9)
    weights = Network(random_memoryless()).told(frames)[0]
    np.testing.assert_allclose(Network(random_memoryless()).told(frames[:, order])[0], weights[:, order], rtol=1e-4)
    photos = FACES.embeddings[: 5 * VARIANTS : VARIANTS][:, None]
    np.testing.assert_allclose(
        Network(random_memoryless()).scores(frames, photos, [9]),
        Network(random_memoryless()).scores(frames[:, order], photos, [9]),
        atol=1e-4,
    )
    torch.manual_seed(0)
    recurrent = Recognizer(hidden=8).eval()
    with torch.no_grad():
        recurrent.gate[2].weight.normal_(0, 1)
    one = Network(recurrent).told(frames)[0]
    assert np.abs(Network(recurrent).told(frames[:, order])[0] - one[:, order]).max() > 1e-3


def test_the_classifier_learns_whom_it_is_shown() -> None:
    """Eight people who are far apart: after some steps it names their other frames; a softmax sums to one."""
    photos = [np.flatnonzero(FACES.person == person) for person in range(8)]
    model = train_closed_set(FACES, photos, ClosedSetRecipe(steps=80, batch=32), 0)
    rows = np.array([images[0] * VARIANTS + np.arange(5) for images in photos])
    chances = told(model, FACES.embeddings[rows])
    assert (chances.argmax(1) == np.arange(8)).all()
    np.testing.assert_allclose(chances.sum(1), 1, atol=1e-5)
