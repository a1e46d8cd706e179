"""Yogi on the server."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from actorfl.algorithms.fedopt import FedOpt
from actorfl.layout import Vector
from actorfl.ranges import check_number


@dataclass(frozen=True)
class FedYogi(FedOpt):
    """FedYogi: like FedAdam, but the second moment changes by no more than the squared update.

    See ``FedOpt`` for the source, the other equations and the ranges of the other fields:

        v_t = v_{t-1} - (1 - beta2) * d_t^2 * sign(v_{t-1} - d_t^2)

    v_t stays >= 0, since it never goes beyond d_t^2 on its way down.

    Attributes:
        lr: learning rate of the server, finite and > 0.
        beta1: decay of the first moment, in [0, 1).
        tau: adaptivity, finite and > 0.
        beta2: decay of the second moment, in [0, 1).
    """

    beta2: float = 0.99

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "beta2", "at least 0 and below 1", lambda x: 0 <= x < 1)

    def second(self, before: Vector, squared: Vector) -> Vector:
        """The second moment, moved towards the squared update."""
        after: Vector = np.sign(squared - before)
        after *= squared
        after *= np.float32(1.0 - self.beta2)
        after += before
        return after
