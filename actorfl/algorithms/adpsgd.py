"""Asynchronous decentralised parallel stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from actorfl.algorithms.sendsmodel import SendsModel, model_in
from actorfl.errors import Misfit
from actorfl.pairing import Content, PairCtx, PairState
from actorfl.topology import Peers


@dataclass(frozen=True)
class ADPSGD(SendsModel):
    """AD-PSGD: each node trains at its own speed, and averages with one neighbour at a time.

    Lian et al., "Asynchronous Decentralized Parallel Stochastic Gradient Descent", ICML 2018,
    Algorithm 1; each node repeats:

        g_i at the present x_i;  draw a neighbour j;  x_i, x_j <- (x_i + x_j) / 2;  x_i -= lr * g_i

    The averaging is atomic: the sum of both models stays as it is, to the rounding of float32.
    While g_i is computed others may average with x_i, so it is taken at an older model. The step is
    that of ``local``; ``SGD(lr, batch, steps=1)`` is the paper's. Runs under ``ASP`` alone, and
    bits depend on who was faster. ``until`` counts the steps of each node.

    Deviation from the paper, which has graphs of two halves against deadlock: on any undirected
    graph a node that waits for an answer tells others that it is busy, and they draw again after a
    random while, see ``actorfl.exchange``.
    """

    policies: ClassVar[tuple[str, ...]] = ("ASP",)

    def check_peers(self, topology: Peers, policy: str) -> None:
        """Refuse links on which no answer comes."""
        if not (topology.symmetric and topology.fixed):
            what = "change by round" if topology.symmetric else "go one way only"
            raise Misfit(
                f"ADPSGD asks a neighbour and is answered, and the links of "
                f"{type(topology).__name__} {what}; use an undirected graph that stays"
            )

    def incoming(
        self, ctx: PairCtx, state: PairState, received: Mapping[str, Content]
    ) -> PairState:
        """The mean of the own model and the one that came."""
        (theirs,) = (model_in(content) for content in received.values())
        return state.replaced((state.weights.astype(np.float64) + theirs) / 2)
