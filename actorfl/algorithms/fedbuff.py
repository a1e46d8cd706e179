"""Buffered asynchronous federated averaging."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from actorfl.algorithm import Algorithm, Closed, Ctx, Mine, Reduce, ServerState
from actorfl.algorithms.moving import with_statistics_of
from actorfl.merging import Merged
from actorfl.ranges import check_number
from actorfl.terms import Sum, Terms


@dataclass(frozen=True)
class FedBuff(Algorithm):
    """FedBuff: the mean of k updates moves the model, each of them the less the staler it is.

    Nguyen et al., "Federated Learning with Buffered Asynchronous Aggregation", AISTATS 2022; update
    i of a buffer of k, made from the model x_i to y_i, has the staleness d_i, in versions:

        w <- w + lr * 1/k * sum over i of (y_i - x_i) / sqrt(1 + d_i)

    k is that of the policy ``Buffered(k)``; ``ASP()`` is a buffer of one. All updates weigh the
    same, so who is faster counts more often. Floating buffers (running means of BatchNorm) take the
    plain mean.

    Degenerate value: with lr = 1 and an update of each worker, none of them stale, it is FedAvg of
    equal weights, to the rounding of float32.

    Attributes:
        lr: learning rate of the server, finite and > 0.

    Raises:
        WrongType: lr is no number.
        WrongValue: lr is out of range.
    """

    reduce: ClassVar[Reduce] = "all"
    models: ClassVar[tuple[str, ...]] = ()
    deltas: ClassVar[tuple[str, ...]] = ("delta",)
    uniform: ClassVar[bool] = True
    policies: ClassVar[tuple[str, ...]] = ("ASP", "Buffered")

    lr: float = 1.0

    def __post_init__(self) -> None:
        check_number(self, "lr", "finite and above 0", lambda x: x > 0)

    def up(self, ctx: Ctx, mine: Mine) -> tuple[Terms, Mine]:
        """Y - x; a worker keeps no state."""
        return Terms(delta=Sum(with_statistics_of(ctx.result, ctx.delta.copy(), ctx.layout))), mine

    def close(self, state: ServerState, terms: Merged, closed: Closed) -> ServerState:
        """The mean of the updates moves the model."""
        deltas, layout = terms.models["delta"], terms.layout
        mean, scaled = np.zeros(layout.size), np.zeros(layout.size)
        # In the order of the workers' names: it decides the last bits.
        for contribution, delta in zip(terms.contributions, deltas, strict=True):
            mean += delta
            staleness = closed.staleness.get(contribution.worker, 0)
            scaled += delta / math.sqrt(1.0 + staleness)
        weights = np.asarray(state.weights + self.lr * scaled / len(deltas), dtype=np.float32)
        statistics = np.asarray(mean / len(deltas), dtype=np.float32)
        return state.replaced(with_statistics_of(statistics, weights, layout))
