"""Handwritten digits, learned by scikit-learn at each worker; torch is never loaded."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actorfl import EstimatorTask

Columns = tuple[NDArray[np.float64], NDArray[np.int64]]


@dataclass(frozen=True)
class Digits(EstimatorTask):
    """Linear, or with hidden layers, as `hidden` says."""

    hidden: tuple[int, ...] = ()

    def estimator(self) -> Any:  # scikit-learn has no types
        if self.hidden:
            from sklearn.neural_network import MLPClassifier

            return MLPClassifier(self.hidden, solver="sgd", alpha=0)
        from sklearn.linear_model import SGDClassifier

        return SGDClassifier(loss="log_loss", learning_rate="constant", eta0=0.1, alpha=1e-5)

    def features(self) -> int:
        return 64

    def classes(self) -> range:
        return range(10)

    def pool(self) -> Columns:
        images, labels = load()
        return images[:1437], labels[:1437]

    def test(self) -> Columns:
        images, labels = load()
        return images[1437:], labels[1437:]


@cache
def load() -> Columns:
    """Images of 8x8 pixels in [0, 1], and what they show, in a fixed random order."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = np.random.Generator(np.random.PCG64(0)).permutation(len(labels))
    return images[order] / 16, labels[order].astype(np.int64)
