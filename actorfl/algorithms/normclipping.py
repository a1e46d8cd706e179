"""The mean of updates whose lengths are bounded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from actorfl.algorithm import Closed, ServerState
from actorfl.algorithms import coordinates
from actorfl.algorithms.geometry import squared, trained
from actorfl.algorithms.median import Median
from actorfl.merging import Merged
from actorfl.ranges import check_number


@dataclass(frozen=True)
class NormClipping(Median):
    """The mean of the workers' updates, each shortened to a length that it may have at most.

    Sun et al., "Can You Really Backdoor Federated Learning?", 2019, section 5, without the noise:

        w_{t+1} = w_t + mean over k in S_t of d_k * min(1, norm / ||d_k||),   d_k = w_k^{t+1} - w_t

    No worker moves the model by more than norm / |S_t|. All weigh the same, and the aggregator
    holds all models of a clock. The lengths are those of the trained parameters; floating buffers
    (running means of BatchNorm) take the median of each coordinate.

    Degenerate value: with a norm above all lengths it is the mean of equal weights, to rounding.

    Attributes:
        norm: the greatest Euclidean length of an update, finite and > 0.

    Raises:
        WrongType: norm is no number.
        WrongValue: norm is out of range.
    """

    norm: float = 1.0

    def __post_init__(self) -> None:
        check_number(self, "norm", "finite and above 0", lambda x: x > 0)

    def close(self, state: ServerState, terms: Merged, closed: Closed) -> ServerState:
        """The mean of the shortened updates moves the model."""
        models, layout = terms.models["model"], terms.layout
        total = np.zeros(layout.size)
        lengths = np.sqrt(squared(models, state.weights, trained(layout)))
        for model, length in zip(models, lengths, strict=True):  # by name: it decides the last bits
            delta = np.subtract(model, state.weights, dtype=np.float64)
            total += delta * min(1.0, self.norm / length) if length else delta
        weights = np.asarray(state.weights + total / len(models), dtype=np.float32)
        return state.replaced(coordinates.with_median_statistics(models, weights, layout))
