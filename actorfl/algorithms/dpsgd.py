"""Decentralised parallel stochastic gradient descent."""

from __future__ import annotations

from dataclasses import dataclass

from actorfl.algorithms.mixed import Mixed
from actorfl.errors import WrongValue
from actorfl.pairing import Order

_ORDERS = ("beside", "before")


@dataclass(frozen=True)
class DPSGD(Mixed):
    """D-PSGD: each node takes a gradient step and the weighted mean of its neighbours' models.

    Lian et al., "Can Decentralized Algorithms Outperform Centralized Algorithms? A Case Study for
    Decentralized Parallel Stochastic Gradient Descent", NeurIPS 2017, Algorithm 1:

        beside (as printed):       x_i <- sum over j of W_ij x_j  -  lr * g_i(x_i)
        before (adapt, combine):   x_i <- sum over j of W_ij (x_j - lr * g_j(x_j))

    x_i is the float32 model of node i, W a symmetric doubly stochastic matrix: Metropolis-Hastings
    weights, W_ij = 1 / (1 + max(d_i, d_j)). The step is that of ``local``: ``SGD(lr, batch,
    steps=1)`` is the paper's, more steps or epochs are local SGD between mixings. Degenerate
    values: on a complete graph "before" is centralised SGD on the union of the batches, and all
    nodes are equal after each round.

    Deviations from the paper: where a local loop takes several steps, what is added is the whole
    way that it went. Under SSP x_j is what a neighbour sent last, by at most the staleness behind.

    Attributes:
        order: "beside": the gradient is that at the model before mixing, and both can go on at the
            same time; "before": the node trains first and sends what it has then.

    Raises:
        WrongValue: another order.
    """

    order: Order = "beside"

    def __post_init__(self) -> None:
        if self.order not in _ORDERS:
            raise WrongValue("`order` of DPSGD", '"beside" or "before"', self.order)
