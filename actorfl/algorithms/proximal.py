"""A term that keeps a worker near where its training starts."""

from __future__ import annotations

import numpy as np

from actorfl.algorithm import Ctx
from actorfl.errors import Misfit
from actorfl.layout import Vector
from actorfl.local import SGD
from actorfl.ranges import check_number


class Proximal:
    """Adds mu/2 * ||w - w_start||^2 to what is minimised: each gradient gets mu * (w - w_start).

    Li et al., "Federated Optimization in Heterogeneous Networks", MLSys 2020. To be derived from
    beside an algorithm whose field ``mu`` it is; mu=0 leaves the gradients alone.
    """

    mu: float

    def check_mu(self) -> None:
        """Refuse what is no weight."""
        check_number(self, "mu", "finite and at least 0", lambda x: x >= 0)

    @property
    def corrects_gradients(self) -> bool:
        """Whether there is a proximal term."""
        return self.mu != 0.0

    def check_run(self, local: SGD, workers: int) -> None:
        """Refuse what must diverge."""
        if local.lr * self.mu > 2.0:
            raise Misfit(
                f"{type(self).__name__} with mu={self.mu} diverges under lr={local.lr} of `local`: "
                f"their product is at most 2; take a mu of at most {2.0 / local.lr:g}, or a "
                "smaller lr"
            )

    def grad(self, ctx: Ctx, g: Vector) -> Vector:
        """Add mu times the way gone so far."""
        return g + np.float32(self.mu) * ctx.delta
