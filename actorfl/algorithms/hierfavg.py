"""Federated averaging on two levels of aggregators."""

from __future__ import annotations

from dataclasses import dataclass

from actorfl.algorithms.fedavg import FedAvg
from actorfl.ranges import check_count


@dataclass(frozen=True)
class HierFAVG(FedAvg):
    """HierFAVG: edges average their workers several times before the root averages the edges.

    Liu et al., "Client-Edge-Cloud Hierarchical Federated Learning", ICC 2020, Algorithm 1. In each
    round of the root every edge begins with the root's model and takes kappa_2 rounds of FedAvg
    with its own workers; then the root takes the mean of the edges' models. Both means are weighted
    by numbers of examples. kappa_1, the steps of a worker between two averages of its edge, is the
    length of ``local``.

    Traffic to the root is that of the edges alone, once in kappa_2 rounds. It is short for
    ``FedAvg()`` under ``sync={"root": BSP(), "edge": BSP(rounds=kappa2)}``, for a ``Tree`` of a
    root, one level of edges, and workers; others are refused.

    Degenerate values: kappa2=1 is FedAvg, bit for bit; so is a single edge, whose rounds the run
    counts in groups of kappa2.

    Attributes:
        kappa2: rounds of an edge in one round of the root, 1 to 10^6.

    Raises:
        WrongType: kappa2 is no whole number.
        WrongValue: kappa2 is out of range.
    """

    kappa2: int = 5

    def __post_init__(self) -> None:
        check_count(self, "kappa2", 1, 1_000_000)

    @property
    def edge_rounds(self) -> int:
        """It is kappa2."""
        return self.kappa2
