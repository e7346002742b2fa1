"""Profiles: what an engine takes, and that what the pipeline feeds lies within."""

from dataclasses import replace

import numpy as np
import pytest

from worker.engines.compile.profiles import (
    InputProfile,
    Limits,
    Profile,
    Span,
    detector_spans,
    embedder_spans,
    padded,
    profile,
    recognizer_spans,
)
from worker.engines.engine import TensorSpec
from worker.errors import InvalidSettings, ModelError
from worker.stages.detect import to_tensor

DATA = TensorSpec("data", "float32", ("N", 3, 112, 112))


def limits(frames: int = 8, side: int = 640, faces: int = 64, tracks: int = 256) -> Limits:
    """Those of the settings' defaults, but for what is given."""
    return Limits(frames, side, faces, tracks, track_tile=16)


@pytest.mark.parametrize("wrong", [(0, 1, 1), (2, 1, 3), (1, 4, 3)])
def test_a_span_is_in_order(wrong: tuple[int, int, int]) -> None:
    """From 1, least, usual, most."""
    with pytest.raises(ValueError, match="least <= usual <= most"):
        Span(*wrong)


@pytest.mark.parametrize(
    ("frames", "side", "height", "width"),
    [
        (8, 640, (32, 384, 640), (32, 640, 640)),
        (1, 1920, (32, 1088, 1920), (32, 1920, 1920)),
        (4, 641, (32, 384, 672), (32, 672, 672)),
        (2, 32, (32, 32, 32), (32, 32, 32)),
    ],
)
def test_detector(frames: int, side: int, height: tuple[int, int, int], width: tuple[int, int, int]) -> None:
    """Sides are whole steps of 32, up to the longest side rounded up; the usual frame is 16:9."""
    spans = detector_spans(limits(frames=frames, side=side))
    assert spans == {"N": Span(1, frames, frames), "H": Span(*height), "W": Span(*width)}


@pytest.mark.parametrize(("faces", "span"), [(64, Span(1, 16, 64)), (4, Span(1, 4, 4)), (1, Span(1, 1, 1))])
def test_embedder(faces: int, span: Span) -> None:
    """From one face to the most."""
    assert embedder_spans(limits(faces=faces)) == {"N": span}


@pytest.mark.parametrize(
    ("tracks", "span"), [(256, Span(1, 64, 256)), (250, Span(1, 64, 256)), (17, Span(1, 32, 32)), (1, Span(1, 16, 16))]
)
def test_recognizer(tracks: int, span: Span) -> None:
    """The most is a whole number of tiles, and never less than one, which is what the pipeline feeds."""
    assert recognizer_spans(limits(tracks=tracks)) == {"B": span}


def test_where_every_run_has_the_most_rows_that_is_usual() -> None:
    """``fixed_batches``: nothing else is ever run, so an engine is fastest at it."""
    fixed = replace(limits(faces=64, tracks=250), fixed_batches=True)
    assert embedder_spans(fixed) == {"N": Span(1, 64, 64)}
    assert recognizer_spans(fixed) == {"B": Span(1, 256, 256)}


def test_shapes_of_all_inputs() -> None:
    """Free dimensions become spans, fixed ones stay."""
    state = TensorSpec("state", "float32", ("B", 1035))
    made = profile([TensorSpec("embedding", "float32", ("B", 128)), state], {"B": Span(1, 16, 32)}, "recognizer")
    assert made == Profile(
        (
            InputProfile("embedding", (1, 128), (16, 128), (32, 128)),
            InputProfile("state", (1, 1035), (16, 1035), (32, 1035)),
        )
    )
    assert str(made) == "embedding 1×128…16×128…32×128; state 1×1035…16×1035…32×1035"


def test_an_unknown_free_dimension_is_named() -> None:
    """A model of another make: the message says the input, its shape and what was expected."""
    with pytest.raises(ModelError, match=r"input 'data' of embedder is \['batch', 3, 112, 112\].*\['N'\]"):
        profile([TensorSpec("data", "float32", ("batch", 3, 112, 112))], embedder_spans(limits()), "embedder")


@pytest.mark.parametrize("shape", [(1, 3, 112, 112), (64, 3, 112, 112), (7, 3, 112, 112)])
def test_what_lies_within_passes(shape: tuple[int, ...]) -> None:
    """The ends count as within."""
    profile([DATA], embedder_spans(limits()), "embedder").require({"data": shape}, "embedder", "")


@pytest.mark.parametrize("shape", [(65, 3, 112, 112), (0, 3, 112, 112), (1, 3, 112, 113), (3, 112, 112)])
def test_a_profile_without_the_real_batch_is_refused(shape: tuple[int, ...]) -> None:
    """The message has what the engine would take, what is fed, and the cure."""
    made = profile([DATA], embedder_spans(limits()), "embedder")
    with pytest.raises(InvalidSettings, match="raise engine.max_faces") as caught:
        made.require({"data": shape}, "embedder", "raise engine.max_faces")
    assert "data 1×3×112×112…16×3×112×112…64×3×112×112" in str(caught.value)
    assert "×".join(map(str, shape)) in str(caught.value)


@pytest.mark.parametrize("fed", [{}, {"input": (1, 3, 112, 112)}, {"data": (1, 3, 112, 112), "mask": (1,)}])
def test_other_inputs_are_refused(fed: dict[str, tuple[int, ...]]) -> None:
    """A model with inputs that the pipeline doesn't know."""
    with pytest.raises(ModelError, match=r"takes \['data'\]"):
        profile([DATA], embedder_spans(limits()), "embedder").require(fed, "embedder", "")


def test_padding_is_that_of_the_detector() -> None:
    """What the stage makes of a frame of any side is what the profile counts with."""
    for side in (1, 31, 32, 33, 640, 641):
        assert to_tensor(np.zeros((side, 1, 3), np.uint8)).shape == (1, 3, padded(side), padded(1))
