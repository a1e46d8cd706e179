"""The coordinate-wise median of the workers' models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from actorfl.algorithm import Algorithm, Closed, Ctx, Mine, Reduce, ServerState
from actorfl.algorithms import coordinates
from actorfl.merging import Merged
from actorfl.terms import Sum, Terms


@dataclass(frozen=True)
class Median(Algorithm):
    """The median of each coordinate over the workers' models.

    Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", ICML
    2018, Algorithm 1, option I, with models in place of gradients:

        w_{t+1}[j] = median over k in S_t of w_k^{t+1}[j]

    All workers weigh the same: a number of examples is what a worker says, and might lie. With an
    even number of workers it is the mean of the middle two. The aggregator holds all models of a
    clock. It has no hyper-parameters.

    Degenerate values: one worker gives its own model, two give their mean.
    """

    reduce: ClassVar[Reduce] = "all"
    uniform: ClassVar[bool] = True
    policies: ClassVar[tuple[str, ...]] = ("BSP", "Quorum", "Buffered")

    def up(self, ctx: Ctx, mine: Mine) -> tuple[Terms, Mine]:
        """The model; a worker keeps no state."""
        return Terms(model=Sum(ctx.result)), mine

    def close(self, state: ServerState, terms: Merged, closed: Closed) -> ServerState:
        """The median replaces the model."""
        return state.replaced(coordinates.median(terms.models["model"]))
