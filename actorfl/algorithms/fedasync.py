"""Asynchronous federated optimisation: each model that arrives is mixed in, the less the staler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from actorfl.algorithm import Algorithm, Closed, Ctx, Mine, Reduce, ServerState
from actorfl.merging import Merged
from actorfl.ranges import check_number, check_word
from actorfl.terms import Sum, Terms

STALENESS = ("constant", "polynomial", "hinge")
"""Names of the functions of the staleness."""


@dataclass(frozen=True)
class FedAsync(Algorithm):
    """FedAsync: the model moves towards each model that arrives, the less the staler that is.

    Xie, Koyejo and Gupta, "Asynchronous Federated Optimization", 2019, Algorithm 1; y is what a
    worker made of version v, and t is the version now:

        w_{t+1} = (1 - a_t) * w_t + a_t * y,   a_t = alpha * s(t - v)

        constant    s(d) = 1
        polynomial  s(d) = (1 + d)^(-a)
        hinge       s(d) = 1 where d <= b, else 1 / (a * (d - b) + 1)

    All workers weigh the same, so who is faster counts more often. Of a buffer the models are mixed
    in one after the other, in the order of their workers' names. Floating buffers (running means of
    BatchNorm) are mixed alike.

    Degenerate values: alpha = 1 and constant take the last model that came; with one worker that is
    local SGD, bit for bit.

    Deviation from the paper: no proximal term; workers train as ``local`` says.

    Attributes:
        alpha: how far the model moves towards one that is not stale, above 0 and at most 1.
        staleness: the name of the function.
        a: of ``polynomial`` and ``hinge``, finite and >= 0.
        b: of ``hinge``: versions that make no difference, finite and >= 0.

    Raises:
        WrongType: a number is none.
        WrongValue: a value is out of range, or no such function.
    """

    reduce: ClassVar[Reduce] = "all"
    models: ClassVar[tuple[str, ...]] = ()
    uniform: ClassVar[bool] = True
    policies: ClassVar[tuple[str, ...]] = ("ASP", "Buffered")

    alpha: float = 0.6
    staleness: str = "polynomial"
    a: float = 0.5
    b: float = 10.0

    def __post_init__(self) -> None:
        check_number(self, "alpha", "above 0 and at most 1", lambda x: 0 < x <= 1)
        check_number(self, "a", "finite and at least 0", lambda x: x >= 0)
        check_number(self, "b", "finite and at least 0", lambda x: x >= 0)
        check_word(self, "staleness", STALENESS)

    def factor(self, staleness: int) -> float:
        """What alpha is multiplied by, in (0, 1].

        Args:
            staleness: versions that the model has moved on by, >= 0.
        """
        match self.staleness:
            case "polynomial":
                return float((1 + staleness) ** -self.a)
            case "hinge" if staleness > self.b:
                return 1 / (self.a * (staleness - self.b) + 1)
            case _:
                return 1.0

    def up(self, ctx: Ctx, mine: Mine) -> tuple[Terms, Mine]:
        """The model; a worker keeps no state."""
        return Terms(model=Sum(ctx.result)), mine

    def close(self, state: ServerState, terms: Merged, closed: Closed) -> ServerState:
        """The models, one after the other."""
        weights = state.weights
        for contribution, model in zip(terms.contributions, terms.models["model"], strict=True):
            by = self.alpha * self.factor(closed.staleness.get(contribution.worker, 0))
            # At 1 as it is: 0 * w + y has not the bits of y where that is -0.
            weights = (
                np.array(model)
                if by == 1.0
                else np.float32(1.0 - by) * weights + np.float32(by) * model
            )
        return state.replaced(weights)
