"""Adagrad on the server."""

from __future__ import annotations

from dataclasses import dataclass

from actorfl.algorithms.fedopt import FedOpt
from actorfl.layout import Vector


@dataclass(frozen=True)
class FedAdagrad(FedOpt):
    """FedAdagrad: steps shrink with the sum of all squared updates so far.

    See ``FedOpt`` for the source, the other equations and the ranges of the fields:

        v_t = v_{t-1} + d_t^2

    Attributes:
        lr: learning rate of the server, finite and > 0.
        beta1: decay of the first moment, in [0, 1); 0 is Adagrad as it was published.
        tau: adaptivity, finite and > 0.
    """

    beta1: float = 0.0

    def second(self, before: Vector, squared: Vector) -> Vector:
        """The sum of all squared updates."""
        return before + squared
