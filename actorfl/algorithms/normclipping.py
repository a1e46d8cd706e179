"""The mean of updates whose lengths are bounded."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actorfl.algorithm import Closed, ServerState
from actorfl.algorithms import coordinates
from actorfl.algorithms.median import Median
from actorfl.merging import Merged
from actorfl.ranges import check_number

# Elements whose squares are added at a time.
_BLOCK = 1 << 15


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
        for model in models:  # in the order of the workers' names: it decides the last bits
            delta = np.subtract(model, state.weights, dtype=np.float64)
            for part in layout:
                if part.kind == "buffer":
                    delta[part.slice] = 0.0
            length = _length(delta)
            if length > self.norm:
                delta *= self.norm / length
            total += delta
        weights = np.asarray(state.weights + total / len(models), dtype=np.float32)
        for part in layout:
            if part.kind == "buffer":
                weights[part.slice] = coordinates.median([model[part.slice] for model in models])
        return state.replaced(weights)


def _length(delta: npt.NDArray[np.float64]) -> float:
    """The Euclidean length, added from front to end: other orders differ between processors."""
    total = 0.0
    for at in range(0, delta.size, _BLOCK):
        total += float(np.cumsum(np.square(delta[at : at + _BLOCK]))[-1])
    return math.sqrt(total)
