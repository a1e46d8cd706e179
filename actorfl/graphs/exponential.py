"""Nodes that are a power of two apart: few links, and news are everywhere soon."""

from __future__ import annotations

from dataclasses import dataclass

from actorfl.errors import WrongValue
from actorfl.graphs.base import Graph


@dataclass(frozen=True)
class HypercubeGraph(Graph):
    """Two nodes are neighbours where their places differ in one bit, the lowest first.

    Args:
        nodes: how many, a power of two from 2 to 65,536; without it as many as `named` has names.
        named: their names; see `RingGraph`, also for what is refused.

    Raises:
        WrongValue: their number is no power of two.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.count & (self.count - 1):
            raise WrongValue("`nodes` of HypercubeGraph", "a power of two", self.count)

    def beside(self, place: int) -> tuple[int, ...]:
        """The nodes whose places differ in one bit."""
        return tuple(place ^ hop for hop in hops(self.count))


@dataclass(frozen=True)
class ExponentialGraph(Graph):
    """Each node sends to those 1, 2, 4, ... places on: the static exponential graph. Directed.

    A node hears from as many as it sends to, the logarithm of n, rounded up (Ying et al., 2021,
    Exponential graph is provably efficient for decentralized deep training, section 2).

    Args:
        nodes: how many, 2 to 65,536; without it as many as `named` has names.
        named: their names; see `RingGraph`, also for what is refused.
    """

    def beside(self, place: int) -> tuple[int, ...]:
        """The nodes 1, 2, 4, ... places on."""
        return tuple((place + hop) % self.count for hop in hops(self.count))

    def senders(self, name: str) -> tuple[str, ...]:
        """The nodes 1, 2, 4, ... places before."""
        place = self.place_of(name)
        return self.called((place - hop) % self.count for hop in hops(self.count))

    @property
    def symmetric(self) -> bool:
        """Only of two and three nodes, where everyone sends to everyone."""
        return self.count <= 3


@dataclass(frozen=True)
class OnePeerExponentialGraph(ExponentialGraph):
    """In each round a node sends to one, 1, 2, 4, ... places on, then again 1. Directed.

    A model is sent and one heard in each round. Where the number of nodes is a power of two, the
    mean of all is exact after as many rounds as that power says (Ying et al., 2021, lemma 1).

    Args:
        nodes: how many, 2 to 65,536; without it as many as `named` has names.
        named: their names; see `RingGraph`, also for what is refused.
    """

    def targets(self, name: str, round: int) -> tuple[str, ...]:  # noqa: A002
        """The one that it sends to in a round."""
        return self.called(((self.place_of(name) + self._hop(round)) % self.count,))

    def sources(self, name: str, round: int) -> tuple[str, ...]:  # noqa: A002
        """The one that it hears from in a round."""
        return self.called(((self.place_of(name) - self._hop(round)) % self.count,))

    @property
    def symmetric(self) -> bool:
        """Only of two nodes."""
        return self.count == 2

    @property
    def fixed(self) -> bool:
        """Only of two nodes."""
        return self.count == 2

    def _hop(self, number: int) -> int:
        all_of_them = hops(self.count)
        return all_of_them[number % len(all_of_them)]


def hops(count: int) -> tuple[int, ...]:
    """The powers of two below a number."""
    return tuple(1 << power for power in range((count - 1).bit_length()))
