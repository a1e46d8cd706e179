"""The update of gossip learning: that of its equations, of parts, of several classes."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from actorfl import SGD, LogisticTask
from actorfl.engine import engine_of
from actorfl.gossip.sends import Coordinates
from actorfl.logistic import AgedUpdate, Columns, Logistic
from actorfl.task import Dataset
from tests.actorfl.gossiping import floats


@dataclass(frozen=True)
class Tiny(LogisticTask):
    kinds: int = 2

    def features(self) -> int:
        return 3

    def classes(self) -> int:
        return self.kinds

    def pool(self) -> Dataset:
        return examples(self.kinds)


def examples(kinds: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    labels = np.arange(40) % kinds
    points = np.random.default_rng(0).normal(size=(40, 3)) + 2 * np.eye(3)[labels % 3]
    return points.astype(np.float32), labels


def by_the_book(
    weights: Any, t: float, points: Any, labels: Any, order: Any, lr: float, decay: float, size: int
) -> tuple[Any, float]:
    """Section 1.1 of the reference, in float64, one class."""
    w, b = weights[:-1].astype(np.float64), float(weights[-1])
    for at in range(0, len(order), size):
        batch = order[at : at + size]
        t += len(batch)
        p = 1 / (1 + np.exp(-np.clip(points[batch] @ w + b, -500, 500)))
        missed = p - labels[batch]
        w, b = (
            w - lr / t * (decay * len(batch) * w + missed @ points[batch]),
            b - lr / t * (decay * len(batch) * b + missed.sum()),
        )
    return np.append(w, b), t


def test_the_update_is_that_of_the_equations() -> None:
    task = Tiny()
    points, labels = examples(task.kinds)
    part_of = Coordinates(engine_of(task).initial(task, 0).layout, 1).part_of
    update = engine_of(task).update(
        task, (points, labels), SGD(2.0, batch=7, weight_decay=0.01), part_of
    )
    start = floats(0.3, -0.2, 0.1, 0.5)
    after, ages = update(start, np.array([5.0, 5.0]), np.random.default_rng(3))
    order = np.random.default_rng(3).permutation(40)
    expected, t = by_the_book(start, 5, points, labels, order, 2.0, 0.01, 7)
    np.testing.assert_allclose(after, expected, rtol=2e-5, atol=1e-6)
    assert ages.tolist() == [t, t] == [45, 45]
    assert start.tolist() == floats(0.3, -0.2, 0.1, 0.5).tolist()


@pytest.mark.parametrize("parts", [1, 3])
def test_steps_may_end_within_an_epoch(parts: int) -> None:
    task = Tiny()
    points, labels = examples(task.kinds)
    part_of = Coordinates(engine_of(task).initial(task, 0).layout, parts).part_of
    local = SGD(2.0, batch=7, steps=9, epochs=None, weight_decay=0.01)
    update = engine_of(task).update(task, (points, labels), local, part_of)
    start, draw = floats(0.3, -0.2, 0.1, 0.5), np.random.default_rng(3)
    after, ages = update(start, np.full(parts + 1, 5.0), np.random.default_rng(3))
    # An epoch has six steps, the last of five examples.
    weights, t = by_the_book(start, 5, points, labels, draw.permutation(40), 2.0, 0.01, 7)
    expected, t = by_the_book(
        weights, t, points, labels, draw.permutation(40)[:21], 2.0, 0.01, 7
    )  # fmt: skip
    np.testing.assert_allclose(after, expected, rtol=2e-5, atol=1e-6)
    assert set(ages.tolist()) == {t} == {66}


def test_rates_of_parts_take_no_memory_of_a_model_for_each_step() -> None:
    draw, classes, parts = np.random.default_rng(0), 10, 4
    points = draw.standard_normal((2000, 100)).astype(np.float32)
    columns = Columns(points, draw.integers(0, classes, 2000), classes)
    weights = np.zeros(101 * classes, np.float32)
    update = AgedUpdate(columns, SGD(1.0, batch=1), np.arange(len(weights)) % (parts + 1))
    tracemalloc.start()
    try:
        update(weights, np.zeros(parts + 1), draw)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 2 * points.nbytes  # 2,000 steps of such a model would be ten times that


def test_each_coordinate_has_the_rate_of_its_part() -> None:
    task = Tiny()
    data = task.pool()
    cut = Coordinates(engine_of(task).initial(task, 0).layout, 3)
    local = SGD(1.0, weight_decay=0.0)
    moved = []
    for ages in ([0.0, 0, 0, 0], [40, 0, 0, 0], [0, 360, 0, 0], [0, 0, 0, 120]):
        update = engine_of(task).update(task, data, local, cut.part_of)
        start = floats(0.3, -0.2, 0.1, 0.5)
        moved.append(update(start, np.array(ages), np.random.default_rng(0))[0] - start)
    ratios = [one / moved[0] for one in moved[1:]]
    np.testing.assert_allclose(ratios, [[0.5, 1, 1, 1], [1, 0.1, 1, 1], [1, 1, 1, 0.25]], rtol=1e-3)


def test_equal_ages_of_parts_are_one_age() -> None:
    task = Tiny()
    found = []
    for parts in (1, 3):
        cut = Coordinates(engine_of(task).initial(task, 0).layout, parts)
        update = engine_of(task).update(task, task.pool(), SGD(10.0, batch=10), cut.part_of)
        found.append(update(floats(1, 2, 3, 4), np.full(parts + 1, 9.0), np.random.default_rng(1)))
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-6)


def test_scores_beyond_all_exponents_stay_finite() -> None:
    task = Tiny()
    part_of = Coordinates(engine_of(task).initial(task, 0).layout, 1).part_of
    update = engine_of(task).update(task, task.pool(), SGD(1e30, batch=10), part_of)
    after, _ = update(floats(1e20, -1e20, 1e20, 0), np.zeros(2), np.random.default_rng(0))
    assert np.isfinite(after).all()


def test_of_more_classes_each_has_a_model_of_its_own() -> None:
    task = Tiny(kinds=3)
    points, labels = examples(task.kinds)
    engine = engine_of(task)
    shape = engine.initial(task, 0).layout
    assert [(part.name, part.shape) for part in shape] == [("weight", (3, 3)), ("bias", (3,))]
    update = engine.update(task, (points, labels), SGD(5.0, batch=8), Coordinates(shape, 1).part_of)
    after, _ = update(shape.zeros(), np.zeros(2), np.random.default_rng(2))
    order = np.random.default_rng(2).permutation(40)
    for kind in range(3):
        one, _ = by_the_book(np.zeros(4), 0, points, labels == kind, order, 5.0, 0.0, 8)
        found = [*after[3 * kind : 3 * kind + 3], after[9 + kind]]
        np.testing.assert_allclose(found, one, rtol=1e-4, atol=1e-5)
    assert engine.evaluate(task, after, {}, (points, labels))["accuracy"].value > 0.7


def test_in_a_star_a_step_is_that_of_plain_descent() -> None:
    task = Tiny()
    points, labels = examples(task.kinds)
    start = floats(0.3, -0.2, 0.1, 0.5)
    result = Logistic().fit(task, (points, labels), start, {}, local=SGD(0.5), seed=0)
    p = 1 / (1 + np.exp(-(points @ start[:3] + start[3])))
    gradient = np.append((p - labels) @ points, (p - labels).sum()) / 40
    np.testing.assert_allclose(result.vector, start - 0.5 * gradient, rtol=1e-5)
    assert (result.steps, result.examples) == (1, 40)
    assert result.loss.value == pytest.approx(
        float(np.mean(-np.log(np.where(labels == 1, p, 1 - p)))), rel=1e-5
    )


def test_scores_that_are_infinite_have_the_loss_of_their_side() -> None:
    task = Tiny()
    points = floats(1, 0, 0, -1, 0, 0).reshape(2, 3)
    right, wrong = (
        engine_of(task).evaluate(task, floats(np.inf, 0, 0, 0), {}, (points, np.array(labels)))
        for labels in ([1, 0], [0, 1])
    )
    assert (right["loss"].value, right["accuracy"].value) == (0, 1)
    assert (wrong["loss"].invalid, wrong["accuracy"].value) == (2, 0)
