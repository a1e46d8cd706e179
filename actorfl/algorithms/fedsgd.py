"""Federated stochastic gradient descent: one step over all data in a clock."""

from __future__ import annotations

from dataclasses import dataclass

from actorfl.algorithms.fedavg import FedAvg
from actorfl.errors import Misfit
from actorfl.local import SGD


@dataclass(frozen=True)
class FedSGD(FedAvg):
    """FedSGD: one gradient over all of a worker's examples in a clock.

    McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data",
    AISTATS 2017, section 2:

        w_{t+1} = w_t - lr * sum over k of p_k * g_k,   g_k = gradient of F_k at w_t,  p_k = n_k / n

    lr is that of ``local``. It is FedAvg with one step over one batch, and has its bits; every
    other local loop is refused. Without randomness in the model the result is full-batch gradient
    descent on the union of the data, to the rounding of float32.

    Raises:
        Misfit: by ``check_run``, where the local loop takes several steps, batches or momentum.
    """

    def check_run(self, local: SGD, workers: int) -> None:
        """Take one step over all examples, without momentum, and nothing else."""
        if local.batch is not None or (local.epochs or local.steps) != 1:
            size = "all examples" if local.batch is None else f"{local.batch} examples"
            length = f"epochs={local.epochs}" if local.steps is None else f"steps={local.steps}"
            raise Misfit(
                f"FedSGD takes one step over all examples in a round, but `local` takes batches of "
                f"{size} and {length}; leave out `batch`, `epochs` and `steps`, or use FedAvg"
            )
        if local.momentum:
            raise Misfit(
                f"FedSGD takes one step in a round, in which the momentum of `local` "
                f"({local.momentum}) does nothing; remove it, or use FedAvgM"
            )
