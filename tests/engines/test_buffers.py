"""Where tensors lie, how batches are cut, which shapes are recorded: plans, as plain values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.engines.batches import Piece, halvings, pieces
from worker.engines.buffers import ALIGNMENT, aligned, grown, lay_out, write_rows
from worker.engines.engine import TensorSpec
from worker.engines.graphs import Action, GraphPolicy

STEPS, CAPTURE, LAUNCH = Action.STEPS, Action.CAPTURE, Action.LAUNCH


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["float32", "int64", "uint8", "float16"]),
            st.lists(st.integers(1, 9), min_size=1, max_size=4),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_tensors_lie_apart_and_aligned(tensors: list[tuple[str, list[int]]]) -> None:
    """Every offset is a multiple of the alignment, none reaches into the next, and what is written is read back."""
    specs = tuple(TensorSpec(f"t{i}", dtype, tuple(shape)) for i, (dtype, shape) in enumerate(tensors))
    layout = lay_out(specs, {spec.name: spec.shape for spec in specs})
    end = 0
    for slot in layout.slots:
        assert slot.offset % ALIGNMENT == 0
        assert end <= slot.offset < end + ALIGNMENT
        assert slot.num_bytes == np.zeros(slot.shape, slot.dtype).nbytes
        end = slot.offset + slot.num_bytes
    assert layout.num_bytes == aligned(end)
    views = layout.views(np.zeros(layout.num_bytes, np.uint8))
    for number, view in enumerate(views.values()):
        view[...] = number + 1
    assert all((view == number + 1).all() for number, view in enumerate(views.values()))
    assert layout.addresses(4096) == {slot.name: 4096 + slot.offset for slot in layout.slots}


def test_rows_are_written_and_the_rest_repeats_the_last() -> None:
    """Rows 2…4 of a batch in a buffer of four rows: garbage is nowhere left."""
    view = np.full((4, 2), np.nan, np.float32)
    write_rows({"x": view}, {"x": np.arange(12, dtype=np.float32).reshape(6, 2)}, 2, 3)
    np.testing.assert_array_equal(view, [[4, 5], [6, 7], [8, 9], [8, 9]])


@pytest.mark.parametrize(
    ("have", "need", "want"),
    [
        (0, 1, 2 * 2**20),  # a whole block
        (2 * 2**20, 2 * 2**20, 2 * 2**20),  # it suffices
        (4 * 2**20, 4 * 2**20 + 1, 6 * 2**20),  # by half
        (2 * 2**20, 9 * 2**20, 10 * 2**20),  # what is needed is more than that
    ],
)
def test_growth(have: int, need: int, want: int) -> None:
    """Memory in bytes before, wanted, after."""
    assert grown(have, need) == want


@given(st.lists(st.integers(1, 2**33), min_size=1, max_size=50))
def test_growth_is_rare(needs: list[int]) -> None:
    """It always suffices, never shrinks, and moves at most logarithmically often."""
    have, moves = 0, 0
    for need in needs:
        size = grown(have, need)
        assert size >= max(have, need)
        moves += size != have
        have = size
    assert moves <= 2 + np.log(2**33 / 2**21) / np.log(1.5)


@given(st.integers(1, 300), st.integers(1, 70), st.booleans())
def test_pieces_cover_every_row_once(num_rows: int, largest: int, fixed: bool) -> None:
    """In order, none larger than allowed; one size where it is fixed, few sizes where not."""
    cut = list(pieces(num_rows, largest, fixed=fixed))
    assert [row for p in cut for row in range(p.start, p.start + p.rows)] == list(range(num_rows))
    assert all(p.rows <= p.size <= largest for p in cut)
    sizes = {p.size for p in cut}
    assert sizes == {largest} if fixed else all(size == largest or size & (size - 1) == 0 for size in sizes)


def test_pieces_of_a_batch() -> None:
    """Ten rows, four at most."""
    assert list(pieces(10, 4, fixed=False)) == [Piece(0, 4, 4), Piece(4, 4, 4), Piece(8, 2, 2)]
    assert list(pieces(10, 4, fixed=True, start=4)) == [Piece(4, 4, 4), Piece(8, 2, 4)]
    assert list(halvings(12)) == [12, 6, 3, 1]


def test_a_shape_is_captured_when_it_recurs() -> None:
    """At the third run; a shape that came once never is."""
    policy = GraphPolicy(after=3, bound=2)
    assert [policy.decide(s) for s in "aabaa"] == [STEPS, STEPS, STEPS, CAPTURE, CAPTURE]
    assert policy.keep("a") is None
    assert [policy.decide(s) for s in "aba"] == [LAUNCH, STEPS, LAUNCH]


def test_the_least_recently_used_graph_goes() -> None:
    """At most two; using one keeps it."""
    policy = GraphPolicy(after=1, bound=2)
    assert policy.keep("a") is None
    assert policy.keep("b") is None
    assert policy.decide("a") is LAUNCH
    assert policy.keep("c") == "b"
    assert [policy.decide(s) for s in "abc"] == [LAUNCH, CAPTURE, LAUNCH]


def test_what_was_refused_is_not_tried_again() -> None:
    """Until many other shapes were refused since."""
    policy = GraphPolicy(after=1, bound=1)
    policy.refuse("a")
    assert policy.decide("a") is STEPS
    for number in range(4):
        policy.refuse(number)
    assert policy.decide("a") is CAPTURE


def test_after_a_restart_graphs_come_back_soon() -> None:
    """What was worth a graph is captured at its next run; nothing is launched before."""
    policy = GraphPolicy(after=5, bound=2)
    policy.keep("a")
    policy.restart()
    assert policy.decide("a") is CAPTURE


def test_counts_are_bounded() -> None:
    """A camera that changes its size at every frame fills no memory: old counts are forgotten."""
    policy = GraphPolicy(after=2, bound=1)
    assert policy.decide("a") is STEPS
    for number in range(4):
        policy.decide(number)
    assert policy.decide("a") is STEPS
    assert policy.decide("a") is CAPTURE


def test_no_graphs_at_all() -> None:
    """A bound of nothing."""
    policy = GraphPolicy(after=1, bound=0)
    assert [policy.decide("a") for _ in range(5)] == [STEPS] * 5


@pytest.mark.parametrize(("after", "bound"), [(0, 1), (1, -1)])
def test_impossible_policies_are_refused(after: int, bound: int) -> None:
    """The message names both figures."""
    with pytest.raises(ValueError, match=f"graphs after {after} runs, at most {bound}"):
        GraphPolicy(after, bound)
