"""A task without torch, for tests; processes load it from this file."""

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from actorfl import EstimatorTask, Who


@dataclass(frozen=True)
class Halves(EstimatorTask):
    """Points left or right of a line, learned without torch; `how` says by which estimator."""

    how: str = "linear"
    alone: bool = False

    def estimator(self) -> Any:
        if self.alone and "torch" in sys.modules:
            raise RuntimeError("torch was loaded in this process")
        from sklearn.linear_model import SGDClassifier, SGDRegressor
        from sklearn.neural_network import MLPClassifier

        if self.how == "network":
            return MLPClassifier((5,), solver="sgd")
        if self.how == "regressor":
            return SGDRegressor(learning_rate="constant")
        rate = "optimal" if self.how == "scheduled" else "constant"
        loss = "hinge" if self.how == "hinge" else "log_loss"
        return SGDClassifier(loss=loss, learning_rate=rate, eta0=0.1)

    def features(self) -> int:
        return 3

    def classes(self) -> tuple[int, ...]:
        return () if self.how == "regressor" else (0, 1)

    def train(self, who: Who) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        return self.points(who.index, 40 + 10 * who.index)

    def test(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        return self.points(99, 200)

    def points(self, seed: int, count: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        draw = np.random.Generator(np.random.PCG64(seed))
        points = draw.normal(size=(count, 3))
        return points, (points @ np.array([1.0, -2.0, 0.5]) > 0).astype(np.int64)
