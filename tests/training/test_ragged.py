"""Tracks of any age in one call: the exported network gives each what it gives the track alone, in one pass."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")

from tests.training.made import made_faces
from worker.engines.onnxruntime import OnnxRuntimeEngine
from worker.stages.recognize import blank_state, recognize
from worker.training.export import export
from worker.training.model import Recognizer

LENGTHS = (1, 2, 5, 13, 28, 29, 30)


def random_network() -> Recognizer:
    """No weight is left at zero, so that nothing is exact by being nothing."""
    torch.manual_seed(0)
    model = Recognizer(hidden=16)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() and float(parameter.abs().max()) == 0:
                parameter.normal_(0, 0.3)
        model.log_norm_mean.fill_(2.6)
        model.exponent.fill_(2.0)
    return model.eval()


def test_ragged_batches_are_exact(tmp_path: Path) -> None:
    """Tracks of 1…30 frames that come and go in rounds of random company, against a pass of each alone."""
    model = random_network()
    faces = made_faces(len(LENGTHS), 2)
    tracks = [faces.embeddings[30 * n : 30 * n + length] for n, length in enumerate(LENGTHS)]
    export(model, {}, tmp_path)
    assert not any(module.training for module in model.modules()), "dropout stays off"
    engine = OnnxRuntimeEngine((tmp_path / "recognizer.onnx").read_bytes())
    states = [blank_state(engine) for _ in tracks]
    last = [None] * len(tracks)
    seen = [0] * len(tracks)
    rng = np.random.default_rng(0)
    sizes = set()
    while waiting := [n for n, length in enumerate(LENGTHS) if seen[n] < length]:
        some = [n for n in rng.permutation(waiting) if rng.random() < 0.6]
        if not some:
            continue
        frames = np.stack([tracks[n][seen[n]] for n in some])
        answers, after = recognize(np.stack([states[n] for n in some]), frames, engine)
        for position, n in enumerate(some):
            states[n], last[n] = after[position], answers[position]
            seen[n] += 1
        sizes.add(len(some))
    assert len(sizes) > 3, "batches of several sizes"
    for track, answer in zip(tracks, last, strict=True):
        with torch.no_grad():
            outputs, _ = model(torch.from_numpy(track[None]))
        # Float32 in another order of operations over up to 30 steps.
        np.testing.assert_allclose(answer.template, outputs[-1].template[0].numpy(), atol=2e-5)
        weight, first, scale, shift, _, alarm = outputs[-1].summary[0].tolist()
        assert answer.weight == pytest.approx(weight * first, rel=1e-3, abs=1e-6)
        assert (answer.scale, answer.shift, answer.alarm) == pytest.approx((scale, shift, alarm), abs=1e-4)


def test_what_follows_in_a_padded_batch_changes_nothing_before() -> None:
    """In training a short track is a prefix: its outputs are those of the track alone, whatever comes after."""
    model = random_network()
    frames = torch.from_numpy(made_faces(4, 2).embeddings.reshape(4, 30, 128))
    other = frames.clone()
    other[:, 13:] = frames[:, 13:].flip(0)
    with torch.no_grad():
        whole, _ = model(frames)
        changed, _ = model(other)
        alone, _ = model(frames[2:3, :13])
    for a, b in zip(whole[12], changed[12], strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(whole[13].template, changed[13].template)
    torch.testing.assert_close(whole[12].template[2:3], alone[12].template, atol=1e-5, rtol=0)
