"""Models that travel as differences: what they add to a model that has moved on meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorfl.algorithm import ServerState
from actorfl.grid import Grid
from actorfl.holding import Holder
from actorfl.layout import Layout, Vector
from actorfl.merging import Merged, Merger
from actorfl.relative import differences, relative
from actorfl.terms import Sum, Terms

LAYOUT = Layout.build(
    [("w", (2,), "float32", "parameter"), ("running_var", (1,), "float32", "buffer")]
)
# Small multiples of 1/8: sums and products of them are exact in float32.
values = st.lists(st.integers(-64, 64).map(lambda n: n / 8), min_size=3, max_size=3)


def vector(numbers: Sequence[float]) -> Vector:
    return np.array(numbers, np.float32)


def added(
    base: Vector,
    read: Sequence[Vector],
    results: Sequence[Vector],
    weights: Sequence[int],
    shares: int | None,
    kind: type[Merger] = Merger,
) -> Merged:
    """What was merged of workers that read models of their own, as an algorithm sees it."""
    merger = kind(LAYOUT, Grid.of(base, LAYOUT, shares or sum(weights), 1.0), 0)
    for index, (start, result, weight) in enumerate(zip(read, results, weights, strict=True)):
        terms = differences(Terms(model=Sum(result, weight)), ("model",), start, LAYOUT)
        merger.fold(terms.stated(worker=f"w{index}", clock=0, examples=weight, layout=LAYOUT))
    return relative(merger.merged(), ServerState(base), ("model",), shares)


@given(values, values, values)
def test_one_update_moves_the_model_by_the_share_of_its_worker(
    base: list[float], read: list[float], result: list[float]
) -> None:
    merged = added(vector(base), [vector(read)], [vector(result)], [3], 12)["model"]
    moved = merged.mean()
    assert moved[:2].tolist() == [
        b + 0.25 * (y - x) for b, x, y in zip(base[:2], read[:2], result[:2], strict=True)
    ]
    # A running statistic moves towards the worker's, from wherever it is.
    assert moved[2] == 0.75 * base[2] + 0.25 * result[2]
    assert merged.weight == 12
    assert (merged.sum() / np.float32(12)).tolist() == pytest.approx(moved.tolist())


@given(values, st.lists(values, min_size=2, max_size=4))
def test_updates_from_the_model_as_it_is_give_the_mean_of_the_models(
    base: list[float], results: list[list[float]]
) -> None:
    """As under a barrier: nothing has moved since they were read."""
    weights = [1, 2, 1, 4][: len(results)]
    start = vector(base)
    made = [vector(each) for each in results]
    moved = added(start, [start] * len(made), made, weights, None)["model"]
    mean = np.average([each.astype(float) for each in made], axis=0, weights=weights)
    np.testing.assert_allclose(moved.mean(), mean, rtol=1e-6, atol=1e-5)
    assert moved.weight == sum(weights)
    np.testing.assert_allclose(moved.sum(), mean * sum(weights), rtol=1e-6, atol=1e-4)


@given(values, values, st.lists(values, min_size=2, max_size=4))
def test_updates_that_all_workers_make_of_one_model_add_up_in_any_order(
    base: list[float], read: list[float], results: list[list[float]]
) -> None:
    """One after the other by their shares, or all at once: x + sum of p_k (y_k - x_read)."""
    shares = len(results)
    model = vector(base)
    for result in results:
        model = added(model, [vector(read)], [vector(result)], [1], shares)["model"].mean()
    every = [vector(each) for each in results]
    at_once = added(vector(base), [vector(read)] * shares, every, [1] * shares, shares)["model"]
    np.testing.assert_allclose(model[:2], at_once.mean()[:2], rtol=1e-5, atol=1e-5)


def test_a_variance_stays_above_zero_however_stale_an_update_is() -> None:
    """A fast worker has brought it down from 1; a slow one read it at 1 and wants it lower."""
    base, read = vector([0, 0, 0.05]), vector([0, 0, 1])
    moved = added(base, [read], [vector([0, 0, 0.1])], [1], 2)["model"].mean()
    assert moved[2] == pytest.approx(0.075)


@given(values, values, values)
def test_models_that_are_held_are_those_that_the_workers_would_have_come_to_from_here(
    base: list[float], read: list[float], result: list[float]
) -> None:
    merged = added(vector(base), [vector(read)], [vector(result)], [1], None, Holder)
    (model,) = merged.models["model"]
    expected = [b + (y - x) for b, x, y in zip(base, read, result, strict=True)]
    assert model.tolist() == [*expected[:2], result[2]]


def test_counters_never_go_down() -> None:
    layout = Layout.of({"w": np.zeros(1, np.float32), "n": np.zeros((), np.int64)})
    merger = Merger(layout, Grid.of(vector([0]), layout, 2, 1.0), 0)
    terms = Terms(model=Sum(vector([1])))
    merger.fold(
        terms.stated(
            worker="w0", clock=0, examples=1, layout=layout, integers={"n": np.array(3, np.int64)}
        )
    )
    state = ServerState(vector([0]), {"n": np.array(7, np.int64)})
    view = relative(merger.merged(), state, ("model",), 2)
    assert view.integers["n"] == 7
    assert view.integers["n"].dtype == np.int64
    assert view["model"].single is None


def test_what_is_no_model_goes_as_it_is() -> None:
    terms = Terms(model=Sum(vector([1, 1, 1])), control=Sum(vector([1, 1, 1])))
    sent = differences(terms, ("model",), vector([1, 0, 3]), LAYOUT).sums
    model, control = sent["model"], sent["control"]
    assert isinstance(model, Sum)
    assert isinstance(control, Sum)
    assert (model.array.tolist(), control.array.tolist()) == ([0, 1, 1], [1, 1, 1])
