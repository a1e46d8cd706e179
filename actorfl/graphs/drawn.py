"""What graphs that are drawn from a seed have in common."""

from __future__ import annotations

import functools
import random
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from actorfl.errors import WrongType, WrongValue
from actorfl.graphs.base import Graph, check_links
from actorfl.ranges import check_count
from actorfl.seeds import SEED_MAX

#: Of each node, by its place, the places of its neighbours, ascending.
Adjacency: TypeAlias = tuple[tuple[int, ...], ...]

#: Draws until one is connected. A graph of which fewer than one in a hundred is connected is not
#: what anyone wanted.
_TRIES: Final = 100
#: Nodes drawn until one is connected, in all: a draw of 10,000 nodes takes a good part of a second.
_NODES_DRAWN: Final = 100_000


@dataclass(frozen=True)
class DrawnGraph(Graph):
    """Base of graphs whose links are drawn, by networkx, from their own seed alone.

    Args:
        nodes: how many; without it as many as `named` has names.
        named: their names; see `RingGraph`, also for what is refused.
        seed: what the links are drawn by, 0 to 2^63 - 1; the seed of the run does not change them.
        connected: whether the draw is repeated until each node is reached from each other one.

    Raises:
        WrongValue: also where none of a hundred draws is connected, or it has too many links.
    """

    seed: int = field(default=0, kw_only=True)
    connected: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self, "seed", 0, SEED_MAX)
        check_flag(self, "connected")
        self.check()
        # Whether one is connected shows when it is drawn, and that is to be before anything starts.
        _ = self.adjacent

    @abstractmethod
    def check(self) -> None:
        """Refuse what no graph can be drawn of.

        Raises:
            ConfigError: a field that is out of range.
        """

    @abstractmethod
    def generate(self, rng: random.Random) -> Any:
        """Draw a graph of networkx, its nodes being their places."""

    @property
    def parted(self) -> str:
        """What to change where draws are not connected, for people."""
        return "another seed"

    @functools.cached_property
    def adjacent(self) -> Adjacency:
        """Of each node the places of its neighbours, ascending."""
        return _drawn(self)

    def beside(self, place: int) -> Iterable[int]:
        """Its neighbours in the order of the nodes."""
        return self.adjacent[place]


@functools.lru_cache(maxsize=8)  # equal graphs are made again and again, by sweeps and by resuming
def _drawn(graph: DrawnGraph) -> Adjacency:
    import networkx as nx

    # The first draw is that of networkx with the same seed, so that others can make it, too.
    rng = random.Random(graph.seed)
    tries = max(1, min(_TRIES, _NODES_DRAWN // graph.count))
    for _ in range(tries):
        found = graph.generate(rng)
        if not graph.connected or nx.is_connected(found):
            check_links(graph, 2 * found.number_of_edges())
            return adjacency(found)
    what = f"{tries} draws of {type(graph).__name__}" if tries > 1 else type(graph).__name__
    raise WrongValue.saying(
        f"none of {what} with seed {graph.seed} is connected; use {graph.parted}, or "
        "connected = false for a graph in parts"
    )


def adjacency(graph: Any) -> Adjacency:
    """Of each node of a graph of networkx the places of its neighbours, ascending."""
    return tuple(tuple(sorted(graph[place])) for place in range(len(graph)))


def check_flag(owner: Any, name: str) -> None:
    """Refuse a field that is neither true nor false.

    Raises:
        WrongType: it is something else.
    """
    if not isinstance(getattr(owner, name), bool):
        raise WrongType(f"`{name}` of {type(owner).__name__}", "bool", getattr(owner, name))
