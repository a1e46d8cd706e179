"""Nodes that take weighted means of their own model and their neighbours'."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from actorfl.algorithms.sendsmodel import SendsModel, model_in
from actorfl.layout import Vector
from actorfl.mixing import AnyMixing, Metropolis
from actorfl.pairing import Content, PairCtx, PairState
from actorfl.ranges import check_kind
from actorfl.statistics import between
from actorfl.topology import Peers

_METROPOLIS = Metropolis()


@dataclass(frozen=True)
class Mixed(SendsModel):
    """Base: each node sends its model to its neighbours, and takes a weighted mean of all.

        x_i <- sum over j of W_ij x_j  =  x_i + sum over j in N_i of W_ij (x_j - x_i)

    W is doubly stochastic: its rows add up to 1, so that equal models stay as they are, and its
    columns, so that the mean of all models stays where it is. Each row is taken in float64, in the
    order of the topology, and rounded once to float32. A neighbour of which nothing is known yet
    leaves its weight to x_i.

    Attributes:
        mixing: which W: ``Metropolis()``, ``Uniform()`` or ``BestConstant()``.

    Raises:
        WrongType: a mixing of another type.
        Misfit: by ``check_peers``, where its columns would not add up to 1 on the graph.
    """

    mixing: AnyMixing = field(default=_METROPOLIS, kw_only=True)

    def __post_init__(self) -> None:
        check_kind(self, "mixing", AnyMixing)

    def check_peers(self, topology: Peers, policy: str) -> None:
        """Refuse a graph on which the mean would drift."""
        self.mixing.check(topology)

    def mix(self, topology: Peers, name: str, number: int) -> Mapping[str, float]:
        """A row of W."""
        return self.mixing.weights(topology, name, number)

    def incoming(
        self, ctx: PairCtx, state: PairState, received: Mapping[str, Content]
    ) -> PairState:
        """The weighted mean."""
        theirs = {name: model_in(content) for name, content in received.items()}
        mean = mixed(ctx, state.weights, theirs)
        return state.replaced(between(ctx.layout, mean, (state.weights, *theirs.values())))


def mixed(ctx: PairCtx, own: Vector, theirs: Mapping[str, Vector], step: float = 1.0) -> Vector:
    """A model moved towards others by the weights of ``ctx.mixing`` times a step."""
    total = own.astype(np.float64)
    apart = np.empty_like(total)
    for name, vector in theirs.items():
        if name in ctx.mixing:
            np.subtract(vector, own, out=apart, dtype=np.float64)
            apart *= step * ctx.mixing[name]
            total += apart
    return total.astype(np.float32)
