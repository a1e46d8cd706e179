"""Learners of gossip learning by hand: a small model, and draws that are written down."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from actorfl import Gossip
from actorfl.gossip.learner import Learned, Learner
from actorfl.gossip.sends import Coordinates
from actorfl.layout import Layout


def layout(weights: int = 4, biases: int = 1) -> Layout:
    return Layout.build(
        [
            ("weight", (weights,), "float32", "parameter"),
            ("bias", (biases,), "float32", "parameter"),
        ]
    )


def floats(*values: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array(values, np.float32)


class Script:
    """Draws that are written down: numbers in [0, 1) and permutations, one after the other."""

    def __init__(self, numbers: Iterable[float] = (), orders: Iterable[Sequence[int]] = ()) -> None:
        self._numbers, self._orders = iter(numbers), iter(orders)

    def random(self) -> float:
        return next(self._numbers)

    def permutation(self, count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        order = next(self._orders)
        assert len(order) == count
        return np.array(order)


def learner(gossip: Gossip, values: Sequence[float], age: float = 0, draw: Any = None) -> Learner:
    shape = layout(len(values) - 1)
    parts = gossip.send.parts
    learned = replace(Learned.begun(floats(*values), parts), ages=np.full(parts + 1, float(age)))
    draw = np.random.default_rng(0) if draw is None else draw
    return Learner(gossip, Coordinates(shape, parts), learned, draw)
