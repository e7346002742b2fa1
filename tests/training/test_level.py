"""One threshold for short and long tracks."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")

from tests.training.made import made_faces
from worker.training.data import VARIANTS
from worker.training.model import LEVEL_LENGTHS, Recognizer
from worker.training.sequences import People, compose, gallery_images
from worker.training.train import level_lengths, scores


def test_heights_are_met_at_the_lengths_and_stay_after_the_last() -> None:
    """The broken line goes through what it was given, and is flat beyond."""
    model = Recognizer(hidden=8)
    heights = torch.tensor(np.random.default_rng(0).normal(size=len(LEVEL_LENGTHS)), dtype=torch.float32)
    model.set_level(heights)
    counts = torch.tensor([*LEVEL_LENGTHS, 40, 48], dtype=torch.float32)[:, None]
    _, shift = model.calibrated(torch.zeros(len(counts), 2), counts)
    expected = torch.cat([heights - heights[0], (heights[-1] - heights[0]).repeat(2)])
    torch.testing.assert_close(shift[:, 0], expected, atol=1e-5, rtol=1e-5)


def test_strangers_pass_one_threshold_equally_often_at_every_length() -> None:
    """A head that is generous to short tracks is made level; without that, it isn't."""
    torch.manual_seed(0)
    faces = made_faces(60, 4)
    people, everyone = People.of(faces, np.arange(60)), np.arange(60)
    embeddings = torch.from_numpy(faces.embeddings)
    model = Recognizer(hidden=8).eval()
    model.head = torch.nn.Linear(model.head[0].in_features, 2)
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.zero_()
        model.head.weight[1, 3] = -0.4  # half the logarithm of the count lowers the shift

    def reached() -> list[float]:
        rng, rounds = np.random.default_rng(5), []
        others = ~torch.eye(60, dtype=torch.bool)
        for number in range(8):
            gallery = gallery_images(people, everyone, rng)
            tracks = compose(people, everyone, gallery, 32, rng, hard=1.0, bursts=0.6 * (number % 2))
            with torch.no_grad():
                outputs, _ = model(embeddings[tracks], None, (1, 8, 32))
                enrolled = model.enrol(embeddings[gallery * VARIANTS])
            rounds.append(torch.stack([scores(output, *enrolled)[others] for output in outputs]))
        return torch.quantile(torch.cat(rounds, 1), 0.999, dim=1).tolist()

    before = reached()
    level_lengths(model, embeddings, people, np.random.default_rng(1))
    after = reached()
    assert max(before) - min(before) > 0.1, "there is something to level"
    assert max(after) - min(after) < 0.5 * (max(before) - min(before))
