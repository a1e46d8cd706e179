"""Nodes that take weighted means of their own model and their neighbours'."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from actorfl.layout import Vector
from actorfl.mixing import Metropolis
from actorfl.pairing import Content, PairAlgorithm, PairCtx, PairState
from actorfl.topology import Peers

MODEL = "model"
"""The name under which a node's model is sent."""


@dataclass(frozen=True)
class Mixed(PairAlgorithm):
    """Base: each node sends its model to all its neighbours, and takes a weighted mean of all.

        x_i <- x_i + sum over j in N_i of W_ij (x_j - x_i)  =  sum over j of W_ij x_j

    W is doubly stochastic: rows add up to 1, so that equal models stay as they are, and columns, so
    that the mean of all models stays as it is. The sum is taken in float64, in the order of the
    topology, and rounded once; a neighbour of which nothing is known yet leaves its weight to x_i.
    """

    def mix(self, topology: Peers, name: str, number: int) -> Mapping[str, float]:
        """The Metropolis-Hastings weights of the round's graph."""
        return Metropolis().weights(topology, name, number)

    def outgoing(self, ctx: PairCtx, state: PairState) -> tuple[Mapping[str, Content], PairState]:
        """The model, to each target."""
        content: Content = {MODEL: state.weights}
        return dict.fromkeys(ctx.targets, content), state

    def incoming(
        self, ctx: PairCtx, state: PairState, received: Mapping[str, Content]
    ) -> PairState:
        """The weighted mean."""
        return state.replaced(mixed(ctx, state.weights, received))


def mixed(ctx: PairCtx, own: Vector, received: Mapping[str, Content]) -> Vector:
    """``own`` moved towards what came by the weights of ``ctx.mixing``."""
    total = own.astype(np.float64)
    for sender, content in received.items():
        weight = ctx.mixing.get(sender)
        if weight is not None:
            theirs = np.asarray(content[MODEL], np.float32)
            total += weight * np.subtract(theirs, own, dtype=np.float64)
    return total.astype(np.float32)
