"""Graphs in which all nodes have as many neighbours, drawn once or in each round."""

from __future__ import annotations

import functools
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from actorfl.errors import WrongValue
from actorfl.graphs.base import Graph, check_links
from actorfl.graphs.drawn import Adjacency, DrawnGraph, adjacency
from actorfl.ranges import check_count
from actorfl.seeds import SEED_MAX, seed_for


@dataclass(frozen=True)
class RegularGraph(DrawnGraph):
    """A random graph in which each node has the same number of neighbours.

    Drawn uniformly in the limit of many nodes (Steger and Wormald, 1999; networkx).

    Args:
        nodes: how many, 2 to 65,536; without it as many as `named` has names.
        named: their names; see `RingGraph`, also for what is refused.
        degree: neighbours of each, 1 to nodes - 1; nodes times degree is even.
        seed: what the links are drawn by, 0 to 2^63 - 1.
        connected: whether the draw is repeated until it is connected, which with three neighbours
            and more it nearly always is.

    Raises:
        WrongValue: also where nodes times degree is odd, or no draw is connected.
    """

    degree: int = field(kw_only=True)

    def check(self) -> None:
        """Refuse a degree that no such graph has."""
        check_degree(self, self.degree)

    def generate(self, rng: random.Random) -> Any:
        """Draw one."""
        import networkx as nx

        return nx.random_regular_graph(self.degree, self.count, seed=rng)

    @property
    def parted(self) -> str:
        """What to change where draws are not connected, for people."""
        return "a greater `degree`"


@dataclass(frozen=True)
class FreshRegularGraph(Graph):
    """A random regular graph that is drawn anew in each round.

    With mixing weights of 1 / (degree + 1) it is the oracle of epidemic learning (de Vos et al.,
    2023, Epidemic learning: boosting decentralized learning with randomized communication). Any two
    may meet, so all are wired to all.

    Args:
        nodes: how many, 2 to 1,024; without it as many as `named` has names.
        named: their names; see `RingGraph`, also for what is refused.
        degree: neighbours of each in a round, 1 to nodes - 1; nodes times degree is even.
        seed: what the links are drawn by, 0 to 2^63 - 1; with it and the round they are known.

    Raises:
        WrongValue: also where nodes times degree is odd.
    """

    degree: int = field(kw_only=True)
    seed: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self, "seed", 0, SEED_MAX)
        check_degree(self, self.degree)
        check_links(self, self.count * (self.count - 1))
        # networkx takes long to load, and actors that ask for a later round must not wait for it.
        _fresh(self.count, self.degree, self.seed, 0)

    def beside(self, place: int) -> Iterable[int]:
        """Everyone."""
        return self.others(place)

    def targets(self, name: str, round: int) -> tuple[str, ...]:  # noqa: A002
        """Its neighbours in a round, in the order of the nodes."""
        return self.called(_fresh(self.count, self.degree, self.seed, round)[self.place_of(name)])

    def sources(self, name: str, round: int) -> tuple[str, ...]:  # noqa: A002
        """Its neighbours in a round, in the order of the nodes."""
        return self.targets(name, round)

    @property
    def fixed(self) -> bool:
        """Never."""
        return False


def check_degree(graph: Graph, degree: int) -> None:
    """Refuse a degree that no graph of so many nodes can have at all of them.

    Raises:
        WrongType: it is no whole number.
        WrongValue: it is out of range, or nodes times degree is odd.
    """
    check_count(graph, "degree", 1, graph.count - 1)
    check_links(graph, graph.count * degree)
    if graph.count * degree % 2:
        name = type(graph).__name__
        raise WrongValue.saying(
            f"no {name} of {graph.count} nodes has degree {degree}, since each link has two ends; "
            "make one of the two even"
        )


@functools.lru_cache(maxsize=16)  # each node of a process asks, and some are rounds ahead
def _fresh(count: int, degree: int, seed: int, number: int) -> Adjacency:
    import networkx as nx

    rng = random.Random(seed_for(seed, "", number, "graph"))
    return adjacency(nx.random_regular_graph(degree, count, seed=rng))
