"""Graphs of edges that are given one by one, by hand or from networkx."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from actorfl.errors import WrongType, WrongValue
from actorfl.graphs.base import Graph, check_links
from actorfl.graphs.drawn import check_flag
from actorfl.naming import PEERS, check_free
from actorfl.topology import check_names, numbered, take_names

#: Two names, of who sends and who hears, or of both ends of a link that goes both ways.
Edge: TypeAlias = tuple[str, str]

#: Characters of all edges, four more for each: a run keeps them in its configuration, which is read
#: back up to a mebibyte. A larger graph is one of the kinds that are made from a few numbers, or of
#: a class of the user's own.
EDGES_MAX: Final = 800_000


@dataclass(frozen=True)
class EdgeListGraph(Graph):
    """Nodes and the links between them, one by one.

    The neighbours of a node are in the order of the nodes. That an edge is given twice changes
    nothing.

    Args:
        nodes: may be left out: as many as there are names.
        named: the names of the nodes, in their order; without it those in the edges, as they come.
        edges: pairs of names.
        directed: whether the first of a pair sends to the second, and not the other way.
        connected: whether each node must be reached from each other one.

    Raises:
        WrongType: what is no pair of names.
        WrongValue: an edge of a node that there is not, or from a node to itself; a node that is
            not reached; too many edges; names as of `RingGraph`.
    """

    edges: tuple[Edge, ...] = field(kw_only=True)
    directed: bool = field(default=False, kw_only=True)
    connected: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        what = "`edges` of EdgeListGraph"
        check_flag(self, "directed")
        check_flag(self, "connected")
        check_pairs(self.edges, what)
        object.__setattr__(self, "named", take_names(type(self).__name__, self.named))
        if self.nodes is None and not self.named:
            named = tuple(dict.fromkeys(name for edge in self.edges for name in edge))
            object.__setattr__(self, "named", named)
        super().__post_init__()
        places = places_of(self.edges, self, what)
        if not self.directed:
            places = {(min(pair), max(pair)) for pair in places}
        check_links(self, len(places) if self.directed else 2 * len(places))
        # One spelling for one meaning: equal graphs compare and hash equal.
        names = self.names
        edges = tuple((names[one], names[other]) for one, other in sorted(places))
        object.__setattr__(self, "edges", edges)
        if self.connected:
            self._check_reached()

    @classmethod
    def of(cls, graph: Any, *, connected: bool = True) -> EdgeListGraph:
        """Make one of a graph of networkx; a ``DiGraph`` is directed.

        Nodes are named as the text of their labels. Where one of these is no name that a node may
        have, as that of a tuple, or two are the same, all are named w0, w1, ... in the graph's
        order; then ``zip(graph, topology.names)`` has which is which. That there are several edges
        between two nodes changes nothing.

        Args:
            graph: whose labels may be any.
            connected: whether each node must be reached from each other one.

        Raises:
            WrongType: it is no graph of networkx.
            WrongValue: as for the class.
        """
        import networkx as nx

        if not isinstance(graph, nx.Graph):
            raise WrongType("the graph of EdgeListGraph.of", "a networkx.Graph", graph)
        labels = tuple(str(node) for node in graph)
        names = labels if _may_be_names(labels) else numbered(len(labels))
        called = dict(zip(graph, names, strict=True))
        return cls(
            named=names,
            edges=tuple((called[one], called[other]) for one, other in graph.edges()),
            directed=graph.is_directed(),
            connected=connected,
        )

    @classmethod
    def read(cls, path: str | Path, *, connected: bool = True) -> EdgeListGraph:
        """Make one of a file: GraphML (``.graphml``), or else a line with two names for each edge.

        Args:
            path: of the file, 1 MiB at most. In a list of edges what follows the two names is left
                out, and so is what follows ``#``.
            connected: whether each node must be reached from each other one.

        Raises:
            MissingFile: it cannot be read, or is too large.
            WrongValue: a line without two names; what is no GraphML, or has more than one graph, a
                node without an id, an edge of a node that it does not declare, or an `edgedefault`
                that is neither "directed" nor "undirected"; and as for the class.
        """
        from actorfl.graphs import files

        return files.read(Path(path), connected=connected)

    def beside(self, place: int) -> Iterable[int]:
        """Those whom it sends to, in the order of the nodes."""
        return self._ways[0][place]

    def senders(self, name: str) -> tuple[str, ...]:
        """Those whom it hears from, in the order of the nodes."""
        return self.called(self._ways[1][self.place_of(name)])

    @property
    def symmetric(self) -> bool:
        """Whether for each edge there is the one that goes back."""
        return not self.directed or self._ways[0] == self._ways[1]

    @functools.cached_property
    def _ways(self) -> tuple[list[list[int]], list[list[int]]]:
        """Of each node the places of those that it sends to, and hears from, ascending."""
        pairs = places_of(self.edges, self, "")
        return ways(self.count, pairs if self.directed else both(pairs))

    def _check_reached(self) -> None:
        onward, back = self._ways
        for way, how in ((onward, "from"), (back, "to")):
            missed = unreached(way)
            if missed is not None:
                names = self.names
                raise WrongValue.saying(
                    f"the edges of EdgeListGraph are not connected: there is no way {how} "
                    f"{names[0]} {'to' if how == 'from' else 'from'} {names[missed]}; add an edge, "
                    "or say connected = false for a graph in parts, beside its `edges` and not the "
                    "name of a file"
                )


def _may_be_names(labels: tuple[str, ...]) -> bool:
    try:
        check_names(labels, "a graph")
        check_free(labels, "a graph", taken=PEERS)
    except WrongValue:
        return False
    return True


def check_pairs(edges: object, what: str) -> None:
    """Refuse what is no sequence of pairs of names, or too long.

    Raises:
        WrongType: what is no pair of names.
        WrongValue: one is from a node to itself, or they have too many characters.
    """
    if not isinstance(edges, tuple):
        raise WrongType(what, "a tuple of pairs of names", edges)
    for edge in edges:
        pair = isinstance(edge, tuple) and len(edge) == 2
        if not pair or not all(isinstance(name, str) for name in edge):
            raise WrongType(f"one of {what}", "a pair of names", edge)
        if edge[0] == edge[1]:
            raise WrongValue.saying(
                f"{what} have one from {edge[0]} to itself; take it out, since what a node has "
                "needs no link"
            )
    length = sum(len(one) + len(other) + 4 for one, other in edges)
    if length > EDGES_MAX:
        raise WrongValue.saying(
            f"{what} have {length} characters, and {EDGES_MAX} is the most that a run keeps in its "
            "configuration; use a kind of graph that is drawn, or a class of your own that "
            "derives from actorfl.Peers"
        )


def places_of(edges: Iterable[Edge], graph: Graph, what: str) -> set[tuple[int, int]]:
    """The places of the nodes of edges.

    Args:
        edges: pairs of names.
        graph: whose nodes are named.
        what: the edges, for people.

    Raises:
        WrongValue: an edge of a node that there is not.
    """
    found = set()
    for one, other in edges:
        for name in (one, other):
            if not graph.has(name):
                raise WrongValue.saying(
                    f"{what} have one between {one} and {other}, and there is no node {name}; "
                    "name it in `named`, or correct the edge"
                )
        found.add((graph.place_of(one), graph.place_of(other)))
    return found


def both(pairs: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
    """The pairs, and the same the other way."""
    return {way for one, other in pairs for way in ((one, other), (other, one))}


def ways(count: int, pairs: Iterable[tuple[int, int]]) -> tuple[list[list[int]], list[list[int]]]:
    """Of each node those that it sends to, and those that it hears from, ascending."""
    onward: list[list[int]] = [[] for _ in range(count)]
    back: list[list[int]] = [[] for _ in range(count)]
    for one, other in sorted(pairs):
        onward[one].append(other)
        back[other].append(one)  # ascending, since `one` only grows
    return onward, back


def unreached(way: Sequence[Iterable[int]]) -> int | None:
    """The first node that is not reached from the first one; None where all are."""
    seen, waiting = {0}, [0]
    while waiting:
        for each in way[waiting.pop()]:
            if each not in seen:
                seen.add(each)
                waiting.append(each)
    return next((place for place in range(len(way)) if place not in seen), None)
