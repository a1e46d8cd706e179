"""A small task of logistic regression for runs in tests; processes load it from this file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actorfl import LogisticTask, Who
from actorfl.arrays import needed
from actorfl.task import Dataset


def clouds(seed: int, examples: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Two Gaussian classes in six dimensions."""
    draw = np.random.default_rng(seed)
    labels = np.arange(examples) % 2
    points = draw.normal(size=(examples, 6)) + np.where(labels[:, None] == 1, 0.9, -0.9)
    return points.astype(np.float32), labels


@dataclass(frozen=True)
class Linear(LogisticTask):
    """Each node has twenty examples of its own."""

    def features(self) -> int:
        return 6

    def train(self, who: Who) -> Dataset:
        return clouds(who.index, 20)

    def test(self) -> Dataset:
        return clouds(1000, 200)


@dataclass(frozen=True)
class Wide(Linear):
    """The same among so many features that a model does not fit into a small message."""

    def features(self) -> int:
        return 9000

    def train(self, who: Who) -> Dataset:
        return _widened(super().train(who))

    def test(self) -> Dataset:
        return _widened(super().test())


def _widened(data: Dataset) -> Dataset:
    points, labels = needed(data, "a Linear")
    return np.pad(points, ((0, 0), (0, 9000 - 6))), labels
