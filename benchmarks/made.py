"""Spambase-sized rows that are made, for benchmarks of gossip learning; processes load it here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from actorfl import LogisticTask
from actorfl.task import Dataset

Columns = tuple[NDArray[np.float32], NDArray[np.int64]]
FEATURES = 57
ROWS, TEST = 4140, 461


@dataclass(frozen=True)
class Made(LogisticTask):
    """Two classes of 57 numbers, told apart by a plane, with a tenth of the labels turned over."""

    def features(self) -> int:
        return FEATURES

    def pool(self) -> Dataset:
        return rows(0)

    def test(self) -> Dataset:
        return rows(1)


@lru_cache(maxsize=2)  # every node of a process asks for them
def rows(part: int) -> Columns:
    """The rows to train on, 0, or to test on, 1."""
    draw = np.random.default_rng(7 + part)
    plane = np.random.default_rng(7).normal(size=FEATURES)
    points = draw.normal(size=(TEST if part else ROWS, FEATURES)).astype(np.float32)
    turned = draw.random(len(points)) < 0.1
    return points, ((points @ plane > 0) ^ turned).astype(np.int64)
