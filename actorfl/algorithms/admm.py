"""Consensus by the alternating direction method of multipliers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from actorfl.algorithm import Ctx
from actorfl.algorithms.sendsmodel import SendsModel, model_in
from actorfl.errors import Misfit
from actorfl.layout import Vector
from actorfl.local import SGD
from actorfl.pairing import Content, PairCtx, PairState
from actorfl.ranges import check_number
from actorfl.topology import Peers

_DUAL, _NEAR, _DEGREE = "dual", "near", "degree"


@dataclass(frozen=True)
class ConsensusADMM(SendsModel):
    """Decentralised ADMM: all minimise the sum of their losses, and agree.

    Shi et al., "On the Linear Convergence of the ADMM in Decentralized Consensus Optimization",
    IEEE Transactions on Signal Processing 62(7), 2014, Algorithm 1; minimise the sum of f_i(x_i)
    such that x_i = x_j for neighbours:

        x_i <- argmin f_i(x) + a_i x + rho * sum over j in N_i of ||x - (x_i + x_j)/2||^2
        a_i <- a_i + rho * sum over j in N_i of (x_i - x_j)

    f_i is the mean loss of node i's data, x_i its float32 model, a_i its dual, float32, at first 0.
    The duals of all nodes add up to 0. Unlike D-PSGD it tends to the minimum of the sum with a
    fixed lr, however different the data. It is the ADMM of a consensus without a centre: the mean
    over all, z, of the form with a centre stands in the neighbours' means.

    Deviation from the paper: the minimum is approached by the local loop, which starts at x_i and
    whose gradients get a_i + 2 rho |N_i| x - rho * sum over j of (x_i + x_j). Many steps with the
    whole data as one batch are the paper's.

    Only under BSP, on a graph that stays and whose links go both ways: else the duals do not add up
    to 0.

    Attributes:
        rho: the penalty, finite and above 0; the lr of ``local`` times 2 rho |N_i| is at most 2.

    Raises:
        WrongType: rho is no number.
        WrongValue: rho is out of range.
        Misfit: by ``check_peers`` or ``check_run``.
    """

    policies: ClassVar[tuple[str, ...]] = ("BSP",)

    rho: float = 1.0

    def __post_init__(self) -> None:
        check_number(self, "rho", "finite and above 0", lambda x: x > 0)

    def check_peers(self, topology: Peers, policy: str) -> None:
        """Refuse a graph whose duals would not add up to 0."""
        if not (topology.symmetric and topology.fixed):
            what = "change by round" if topology.symmetric else "go one way only"
            raise Misfit(
                f"ConsensusADMM keeps a price for each link, and those of "
                f"{type(topology).__name__} {what}; use an undirected graph that stays"
            )

    def check_run(self, local: SGD, workers: int) -> None:
        """Refuse what must diverge."""
        bend = 2.0 * self.rho * (workers - 1)
        if local.lr * bend > 2.0:
            raise Misfit(
                f"ConsensusADMM with rho={self.rho} and {workers - 1} neighbours diverges under "
                f"lr={local.lr} of `local`; take an lr of at most {2.0 / bend:g}, or a smaller rho"
            )

    def started(self, ctx: PairCtx, state: PairState) -> PairState:
        """No price, and all neighbours where the node is."""
        degree = len(ctx.sources)
        near = np.multiply(state.weights, 2 * degree, dtype=np.float32)
        zero = np.zeros_like(state.weights)
        return state.keeping({_DUAL: zero, _NEAR: near, _DEGREE: degree})

    def grad(self, ctx: Ctx, g: Vector) -> Vector:
        """Add the gradient of the price and the penalty."""
        dual, near = np.asarray(ctx.mine[_DUAL]), np.asarray(ctx.mine[_NEAR])
        degree = int(ctx.mine[_DEGREE])
        pull = np.multiply(ctx.weights, 2 * degree, dtype=np.float32) - near
        corrected: Vector = g + dual + np.float32(self.rho) * pull
        return corrected

    def incoming(
        self, ctx: PairCtx, state: PairState, received: Mapping[str, Content]
    ) -> PairState:
        """Move the price by how far the neighbours are away."""
        own = state.weights.astype(np.float64)
        total = np.zeros_like(own)
        for content in received.values():
            total += model_in(content)
        degree = len(received)
        dual = state.array(_DUAL) + self.rho * (degree * own - total)
        near = degree * own + total
        return state.keeping({
            _DUAL: dual.astype(np.float32), _NEAR: near.astype(np.float32), _DEGREE: degree,
        })  # fmt: skip
