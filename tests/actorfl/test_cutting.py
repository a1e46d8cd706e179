"""Where a model is cut into shards: always alike, nearly equal, and without a change of bits."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorfl import ParameterServer, ServerState
from actorfl.algorithm import Closed, advance
from actorfl.cutting import Cut
from actorfl.errors import Misfit
from actorfl.grid import Grid, tops_of
from actorfl.layout import Kind, Layout, Vector
from actorfl.merging import Merger
from actorfl.relative import relative
from actorfl.terms import Contribution, Sum, Terms

SIZES = st.lists(st.integers(0, 70), min_size=1, max_size=8)


def layout_of(sizes: list[int]) -> Layout:
    kinds: list[Kind] = ["parameter", "buffer"]
    return Layout.build(
        (f"t{index}", (size,), "float32", kinds[index % 3 == 2]) for index, size in enumerate(sizes)
    )


def cut_of(layout: Layout, shards: int) -> Cut | None:
    """None where there are too few places."""
    try:
        return Cut.of(layout.shapes, shards)
    except Misfit:
        return None


@given(SIZES, st.integers(1, 5))
def test_the_pieces_are_the_model_and_none_is_empty(sizes: list[int], shards: int) -> None:
    layout = layout_of(sizes)
    cut = cut_of(layout, shards)
    if cut is None:
        places = {part.stop for part in layout if part.size} | {
            part.offset + at
            for part in layout
            if part.size * shards > layout.size
            for at in range(16, part.size, 16)
        }
        assert len(places) < shards
        return
    assert (cut.bounds[0], cut.bounds[-1], len(cut)) == (0, layout.size, shards)
    assert all(low < high for low, high in pairwise(cut.bounds))
    found: dict[str, list[int]] = {part.name: [] for part in layout}
    for shard in range(shards):
        own = cut.layout(layout, shard)
        assert own.size == cut.bounds[shard + 1] - cut.bounds[shard]
        assert own.shapes == cut.shapes_of(shard)
        for piece, part in zip(cut.pieces(shard), own, strict=True):
            of = layout.parts[piece.part]
            assert part.kind == of.kind
            assert cut.bounds[shard] + part.offset == of.offset + piece.begin
            assert piece.begin % 16 == 0
            found[of.name] += range(piece.begin, piece.begin + part.size)
    assert found == {part.name: list(range(part.size)) for part in layout}


def test_tensors_stay_whole_unless_they_are_larger_than_a_share() -> None:
    assert Cut.of([("a", (50,)), ("b", (60,)), ("c", (40,))], 2).bounds == (0, 50, 150)
    assert Cut.of([("a", (40,)), ("b", (40,)), ("c", (40,))], 2).bounds == (0, 40, 120)
    digits = Cut.of([("weight", (10, 64)), ("bias", (10,))], 2)
    assert digits.bounds == (0, 320, 650)
    assert [piece.name for piece in digits.pieces(0)] == ["weight[0:320]"]
    assert [piece.name for piece in digits.pieces(1)] == ["weight[320:640]", "bias"]


def test_a_model_with_too_few_places_is_refused() -> None:
    with pytest.raises(Misfit, match="a model of 2 tensors and 18 numbers cannot be cut into 4"):
        Cut.of([("w", (17,)), ("b", (1,))], 4)
    assert Cut.of([("w", (17,)), ("b", (1,))], 3).bounds == (0, 16, 17, 18)


def moved(layout: Layout, state: ServerState, grid: Grid, parts: list[Vector]) -> ServerState:
    """One version by all parts under a barrier, and one by the first of them without."""
    algorithm = ParameterServer(0.3, momentum=0.9)
    for step, of in enumerate((parts, parts[:1])):
        merger = Merger(layout, grid, step)
        for index, vector in enumerate(of):
            terms = Terms(gradient=Sum(vector, index + 1))
            terms.contributions = frozenset({Contribution(f"w{index}", step)})
            terms.examples, terms.shapes = index + 1, layout.shapes
            merger.fold(terms)
        merged = merger.merged()
        if step:
            merged = relative(merged, state, (), 9, algorithm.gradients)
        closed = Closed(step, step, ("w0",), ("w0",), 9, len(parts))
        state = advance(algorithm, state, merged, closed).state
    return state


@given(SIZES, st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_pieces_move_as_they_do_in_the_whole_bit_for_bit(
    sizes: list[int], shards: int, seed: int
) -> None:
    layout = layout_of(sizes)
    cut = cut_of(layout, shards)
    if cut is None:
        return
    draw = np.random.default_rng(seed)
    # Parts of very different magnitudes, also within one tensor, so that a grid of its own shows.
    scale = np.exp2(draw.integers(-12, 12, layout.size))
    model = (draw.normal(size=layout.size) * scale).astype(np.float32)
    parts = [(draw.normal(size=layout.size) * scale).astype(np.float32) for _ in range(3)]
    algorithm = ParameterServer(0.3, momentum=0.9)
    own = Grid.of(model, layout, 9)
    grid = own.wider()  # so that none of the gradients is beyond it
    assert grid is not None
    whole = moved(layout, algorithm.begin(model), grid, parts)
    layouts = [cut.layout(layout, shard) for shard in range(shards)]
    tops = [tops_of(model[cut.slice(i)], piece) for i, piece in enumerate(layouts)]
    assert Grid.around(cut.tops(tops), 9) == own
    states = [
        moved(
            piece, algorithm.begin(model[cut.slice(i)]), cut.grid(grid, i),
            [part[cut.slice(i)] for part in parts],
        )
        for i, piece in enumerate(layouts)
    ]  # fmt: skip
    assert np.concatenate([each.weights for each in states]).tobytes() == whole.weights.tobytes()
    velocity = np.concatenate([each.vectors["velocity"] for each in states])
    assert velocity.tobytes() == whole.vectors["velocity"].tobytes()
