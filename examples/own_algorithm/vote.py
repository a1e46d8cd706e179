"""Each worker votes on the direction of each parameter, and the majority decides."""

from dataclasses import dataclass

import numpy as np

from actorfl import Algorithm, Closed, Ctx, Merged, Mine, ServerState, Sum, Terms


@dataclass(frozen=True)
class SignVote(Algorithm):
    """Majority vote: x <- x + lr sign(sum of sign(y_k - x)), y_k being what worker k has trained.

    After Bernstein et al., "signSGD with Majority Vote is Communication Efficient and Fault
    Tolerant", ICLR 2019, which votes with gradients.
    """

    lr: float = 0.01

    def up(self, ctx: Ctx, mine: Mine) -> tuple[Terms, Mine]:
        return Terms(vote=Sum(np.sign(ctx.delta))), mine

    def close(self, state: ServerState, terms: Merged, closed: Closed) -> ServerState:
        return state.moved(self.lr * np.sign(terms["vote"].mean()))
