"""Federated averaging with momentum on the server."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from actorfl.algorithm import Closed, ServerState
from actorfl.algorithms.fedavg import FedAvg
from actorfl.algorithms.moving import delta_of, with_statistics_of
from actorfl.layout import Vector
from actorfl.merging import Merged
from actorfl.ranges import check_number


@dataclass(frozen=True)
class FedAvgM(FedAvg):
    """FedAvgM: the server moves with momentum along the mean of the updates.

    Hsu, Qi and Brown, "Measuring the Effects of Non-Identical Data Distribution for Federated
    Visual Classification", 2019:

        v_t = beta * v_{t-1} + (mean_t - w_t),   w_{t+1} = w_t + lr * v_t,   v_{-1} = 0

    mean_t is the model that FedAvg makes of clock t. Degenerate values: beta=0 and lr=1 give
    FedAvg, bit for bit, and then nothing is kept.

    Deviation from the paper: floating buffers (running means of BatchNorm) take the plain mean.

    Attributes:
        beta: momentum, in [0, 1).
        lr: learning rate of the server, finite and > 0.

    Raises:
        WrongType: a field is no number.
        WrongValue: a field is out of range.
    """

    beta: float = 0.9
    lr: float = 1.0

    def __post_init__(self) -> None:
        check_number(self, "beta", "at least 0 and below 1", lambda x: 0 <= x < 1)
        check_number(self, "lr", "finite and above 0", lambda x: x > 0)

    def begin(self, weights: Vector) -> ServerState:
        """Without velocity."""
        if self.beta == 0.0:
            return ServerState(weights)
        return ServerState(weights, vectors={"velocity": np.zeros_like(weights)})

    def close(self, state: ServerState, terms: Merged, closed: Closed) -> ServerState:
        """The velocity takes up the clock's update and moves the model."""
        layout, mean = terms["model"].layout, terms["model"].mean()
        if self.beta == 0.0 and self.lr == 1.0:
            return state.replaced(mean)  # adding the rounded difference would not give its bits
        velocity = delta_of(state.weights, mean, layout)
        vectors = dict(state.vectors)
        if self.beta != 0.0:
            velocity += np.float32(self.beta) * state.vectors["velocity"]
            vectors["velocity"] = velocity
        weights = state.weights + np.float32(self.lr) * velocity
        return replace(state, weights=with_statistics_of(mean, weights, layout), vectors=vectors)
