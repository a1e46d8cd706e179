"""Federated averaging."""

from __future__ import annotations

from dataclasses import dataclass

from actorfl.algorithm import Algorithm, Closed, Ctx, Mine, ServerState
from actorfl.merging import Merged
from actorfl.terms import Sum, Terms


@dataclass(frozen=True)
class FedAvg(Algorithm):
    """FedAvg: the mean of the workers' models, weighted by their numbers of examples.

    McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data",
    AISTATS 2017, Algorithm 1:

        w_{t+1} = sum over k in S_t of p_k * w_k^{t+1},   p_k = n_k / sum over j in S_t of n_j

    S_t are the workers whose updates are merged in clock t (not all workers: dividing by those that
    did not take part would shrink the model), n_k the training examples of worker k, an integer
    >= 1, and w_k^{t+1} its model after the local epochs, a float32 vector. It has no
    hyper-parameters of its own; E, B and the learning rate belong to ``local``.

    Degenerate values: one worker gives local SGD, bit for bit; one epoch over one batch of all
    examples gives full-batch gradient descent on the union of the data (FedSGD).

    Deviation from the paper: the mean is taken exactly and rounded once, so it does not depend on
    the order of arrival. Floating buffers (running means of BatchNorm) are averaged like weights;
    integer ones are merged by maximum.
    """

    def up(self, ctx: Ctx, mine: Mine) -> tuple[Terms, Mine]:
        """n_k times w_k; a worker keeps no state."""
        return Terms(model=Sum(ctx.result, ctx.examples)), mine

    def close(self, state: ServerState, terms: Merged, closed: Closed) -> ServerState:
        """The weighted mean replaces the model."""
        return state.replaced(terms["model"].mean())
