"""Federated averaging beside a personal model at each worker, which is drawn towards the mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from actorfl.algorithm import Ctx
from actorfl.algorithms.fedavg import FedAvg
from actorfl.errors import Misfit
from actorfl.layout import Vector
from actorfl.local import SGD
from actorfl.ranges import check_number


@dataclass(frozen=True)
class Ditto(FedAvg):
    """Ditto: each worker trains a model of its own, held back towards the one learned together.

    Li et al., "Ditto: Fair and Robust Federated Learning Through Personalization", ICML 2021,
    Algorithm 1; worker k, with w_t that came down and its personal model v_k:

        w_{t+1} is FedAvg's
        v_k <- v_k - lr_local * (grad F_k(v_k) + lam * (v_k - w_t))   for each step of ``local``

    v_k never leaves its worker; all begin with the initial model. Evaluation at the workers
    measures v_k, central evaluation w_t, which is the run's final model. A clock computes twice
    what FedAvg does; the traffic is the same. v_k sees the data in the order in which w does.

    Degenerate values: with lam=0 v_k is what worker k learns alone, bit for bit; the larger lam,
    the nearer v_k stays to w_t.

    Attributes:
        lam: lambda, the weight of the way from w_t, finite and >= 0; the paper takes 0.05 to 2.
            The lr of ``local`` times lam is at most 2, beyond which it alone makes training
            diverge.

    Raises:
        WrongType: lam is no number.
        WrongValue: lam is out of range.
        Misfit: by ``check_run``, where lr * lam > 2.
    """

    personal: ClassVar[bool] = True

    lam: float = 0.1

    def __post_init__(self) -> None:
        check_number(self, "lam", "finite and at least 0", lambda x: x >= 0)

    @property
    def pulls(self) -> bool:
        """Whether anything draws v_k towards w_t."""
        return self.lam != 0.0

    def check_run(self, local: SGD, workers: int) -> None:
        """Refuse what must diverge."""
        if local.lr * self.lam > 2.0:
            raise Misfit(
                f"Ditto with lam={self.lam} diverges under lr={local.lr} of `local`: their product "
                f"is at most 2; take a lam of at most {2.0 / local.lr:g}, or a smaller lr"
            )

    def pull(self, ctx: Ctx, g: Vector) -> Vector:
        """Add lam times the way from w_t."""
        return g + np.float32(self.lam) * ctx.delta
