"""Graphs that follow one another."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from actorfl.errors import Misfit, WrongType, WrongValue
from actorfl.graphs.base import Graph, check_links
from actorfl.graphs.edges import Edge, both, check_pairs, places_of, ways
from actorfl.ranges import check_count
from actorfl.topology import Peers, take_names


@dataclass(frozen=True)
class ScheduleGraph(Graph):
    """Some graphs, one after the other, and then the first again: shifts, orbits, a recorded trace.

    None of them needs to be connected. A node without a link in a round waits for nobody.

    Args:
        nodes: may be left out: as many as there are names.
        named: the names of the nodes, in their order; without it those in the edges, as they come.
        edges: of each graph its edges, pairs of names; they go both ways.
        every: rounds that each graph holds, from 1.

    Raises:
        WrongType: what is no pair of names.
        WrongValue: no graph at all; an edge of a node that there is not, or from a node to itself;
            too many edges; names as of `RingGraph`.
    """

    edges: tuple[tuple[Edge, ...], ...] = field(kw_only=True)
    every: int = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        what = "`edges` of ScheduleGraph"
        if not isinstance(self.edges, tuple):
            raise WrongType(what, "a tuple of graphs, each a tuple of pairs of names", self.edges)
        if not self.edges:
            raise WrongValue.saying(f"{what} have no graph; give one at least")
        for one in self.edges:
            check_pairs(one, what)
        pairs = tuple(edge for one in self.edges for edge in one)
        check_pairs(pairs, what)
        check_count(self, "every", 1)
        object.__setattr__(self, "named", take_names(type(self).__name__, self.named))
        if self.nodes is None and not self.named:
            named = tuple(dict.fromkeys(name for edge in pairs for name in edge))
            object.__setattr__(self, "named", named)
        super().__post_init__()
        check_links(self, len(both(places_of(pairs, self, what))))

    @classmethod
    def of(cls, *graphs: Peers, every: int = 1) -> ScheduleGraph:
        """Make one of other graphs of the same nodes.

        Args:
            graphs: fixed ones whose links go both ways.
            every: rounds that each holds.

        Raises:
            Misfit: their nodes differ, their links go one way only, or differ by round.
            WrongValue: as for the class.
        """
        for graph in graphs:
            if not (graph.fixed and graph.symmetric):
                msg = "changes by round" if graph.symmetric else "has links that go one way only"
                raise Misfit(
                    f"{type(graph).__name__} {msg}; a schedule is of fixed undirected graphs"
                )
            if graph.names != graphs[0].names:
                raise Misfit("the graphs of a ScheduleGraph must have the same nodes in one order")
        places = {name: place for graph in graphs[:1] for place, name in enumerate(graph.names)}
        edges = tuple(
            tuple(
                (name, other)
                for name in graph.names
                for other in graph.neighbours(name)
                if places[name] < places[other]
            )
            for graph in graphs
        )
        return cls(named=graphs[0].names if graphs else (), edges=edges, every=every)

    def beside(self, place: int) -> Iterable[int]:
        """Those whom it is ever linked to, in the order of the nodes."""
        return self._ever[place]

    def targets(self, name: str, round: int) -> tuple[str, ...]:  # noqa: A002
        """Its neighbours in a round, in the order of the nodes."""
        return self.called(self._each[round // self.every % len(self._each)][self.place_of(name)])

    def sources(self, name: str, round: int) -> tuple[str, ...]:  # noqa: A002
        """Its neighbours in a round, in the order of the nodes."""
        return self.targets(name, round)

    @property
    def fixed(self) -> bool:
        """Whether there is one graph alone."""
        return len(self.edges) == 1

    @property
    def phases(self) -> Sequence[int]:
        """The rounds in which its graphs begin for the first time."""
        return range(0, len(self.edges) * self.every, self.every)

    @functools.cached_property
    def _each(self) -> list[list[list[int]]]:
        return [ways(self.count, both(places_of(one, self, "")))[0] for one in self.edges]

    @functools.cached_property
    def _ever(self) -> list[list[int]]:
        pairs = (edge for one in self.edges for edge in one)
        return ways(self.count, both(places_of(pairs, self, "")))[0]
