"""What algorithms have in common by which neighbours come to the readout of all their data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from actorfl.errors import Misfit
from actorfl.esn.reservoir import Floats
from actorfl.mixing import Metropolis
from actorfl.pairing import Content, PairAlgorithm, PairCtx
from actorfl.topology import Peers

VALUES = "values"
"""What is averaged, in a node's state and in letters."""


@dataclass(frozen=True)
class ReadoutBetween(PairAlgorithm):
    """Base: nodes take the moments of their data once, and average by Metropolis-Hastings weights.

    Needs an ``EchoStateTask``.
    """

    policies: ClassVar[tuple[str, ...]] = ("BSP",)
    takes_steps: ClassVar[bool] = False

    def check_peers(self, topology: Peers, policy: str) -> None:
        """Refuse a graph with links that go one way: its mean would move."""
        if not topology.symmetric:
            raise Misfit(
                f"{type(self).__name__} needs links that go both ways, and those of "
                f"{type(topology).__name__} do not; use a graph such as RingGraph"
            )

    def mix(self, topology: Peers, name: str, number: int) -> Mapping[str, float]:
        """The Metropolis-Hastings weights of the round's graph."""
        return Metropolis().weights(topology, name, number)

    def trains(self, number: int) -> bool:
        """The moments are taken once."""
        return number == 0

    @staticmethod
    def averaged(ctx: PairCtx, own: Floats, received: Mapping[str, Content]) -> Floats:
        """The weighted mean of a node's own values and those of its neighbours, float64."""
        mean = own.copy()
        for sender, content in received.items():
            mean += ctx.mixing[sender] * (np.asarray(content[VALUES], np.float64) - own)
        return mean
