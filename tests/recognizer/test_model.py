"""The network itself: stepping, exporting, recurrence. Small random weights; no data needed."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")

from worker.engines.models import load_recognizer
from worker.engines.onnxruntime import OnnxRuntimeEngine
from worker.stages.recognize import recognize
from worker.training.export import PackedStep, export
from worker.training.model import _NUMBERS, Recognizer, State

NUM_TRACKS, NUM_FRAMES = 5, 40


def embeddings(seed: int = 0) -> np.ndarray:
    """Raw embeddings [B, T, 128] of people who look like themselves."""
    rng = np.random.default_rng(seed)
    people = rng.normal(size=(NUM_TRACKS, 1, 128))
    frames = people + 0.8 * rng.normal(size=(NUM_TRACKS, NUM_FRAMES, 128))
    return (frames * rng.uniform(0.4, 1.2, size=(NUM_TRACKS, NUM_FRAMES, 1))).astype(np.float32)


def random_model(cell: str, seed: int = 0, horizon: int = 16, layers: int = 1) -> Recognizer:
    """A network whose every weight matters: none of the zero initialisations is left."""
    torch.manual_seed(seed)
    model = Recognizer(cell, hidden=16, horizon=horizon, layers=layers)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() and float(parameter.abs().max()) == 0:
                parameter.normal_(0, 0.3)
        model.probe_center.normal_(0, 0.02)
        model.gallery_center.normal_(0, 0.02)
        model.log_norm_mean.fill_(2.2)
        model.exponent.fill_(2.0)
    return model.eval()


@pytest.mark.parametrize(("cell", "layers"), [("lstm", 1), ("lstm", 2), ("gru", 1), ("gru", 2), ("rnn", 1), ("rnn", 2)])
def test_single_steps_in_onnx_equal_one_pass_in_torch(cell: str, layers: int, tmp_path: Path) -> None:
    """T steps of the exported graph, state carried outside, give what one pass of length T gives."""
    model = random_model(cell, layers=layers)
    frames = embeddings()
    with torch.no_grad():
        passed, _ = model(torch.from_numpy(frames))
    export(model, {}, tmp_path)
    engine = OnnxRuntimeEngine((tmp_path / "recognizer.onnx").read_bytes())
    states = np.zeros((NUM_TRACKS, engine.inputs[1].shape[1]), np.float32)
    sums = np.zeros(NUM_TRACKS)
    for t in range(NUM_FRAMES):
        answers, states = recognize(states, frames[:, t], engine)
        sums *= min(1.0, model.horizon / (t + 1)) if t < model.horizon else model.horizon / (model.horizon + 1)
        for track, answer in enumerate(answers):
            expected = passed[t]
            # Float32 in another order of operations; errors of 1e-6 a step, 40 steps.
            np.testing.assert_allclose(answer.template, expected.template[track].numpy(), atol=2e-5)
            weight, first, scale, shift, _, alarm = expected.summary[track].tolist()
            sums[track] += weight * first  # of which an exported step's weights are shares
            assert answer.weight == pytest.approx(weight * first, rel=1e-3, abs=1e-6)
            assert answer.first_person == pytest.approx(first, abs=1e-4)
            assert (answer.scale, answer.shift) == pytest.approx((scale, shift), abs=1e-4)
            assert answer.total_weight == pytest.approx(sums[track], rel=1e-3, abs=1e-6)
            assert answer.alarm == pytest.approx(alarm, abs=1e-4)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(("cell", "whole"), [("lstm", "LSTM"), ("gru", "GRU"), ("rnn", "RNN")])
def test_recurrence_equals_the_reference_layer(cell: str, whole: str, layers: int) -> None:
    """The hidden states of T steps are those of torch's own sequence layer with the same weights on the same inputs."""
    model = random_model(cell, layers=layers)
    inputs, hidden = [], []

    def record(module: torch.nn.Module, arguments: tuple, result: object) -> None:
        hidden.append(result[0] if cell == "lstm" else result)

    model.rnn[0].register_forward_pre_hook(lambda module, arguments: inputs.append(arguments[0]))
    model.rnn[-1].register_forward_hook(record)
    with torch.no_grad():
        model(torch.from_numpy(embeddings()))
        layer = getattr(torch.nn, whole)(model.rnn[0].input_size, 16, layers, batch_first=True)
        for number, own in enumerate(model.rnn):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(layer, f"{name}_l{number}").copy_(getattr(own, name))
        expected, _ = layer(torch.stack(inputs, 1))
    torch.testing.assert_close(torch.stack(hidden, 1), expected, atol=1e-5, rtol=1e-4)


def test_every_part_of_the_state_matters() -> None:
    """Blanking any part of the state changes what comes out later: nothing is carried in vain."""
    model = random_model("lstm")
    frames = torch.from_numpy(embeddings())
    with torch.no_grad():
        state = model.start(NUM_TRACKS, frames)
        for t in range(6):
            _, state, _ = model.step(frames[:, t], state)
        expected, _, _ = model.step(frames[:, 6], state)
        for name in State._fields:
            blanked = state._replace(**{name: torch.zeros_like(getattr(state, name))})
            output, _, _ = model.step(frames[:, 6], blanked)
            changed = max(float((a - b).abs().max()) for a, b in zip(output, expected, strict=True))
            assert changed > 1e-6, f"{name} is carried in vain"


def test_sums_fade_beyond_the_horizon() -> None:
    """After three horizons an early frame counts for less than a late one of the same quality, and nothing grows."""
    model = random_model("lstm", horizon=8)
    frames = torch.from_numpy(embeddings()).repeat(1, 5, 1)
    with torch.no_grad():
        state = model.start(NUM_TRACKS, frames)
        counts, totals = [], []
        for t in range(frames.shape[1]):
            output, state, _ = model.step(frames[:, t], state)
            counts.append(float(state.numbers[0, _NUMBERS.index("count")]))
            totals.append(float(output.summary[:, 4].max()))
    assert counts[:10] == [1, 2, 3, 4, 5, 6, 7, 8, 8, 8]
    assert np.isfinite(totals).all()
    assert max(totals[100:]) < 3 * max(totals[:40]), "beyond the horizon the sums stand still"


def test_packed_state_is_the_unpacked_one() -> None:
    """The single tensor that serving carries holds the parts in their order."""
    model = random_model("lstm")
    frames = torch.from_numpy(embeddings())
    packed = PackedStep(model)
    with torch.no_grad():
        _, expected, _ = model.step(frames[:, 0], model.start(NUM_TRACKS, frames))
        _, _, state = packed(frames[:, 0], torch.zeros(NUM_TRACKS, sum(packed.sizes)))
    assert torch.equal(state, torch.cat([part.flatten(1) for part in expected], 1))


def test_unknown_cell_is_refused() -> None:
    """A cell that doesn't exist is named, with those that do."""
    with pytest.raises(ValueError, match=r"gru.*lstm.*rnn.*'transformer'"):
        Recognizer("transformer")


def test_shipped_weights_are_small_and_recurrent() -> None:
    """What ships is an LSTM under 4 MB whose recurrent matrix is not zero."""
    onnx = pytest.importorskip("onnx")
    shipped = load_recognizer()
    assert shipped.cell == "lstm"
    assert len(shipped.recognizer) + len(shipped.enrol) < 4_000_000
    graph = onnx.load_from_string(shipped.recognizer).graph
    recurrent = [
        onnx.numpy_helper.to_array(tensor)
        for tensor in graph.initializer
        if tuple(tensor.dims) in ((64, 256), (256, 64))
    ]
    assert any(float(np.abs(matrix).max()) > 0.05 for matrix in recurrent)
