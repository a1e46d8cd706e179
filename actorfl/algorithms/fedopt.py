"""Adaptive optimisers on the server: what FedAdagrad, FedAdam and FedYogi share."""

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
class FedOpt(FedAvg):
    """FedOpt: the mean of the updates is the server's gradient, an optimiser takes the step.

    Reddi et al., "Adaptive Federated Optimization", ICLR 2021, Algorithm 2:

        d_t = mean_t - w_t
        m_t = beta1 * m_{t-1} + (1 - beta1) * d_t
        v_t = second(v_{t-1}, d_t^2)
        w_{t+1} = w_t + lr * m_t / (sqrt(v_t) + tau)

    mean_t is the model that FedAvg makes of clock t; a derived class says what ``second`` is. There
    is no correction of bias, as in the paper.

    Deviations from the paper: v_{-1} = 0, where it has at least tau^2, so that a coordinate that
    nobody has moved yet takes its first step at full size; d_t is weighted by numbers of examples;
    floating buffers (running means of BatchNorm) take the plain mean. Both moments are float32.

    Attributes:
        lr: learning rate of the server, finite and > 0.
        beta1: decay of the first moment, in [0, 1).
        tau: adaptivity, added to the root, finite and > 0; the larger, the less adaptive.

    Raises:
        WrongType: a field is no number.
        WrongValue: a field is out of range.
    """

    lr: float = 0.1
    beta1: float = 0.9
    tau: float = 1e-3

    def __post_init__(self) -> None:
        check_number(self, "lr", "finite and above 0", lambda x: x > 0)
        check_number(self, "beta1", "at least 0 and below 1", lambda x: 0 <= x < 1)
        check_number(self, "tau", "finite and above 0", lambda x: x > 0)

    def second(self, before: Vector, squared: Vector) -> Vector:
        """The second moment after a clock.

        Args:
            before: the second moment, float32, >= 0; not written to.
            squared: the clock's update, squared.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define second(before, squared)")

    def begin(self, weights: Vector) -> ServerState:
        """With moments of 0."""
        moments = {"first": np.zeros_like(weights), "second": np.zeros_like(weights)}
        return ServerState(weights, vectors=moments)

    def close(self, state: ServerState, terms: Merged, closed: Closed) -> ServerState:
        """One step of the server's optimiser."""
        layout, mean = terms["model"].layout, terms["model"].mean()
        delta = delta_of(state.weights, mean, layout)
        second = self.second(state.vectors["second"], np.square(delta))
        delta *= np.float32(1.0 - self.beta1)
        first = np.float32(self.beta1) * state.vectors["first"] + delta
        weights = np.sqrt(second)
        weights += np.float32(self.tau)
        np.divide(first, weights, out=weights)
        weights *= np.float32(self.lr)
        weights += state.weights
        return replace(
            state,
            weights=with_statistics_of(mean, weights, layout),
            vectors={**state.vectors, "first": first, "second": second},
        )
