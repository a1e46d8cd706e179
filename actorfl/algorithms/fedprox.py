"""Federated averaging whose workers are held back towards the model that came down."""

from __future__ import annotations

from dataclasses import dataclass

from actorfl.algorithms.fedavg import FedAvg
from actorfl.algorithms.proximal import Proximal


@dataclass(frozen=True)
class FedProx(Proximal, FedAvg):
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
        self.check_mu()
