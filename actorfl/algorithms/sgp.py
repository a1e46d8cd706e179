"""Stochastic gradient push: D-PSGD where links go one way only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from actorfl.algorithms.pushsum import WEIGHT, PushSum
from actorfl.layout import Vector
from actorfl.pairing import PairState


@dataclass(frozen=True)
class StochasticGradientPush(PushSum):
    """SGP: push-sum whose nodes take a gradient step in each round.

    Assran et al., "Stochastic Gradient Push for Distributed Deep Learning", ICML 2019, Algorithm 1:

        s_i <- s_i - lr * g_i(z_i),   then a round of push-sum,   z_i = s_i / w_i

    z_i is the model: what is trained, evaluated and shown. The step is that of ``local``;
    ``SGD(lr, batch, steps=1)`` is the paper's, of more steps s_i moves the whole way. Degenerate
    value: where each node has as many sources as targets w_i stays 1, and it is D-PSGD in the order
    "before" with uniform weights, with rounding.

    Deviation: a node whose weight is below 1/16, because it hears of nobody, keeps all that it has
    (see `PushSum`), and its sum moves w_i times as far: z_i would move 1 / w_i steps else, and what
    a node learns while its neighbours are away would be nothing that anybody can use.
    """

    least: ClassVar[float] = 2.0**-4

    def trains(self, number: int) -> bool:
        """In each round."""
        return True

    def _step(self, state: PairState, moved: Vector) -> Vector:
        weight = float(state.mine[WEIGHT])
        return moved if weight >= self.least else weight * moved
