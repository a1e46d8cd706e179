"""Decentralised parallel stochastic gradient descent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from actorfl.algorithms.mixed import Mixed
from actorfl.ranges import check_word


@dataclass(frozen=True)
class DPSGD(Mixed):
    """D-PSGD: each node takes a gradient step and the weighted mean of its neighbours' models.

    Lian et al., "Can Decentralized Algorithms Outperform Centralized Algorithms? A Case Study for
    Decentralized Parallel Stochastic Gradient Descent", NeurIPS 2017, Algorithm 1:

        beside (as printed):       x_i <- sum over j of W_ij x_j  -  lr * g_i(x_i)
        before (adapt, combine):   x_i <- sum over j of W_ij (x_j - lr * g_j(x_j))

    x_i is the float32 model of node i, W a doubly stochastic matrix. The step is
    that of ``local``: ``SGD(lr, batch, steps=1)`` is the paper's; more steps or epochs are local
    SGD between mixings. Degenerate values: on a complete graph "before" is centralised SGD on the
    union of the batches, and all nodes are equal after each round; with one node it is SGD.

    Deviations from the paper: where the local loop takes several steps, "beside" adds the whole way
    that it went. Under SSP x_j is what a neighbour sent last, by at most the staleness behind, and
    the mean of all models is no longer kept.

    Attributes:
        order: "beside": the gradient is taken at the model before mixing; "before": the node trains
            first, and sends what it has then.
        mixing: W: ``Metropolis()``, ``Uniform()`` or ``BestConstant()``.

    Raises:
        WrongType: an order that is no word.
        WrongValue: another order.
    """

    order: Literal["beside", "before"] = "beside"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_word(self, "order", ("beside", "before"))
