"""What every engine must keep, whatever it runs on: a class of tests that each engine's module inherits.

A subclass gives a ``harness`` fixture. ONNX Runtime is the reference; another engine states how far it may be from it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from worker.engines.engine import Engine, TensorSpec

Feeds = dict[str, NDArray]


@dataclass(frozen=True)
class Case:
    """One model, how to feed it, and in which steps a caller may batch it."""

    name: str
    model: bytes
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]
    feeds: Callable[[int], Feeds]  # that many rows, all different, the same at every call
    tile: int = 1  # callers pad batches to a multiple


@dataclass(frozen=True)
class Harness:
    """How to open an engine, and what it is called."""

    open: Callable[[bytes], Engine]
    name: str
    case: Case


class EngineContract:
    """The promises of ``worker.engines.engine.Engine``."""

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls, harness: Harness) -> Iterator[Engine]:
        """Opened once a model: that tests don't disturb each other is part of the promise."""
        with harness.open(harness.case.model) as engine:
            yield engine

    def test_it_says_what_it_is(self, engine: Engine, harness: Harness) -> None:
        """Name, inputs and outputs are those of runtime and model, in the model's order."""
        assert engine.name == harness.name
        assert engine.inputs == harness.case.inputs
        assert tuple(spec.name for spec in engine.outputs) == harness.case.outputs

    def test_outputs_fit_their_declaration(self, engine: Engine, harness: Harness) -> None:
        """Names, types and fixed sizes of results are those declared; equal free dimensions are equal."""
        out = engine.run(harness.case.feeds(3 * harness.case.tile))
        assert list(out) == [spec.name for spec in engine.outputs]
        for spec in engine.outputs:
            array = out[spec.name]
            assert array.dtype.name == spec.dtype
            assert array.ndim == len(spec.shape)
            assert array.shape[0] == 3 * harness.case.tile
            assert all(want == have for want, have in zip(spec.shape, array.shape, strict=True) if want != str(want))
            assert np.isfinite(array).all()

    def test_outputs_belong_to_the_caller(self, engine: Engine, harness: Harness) -> None:
        """A later run changes nothing in the results of an earlier one, nor in what it was fed."""
        feeds = harness.case.feeds(harness.case.tile)
        fed = {name: array.copy() for name, array in feeds.items()}
        first = engine.run(feeds)
        kept = {name: array.copy() for name, array in first.items()}
        engine.run({name: np.flip(array).copy() * np.float32(0.5) for name, array in feeds.items()})
        for name, array in first.items():
            np.testing.assert_array_equal(array, kept[name])
            assert array.flags.writeable
        for name, array in feeds.items():
            np.testing.assert_array_equal(array, fed[name])

    @pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7])
    def test_rows_are_independent(self, engine: Engine, harness: Harness, size: int) -> None:
        """Bit for bit: a row says the same alone, in a batch of any size, and in any place of it."""
        tile = harness.case.tile
        everything = harness.case.feeds(7 * tile)
        reference = engine.run(everything)
        rng = np.random.default_rng(size)
        for rows in (np.arange(size * tile), rng.permutation(7 * tile)[: size * tile]):
            out = engine.run({name: np.ascontiguousarray(array[rows]) for name, array in everything.items()})
            for name, array in out.items():
                np.testing.assert_array_equal(array, reference[name][rows], err_msg=f"{name}, {size} rows")

    def test_a_missing_feed_is_named(self, engine: Engine) -> None:
        """The message says which input, and what it takes."""
        with pytest.raises(ValueError, match=rf"input '{engine.inputs[0].name}' is missing; it takes float32 \["):
            engine.run({})

    def test_an_unknown_feed_is_named(self, engine: Engine, harness: Harness) -> None:
        """A typo isn't passed over."""
        feeds = harness.case.feeds(harness.case.tile) | {"pixels": np.zeros(1, np.float32)}
        with pytest.raises(ValueError, match=rf"unknown input 'pixels'; this model takes .*{engine.inputs[0].name}"):
            engine.run(feeds)

    @pytest.mark.parametrize(
        ("spoil", "have"),
        [
            (lambda a: a.astype(np.float64), "float64"),
            (lambda a: a.astype(np.uint8), "uint8"),
            (lambda a: a[0], "not float32"),
            (lambda a: a[:, :-1], "not float32"),
            (lambda a: np.concatenate([a, a], axis=1), "not float32"),
        ],
        ids=["float64", "uint8", "no batch", "too short", "too long"],
    )
    def test_a_wrong_feed_is_told_apart(
        self, engine: Engine, harness: Harness, spoil: Callable[[NDArray], NDArray], have: str
    ) -> None:
        """Wrong type or shape: the message names the input, what it takes, and what came."""
        feeds = harness.case.feeds(harness.case.tile)
        spec = engine.inputs[0]
        spoiled = spoil(feeds[spec.name])
        with pytest.raises(ValueError, match=rf"input '{spec.name}' takes float32 .* not .*") as caught:
            engine.run(feeds | {spec.name: spoiled})
        assert have in str(caught.value)
        assert str(list(spoiled.shape)) in str(caught.value)

    def test_a_refused_feed_breaks_nothing(self, engine: Engine, harness: Harness) -> None:
        """After an error the engine serves on."""
        feeds = harness.case.feeds(harness.case.tile)
        before = engine.run(feeds)
        with pytest.raises(ValueError, match="missing"):
            engine.run({})
        for name, array in engine.run(feeds).items():
            np.testing.assert_array_equal(array, before[name])

    def test_close_twice_then_nothing_runs(self, harness: Harness) -> None:
        """Closing is idempotent; a closed engine says so."""
        engine = harness.open(harness.case.model)
        engine.close()
        engine.close()
        with pytest.raises(ValueError, match="closed"):
            engine.run(harness.case.feeds(harness.case.tile))

    def test_leaving_the_context_closes(self, harness: Harness) -> None:
        """As a context manager it gives itself, closes at the end, and hides no error."""
        error = KeyError("mine")
        with pytest.raises(KeyError) as caught, harness.open(harness.case.model) as engine:
            raise error
        assert caught.value is error
        with pytest.raises(ValueError, match="closed"):
            engine.run(harness.case.feeds(harness.case.tile))
