"""Average consensus: what nodes have becomes the mean of all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from actorfl.algorithms.mixed import Mixed


@dataclass(frozen=True)
class AverageConsensus(Mixed):
    """Average consensus: each node trains once, and then only mixes.

    Xiao and Boyd, "Fast Linear Iterations for Distributed Averaging", Systems & Control Letters
    53(1), 2004, section 1:

        x_i(t+1) = sum over j of W_ij x_j(t)

    x_i(0) is what the node has after the training of the first round, a float32 vector; W is doubly
    stochastic. All x_i tend to their mean, ||x(t) - mean|| <= s^t ||x(0) - mean||
    where s is the second largest absolute eigenvalue of a symmetric W. So it is one-shot averaging
    (one round of FedAvg with equal weights) without a centre.

    Only under BSP: where nodes mix with what their neighbours had before, the mean is not kept.

    Attributes:
        mixing: W: ``Metropolis()``, ``Uniform()`` or ``BestConstant()``.
    """

    policies: ClassVar[tuple[str, ...]] = ("BSP",)

    def trains(self, number: int) -> bool:
        """Only in the first round."""
        return number == 0
