"""ONNX Runtime on the CPU keeps the contract; the stages' batches keep rows apart."""

import numpy as np
import pytest

from tests.engines.cases import NAMES, case, embeddings, pictures
from tests.engines.contract import Case, EngineContract, Harness
from worker.engines.engine import Engine
from worker.engines.onnxruntime import OnnxRuntimeEngine
from worker.errors import ModelError
from worker.settings import Settings
from worker.stages.embed import embed
from worker.stages.recognize import BATCH_TILE, blank_state, recognize


@pytest.fixture(
    scope="module",
    params=[pytest.param(n, marks=[pytest.mark.models] if n.startswith(("yunet", "sface")) else []) for n in NAMES],
)
def harness(request: pytest.FixtureRequest, default_settings: Settings) -> Harness:
    """ONNX Runtime with one of the models."""
    try:
        return Harness(OnnxRuntimeEngine, "onnxruntime-cpu", case(request.param, default_settings))
    except ModelError:
        pytest.skip(f"{request.param} is not in the cache: run 'faceline models pull'")


class TestOnnxRuntime(EngineContract):
    """The contract, for every model that a worker runs."""


def test_the_contract_sees_rows_that_mix() -> None:
    """An engine whose rows depend on their batch, as a batch norm left in training mode would, is found out."""

    class Mixing:
        def run(self, feeds: dict) -> dict:
            return {"out": feeds["x"] - feeds["x"].mean()}

    mixing = Case("mixing", b"", (), ("out",), lambda number: {"x": np.arange(number, dtype=np.float32)[:, None]})
    with pytest.raises(AssertionError, match="out, 3 rows"):
        EngineContract().test_rows_are_independent(Mixing(), Harness(lambda _: Mixing(), "", mixing), 3)


def test_a_broken_model_is_refused() -> None:
    """Bytes that are no ONNX model raise when the engine is opened, not when it runs."""
    with pytest.raises(Exception, match=r"(?i)protobuf|parse|model"):
        OnnxRuntimeEngine(b"not a model")


@pytest.mark.parametrize("batch", range(1, 2 * BATCH_TILE + 2))
def test_recognize_keeps_tracks_apart(recognizer: Engine, batch: int) -> None:
    """A track's answer and state are the same bits, however many it is batched with (docs/decisions/0003)."""
    frames = embeddings(2 * BATCH_TILE + 1)
    states = np.stack([blank_state(recognizer)] * len(frames))
    for _ in range(2):  # the second step reads a state that says something
        alone = [recognize(states[i : i + 1], frames[i : i + 1], recognizer) for i in range(batch)]
        answers, new_states = recognize(states[:batch], frames[:batch], recognizer)
        for i, ((answer,), state) in enumerate(alone):
            np.testing.assert_array_equal(answers[i].template, answer.template)
            assert _figures(answers[i]) == _figures(answer)
            np.testing.assert_array_equal(new_states[i], state[0])
        states = np.concatenate([new_states, states[batch:]])
        frames = np.roll(frames, 1, axis=0)


def _figures(answer: object) -> list[float]:
    return [getattr(answer, name) for name in ("weight", "first_person", "scale", "shift", "total_weight")]


def test_recognize_of_nobody(recognizer: Engine) -> None:
    """No tracks, no call, no answer."""
    answers, states = recognize(np.zeros((0, 3), np.float32), np.zeros((0, 128), np.float32), recognizer)
    assert answers == []
    assert states.shape == (0, 3)


def test_templates_are_unit_vectors(recognizer: Engine) -> None:
    """What is matched by a product has length 1 (1e-5: float32), and weights are shares of what is summed."""
    answers, _ = recognize(np.stack([blank_state(recognizer)] * 5), embeddings(5), recognizer)
    for answer in answers:
        assert np.linalg.norm(answer.template) == pytest.approx(1, abs=1e-5)
        assert 0 <= answer.first_person <= 1
        assert answer.total_weight == pytest.approx(answer.weight, rel=1e-5)


@pytest.mark.parametrize("max_batch", [1, 2, 3, 32])
def test_embed_splits_batches_unseen(embedder: Engine, max_batch: int) -> None:
    """Seven crops give the same bits in one call or in several; none gives an empty array."""
    crops = pictures(7, 112, 112).transpose(0, 2, 3, 1).astype(np.uint8)
    np.testing.assert_array_equal(embed(crops, embedder, max_batch=max_batch), embed(crops, embedder))
    assert embed(crops[:0], embedder).shape == (0, 128)
