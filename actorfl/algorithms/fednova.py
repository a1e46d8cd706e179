"""Federated averaging for workers that take different numbers of steps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from actorfl.algorithm import Algorithm, Closed, Ctx, Mine, ServerState
from actorfl.algorithms.moving import with_statistics_of
from actorfl.mean import Mean
from actorfl.merging import Merged
from actorfl.terms import Sum, Terms


@dataclass(frozen=True)
class FedNova(Algorithm):
    """FedNova: each worker's update is divided by its number of steps before the mean is taken.

    Wang et al., "Tackling the Objective Inconsistency Problem in Heterogeneous Federated
    Optimization", NeurIPS 2020:

        w_{t+1} = w_t + a_eff * sum over i of p_i * (y_i - w_t) / a_i,   a_eff = sum of p_i * a_i

    y_i is worker i's model after training, p_i its share of the examples, and a_i the sum of the
    factors with which its gradients entered y_i: its number of steps k (a last partial batch counts
    as one), and with a momentum r of ``local``

        a_i = (k - r * (1 - r^k) / (1 - r)) / (1 - r)

    A worker with many steps weighs no more than its examples say; in FedAvg it pulls the model
    towards its own optimum. It has no hyper-parameters.

    Degenerate value: with the same number of steps everywhere it is FedAvg, to the rounding of
    float32. Floating buffers (running means of BatchNorm) take the plain mean.
    """

    deltas: ClassVar[tuple[str, ...]] = ("direction",)
    counts_steps: ClassVar[bool] = True
    policies: ClassVar[tuple[str, ...]] = ("BSP", "Quorum", "Buffered")

    def up(self, ctx: Ctx, mine: Mine) -> tuple[Terms, Mine]:
        """n_i times (y_i - w) / a_i, and a_i; a worker keeps no state."""
        gone = _total_factor(max(1, ctx.steps), ctx.momentum)
        direction = with_statistics_of(ctx.result, ctx.delta / np.float32(gone), ctx.layout)
        steps = Mean.of(gone, weight=ctx.examples)
        return Terms(direction=Sum(direction, ctx.examples), steps=steps), mine

    def close(self, state: ServerState, terms: Merged, closed: Closed) -> ServerState:
        """The mean direction, as far as the workers went on the average."""
        layout, mean = terms["direction"].layout, terms["direction"].mean()
        weights = state.weights + np.float32(terms.means["steps"].value) * mean
        return replace(state, weights=with_statistics_of(mean, weights, layout))


def _total_factor(steps: int, momentum: float) -> float:
    """How often a gradient enters the model, over all steps: ``||a||_1``."""
    if momentum == 0.0:
        return float(steps)
    kept = momentum * (1.0 - momentum**steps) / (1.0 - momentum)
    return (steps - kept) / (1.0 - momentum)
