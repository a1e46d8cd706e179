"""Federated averaging without a centre."""

from __future__ import annotations

from dataclasses import dataclass

from actorfl.algorithms.mixed import Mixed
from actorfl.algorithms.proximal import Proximal


@dataclass(frozen=True)
class DFedAvg(Proximal, Mixed):
    """Decentralised FedAvg: local epochs, then the weighted mean of the neighbours' models.

    Sun, Li and Wang, "Decentralized Federated Averaging", IEEE TPAMI 45(4), 2023, Algorithm 1:

        y_i = x_i after the local epochs,   x_i <- sum over j of W_ij y_j

    W is doubly stochastic. Momentum in ``local`` makes it the paper's DFedAvgM. Each
    node weighs the same, however many examples it has. Degenerate value: one step is D-PSGD in the
    order "before".

    With ``mu`` each node minimises F_i(y) + mu/2 * ||y - x_i||^2, so that each gradient gets
    mu * (y - x_i): FedProx (Li et al., MLSys 2020) around the mean of the neighbours, where that
    paper has the one of all. mu=0 leaves the gradients alone.

    Attributes:
        mu: weight of the proximal term, finite and >= 0; times the lr of ``local`` at most 2.
        mixing: W: ``Metropolis()``, ``Uniform()`` or ``BestConstant()``.

    Raises:
        WrongType: mu is no number.
        WrongValue: mu is out of range.
        Misfit: by ``check_run``, where lr * mu > 2.
    """

    mu: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_mu()
