"""Federated averaging whose workers are held back towards the model that came down."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from actorfl.algorithm import Ctx
from actorfl.algorithms.fedavg import FedAvg
from actorfl.errors import Misfit
from actorfl.layout import Vector
from actorfl.local import SGD
from actorfl.ranges import check_number


@dataclass(frozen=True)
class FedProx(FedAvg):
    """FedProx: FedAvg with a proximal term in each worker's objective.

    Li et al., "Federated Optimization in Heterogeneous Networks", MLSys 2020:

        worker k minimises F_k(w) + mu/2 * ||w - w_t||^2,   so each gradient gets + mu * (w - w_t)

    w_t is the model that came down. What goes up and how it is merged is FedAvg's. Degenerate
    value: mu=0 is FedAvg, bit for bit. The larger mu, the nearer the workers stay to w_t.

    Attributes:
        mu: weight of the proximal term, finite and >= 0; the lr of ``local`` times mu is at most 2,
            beyond which the proximal term alone makes training diverge.

    Raises:
        WrongType: mu is no number.
        WrongValue: mu is out of range.
        Misfit: by ``check_run``, where lr * mu > 2.
    """

    mu: float = 0.01

    def __post_init__(self) -> None:
        check_number(self, "mu", "finite and at least 0", lambda x: x >= 0)

    @property
    def corrects_gradients(self) -> bool:
        """Whether there is a proximal term."""
        return self.mu != 0.0

    def check_run(self, local: SGD, workers: int) -> None:
        """Refuse what must diverge."""
        if local.lr * self.mu > 2.0:
            raise Misfit(
                f"FedProx with mu={self.mu} diverges under lr={local.lr} of `local`: their product "
                f"is at most 2; take a mu of at most {2.0 / local.lr:g}, or a smaller lr"
            )

    def grad(self, ctx: Ctx, g: Vector) -> Vector:
        """Add mu times the way gone so far."""
        return g + np.float32(self.mu) * ctx.delta
