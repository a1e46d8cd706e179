"""The laws of the rules that look at whole models as points: Krum and the geometric median."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorfl import GeometricMedian, Krum, MultiKrum, Star
from actorfl.algorithm import Algorithm
from actorfl.algorithms.geometry import squared, squared_between, trained
from actorfl.errors import Misfit, WrongType
from actorfl.layout import Layout, Vector
from tests.actorfl.clocks import merged
from tests.actorfl.configs import run_of

FLAT = Layout.of({"x": np.zeros(2, np.float32)})
#: A running statistic between two trained parts.
NORMED = Layout.build(
    [
        ("w", (1,), "float32", "parameter"),
        ("running_mean", (1,), "float32", "buffer"),
        ("b", (1,), "float32", "parameter"),
    ]
)
RULES = (Krum(), MultiKrum(), MultiKrum(m=2), GeometricMedian())

# Eighths, so that sums, differences and squares are exact: equations hold to the bit.
models = st.lists(
    st.lists(st.integers(-32, 32), min_size=2, max_size=2), min_size=5, max_size=8
).map(lambda rows: [np.array(row, np.float32) / np.float32(8) for row in rows])
quick = settings(max_examples=15)
by_rule = pytest.mark.parametrize("rule", RULES, ids=repr)


def of(rule: Algorithm, results: list[Vector], layout: Layout = FLAT) -> Vector:
    state = rule.begin(np.zeros(layout.size, np.float32))
    return merged(rule, state, results, layout=layout).weights


def points(*values: float) -> list[Vector]:
    """Models on a line."""
    return [np.array([value, 0], np.float32) for value in values]


def apart(one: Vector, other: Vector) -> float:
    return float(np.linalg.norm(one.astype(float) - other))


def total(results: list[Vector], point: Vector) -> float:
    return sum(apart(model, point) for model in results)


# -- all -------------------------------------------------------------------------------------------


@by_rule
@quick
@given(models, st.randoms(use_true_random=False))
def test_who_sent_which_model_changes_no_bit(rule: Algorithm, results: list[Vector], draw) -> None:  # type: ignore[no-untyped-def]
    shuffled = list(results)
    draw.shuffle(shuffled)
    assert of(rule, shuffled).tobytes() == of(rule, results).tobytes()


@by_rule
@quick
@given(models, st.sampled_from([-2.0, 0.5, 8.0]))
def test_what_shifts_all_models_shifts_the_result(
    rule: Algorithm, results: list[Vector], by: float
) -> None:
    shifted = [np.asarray(model + np.float32(by)) for model in results]
    moved = of(rule, results) + np.float32(by)
    np.testing.assert_allclose(of(rule, shifted), moved, rtol=0, atol=2e-5)


@by_rule
@pytest.mark.parametrize("value", [1e9, -1e9, 3e38])
def test_one_worker_that_sends_anything_moves_it_by_a_bounded_amount(
    rule: Algorithm, value: float
) -> None:
    honest = [np.array([0.25 * i, -0.25 * i * i], np.float32) for i in range(5)]
    results = [*honest, np.full(2, value, np.float32)]
    low, high = np.min(honest, axis=0), np.max(honest, axis=0)
    assert ((low <= (got := of(rule, results))) & (got <= high)).all()


@by_rule
def test_one_model_is_the_result(rule: Algorithm) -> None:
    model = np.array([0.1, -3e38], np.float32)
    assert np.array_equal(of(rule, [model]), model)


@by_rule
def test_signs_of_zero_do_not_depend_on_who_sent_them(rule: Algorithm) -> None:
    signed = itertools.permutations([0.0, 0.0, -0.0, -0.0, -0.0])
    found = {of(rule, points(*zeros)).tobytes() for zeros in signed}
    assert len(found) == 1


@by_rule
def test_running_statistics_decide_nothing_and_take_the_median(rule: Algorithm) -> None:
    spread = [0.0, 0.25, 0.5, 1.0, 2.0]
    statistics = [1.0, 3e38, 5.0, 2.0, 4.0]
    results = [
        np.array([x, statistic, -x], np.float32)
        for x, statistic in zip(spread, statistics, strict=True)
    ]
    expected = of(rule, [np.array([x, -x], np.float32) for x in spread])
    got = of(rule, results, NORMED)
    assert got[1] == 4.0
    assert got[[0, 2]].tobytes() == expected.tobytes()


# -- Krum ------------------------------------------------------------------------------------------


def krum(results: list[Vector], f: int) -> list[float]:
    """The scores by their definition."""
    near = [sorted(apart(one, two) ** 2 for two in results)[1:] for one in results]
    return [sum(row[: len(results) - f - 2]) for row in near]


@quick
@given(models)
def test_krum_takes_one_of_the_models_and_none_has_a_better_score(results: list[Vector]) -> None:
    scores = krum(results, 1)
    (taken, *_) = [i for i, x in enumerate(results) if np.array_equal(x, of(Krum(), results))]
    assert scores[taken] == pytest.approx(min(scores), abs=1e-9)


@quick
@given(models)
def test_multi_krum_of_one_is_krum_and_of_all_the_mean(results: list[Vector]) -> None:
    assert of(MultiKrum(m=1), results).tobytes() == of(Krum(), results).tobytes()
    mean = np.mean(np.stack(results).astype(float), axis=0)
    assert np.array_equal(of(MultiKrum(0, len(results)), results), mean.astype(np.float32))


def test_multi_krum_takes_the_mean_of_the_best() -> None:
    results = points(0, 1, 3, 4, 90, -70)
    assert krum(results, 1)[:4] == [26, 14, 14, 26]
    assert of(MultiKrum(1, 2), results)[0] == 2.0
    assert of(MultiKrum(1, 3), results)[0] == pytest.approx(4 / 3)  # the lower of the tied ones
    assert np.array_equal(of(MultiKrum(1), results), of(MultiKrum(1, 3), results))


def test_of_equal_scores_the_lower_model_is_taken() -> None:
    assert of(Krum(0), points(5, 4, 0, 1)).tolist() == [1.0, 0.0]
    square = [np.array(corner, np.float32) for corner in ((1, 1), (1, 0), (0, 1), (0, 0))]
    assert of(Krum(0), square).tolist() == [0.0, 0.0]
    assert of(Krum(0), square[:3]).tolist() == [0.0, 1.0]
    assert of(MultiKrum(0, 3), square).tolist() == pytest.approx([1 / 3, 1 / 3])


@pytest.mark.parametrize("kind", [Krum, MultiKrum])
def test_too_few_workers_are_refused_before_anything_starts(kind: type[Krum]) -> None:
    assert run_of(algorithm=kind(2), topology=Star(7)).algorithm == kind(2)
    sentence = f"{kind.__name__} with f=2 needs at least 7 workers, and there are 6; lower `f` or"
    with pytest.raises(Misfit, match=sentence):
        run_of(algorithm=kind(2), topology=Star(6))
    with pytest.raises(Misfit, match=r"f=0 needs at least 3 .* are 2; use Median or add workers"):
        run_of(algorithm=kind(0), topology=Star(2))
    with pytest.raises(WrongType, match=f"`f` of {kind.__name__}: expected an int, at least 0"):
        kind(0.5)  # type: ignore[arg-type]


def test_averaging_liars_for_sure_is_refused() -> None:
    assert run_of(algorithm=MultiKrum(2, 5), topology=Star(7)).algorithm == MultiKrum(2, 5)
    with pytest.raises(
        Misfit, match=r"m=6 models, but of 7 workers 2 may .* lower `m` to at most 5"
    ):
        run_of(algorithm=MultiKrum(2, 6), topology=Star(7))


def test_where_few_are_left_f_is_as_large_as_can_be() -> None:
    five = points(0, 1, 3, 90, 95)
    assert np.array_equal(of(Krum(4), five), of(Krum(1), five))
    assert np.array_equal(of(MultiKrum(4, 40), five), of(MultiKrum(1, 4), five))
    assert of(Krum(4), points(7, 3)).tolist() == [3.0, 0.0]
    assert of(MultiKrum(4), points(7, 3, 6)).tolist() == [6.0, 0.0]


def test_two_that_lie_together_are_not_taken() -> None:
    honest = [np.array([0.25 * i, -0.125 * i], np.float32) for i in range(5)]
    liars = [np.array([5, 5], np.float32)] * 2
    for rule in (Krum(2), MultiKrum(2)):
        assert of(rule, [*honest, *liars])[1] <= 0


# -- the geometric median --------------------------------------------------------------------------


@quick
@given(models)
def test_hardly_any_point_has_a_smaller_sum_of_distances(results: list[Vector]) -> None:
    # Where a start lies at one of the models, or the end does, 100 steps leave some of the way.
    found = of(GeometricMedian(), results)
    for step in itertools.product([-0.25, -0.0625, 0.0, 0.0625, 0.25], repeat=2):
        assert total(results, found) <= total(results, found + np.array(step, np.float32)) * 1.005


def test_many_coordinates_are_solved_as_exactly_as_float32_can() -> None:
    draw = np.random.default_rng(3)
    results = [draw.normal(size=20).astype(np.float32) for _ in range(7)]
    layout = Layout.of({"x": np.zeros(20, np.float32)})
    found = of(GeometricMedian(), results, layout).astype(float)
    rays = [(model - found) / np.linalg.norm(model - found) for model in results]
    assert np.linalg.norm(np.sum(rays, axis=0)) < 1e-5  # the gradient of the sum of distances


@quick
@given(
    st.lists(st.integers(-32, 32), min_size=2, max_size=2),
    st.lists(st.lists(st.integers(-32, 32), min_size=2, max_size=2), min_size=1, max_size=4),
    st.integers(0, 2),
)
def test_what_half_of_the_workers_sent_is_the_result(
    place: list[int], others: list[list[int]], more: int
) -> None:
    results = [np.array(row, np.float32) / np.float32(8) for row in others]
    half = [np.array(place, np.float32) / np.float32(8)] * (len(results) + more)
    two_halves = more == 0 and len({tuple(row) for row in others}) == 1
    expected = (half[0] + results[0]) / 2 if two_halves else half[0]
    assert np.array_equal(of(GeometricMedian(), [half[0], *results, *half[1:]]), expected)


def test_it_does_not_depend_on_the_axes() -> None:
    draw = np.random.default_rng(0)
    results = [draw.normal(size=2).astype(np.float32) for _ in range(6)]
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    turned = [np.asarray(turn @ model, dtype=np.float32) for model in results]
    found = turn @ of(GeometricMedian(), results)
    np.testing.assert_allclose(of(GeometricMedian(), turned), found, rtol=0, atol=1e-5)


def test_the_middle_of_a_triangle_sees_all_its_sides_alike() -> None:
    corners = [np.array([np.cos(a), np.sin(a)], np.float32) for a in (0.3, 2.0, 4.0)]
    found = of(GeometricMedian(), corners).astype(float)
    rays = [(corner - found) / np.linalg.norm(corner - found) for corner in corners]
    assert [float(a @ b) for a, b in itertools.combinations(rays, 2)] == pytest.approx(
        [-0.5] * 3, abs=1e-5
    )


# -- distances -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 1000, 8192, 8193, 20_001])
def test_distances_are_the_same_in_both_directions_and_add_all_squares(size: int) -> None:
    draw = np.random.default_rng(size)
    one, two, three = (draw.normal(size=size).astype(np.float32) for _ in range(3))
    spans = [slice(0, size)]
    (forth, other) = squared([two, three], one, spans)
    assert squared([one], two, spans)[0] == forth
    assert forth == pytest.approx(float(np.sum((one.astype(float) - two) ** 2)), rel=1e-12)
    assert other == pytest.approx(apart(one, three) ** 2, rel=1e-12)
    table = squared_between([one, two, three], spans)
    assert table[0].tolist() == [0.0, forth, other]
    assert np.array_equal(table, table.T)


def test_what_is_trained_is_told_in_few_stretches() -> None:
    assert trained(NORMED) == [slice(0, 1), slice(2, 3)]
    assert trained(
        Layout.of({"w": np.zeros((2, 3), np.float32), "b": np.zeros(2, np.float32)})
    ) == [slice(0, 8)]
