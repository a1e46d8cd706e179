"""What all graphs of our own have: nodes that are counted or named, in an order."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final

from actorfl.errors import MissingKey, WrongValue
from actorfl.naming import PEERS, check_free
from actorfl.ranges import check_count
from actorfl.topology import WORKERS_MAX, Peers, check_names, numbered, take_names

#: Links of a graph, each direction by itself: every one is wired, and a mistyped number must be
#: refused here, not fill the memory first. A complete graph has so many at 1,024 nodes.
LINKS_MAX: Final = 1_048_576


@dataclass(frozen=True)
class Graph(Peers):
    """Base of the graphs that come with actorfl.

    Args:
        nodes: how many; without it as many as `named` has names.
        named: their names, as many as there are nodes; without it w0, w1, ...

    Raises:
        MissingKey: neither is given.
        WrongType: a count that is no whole number.
        WrongValue: a count out of range, names that are not distinct names, or one that another
            part of a run has, such as ``gatherer``.
    """

    nodes: int | None = None
    named: tuple[str, ...] = ()

    #: The smallest number of nodes.
    fewest: ClassVar[int] = 2

    def __post_init__(self) -> None:
        name = type(self).__name__
        object.__setattr__(self, "named", take_names(name, self.named))
        if self.nodes is None:
            if not self.named:
                raise MissingKey("nodes", name, "(how many), or `named`, their names")
            # One spelling for one meaning: equal graphs compare and hash equal.
            object.__setattr__(self, "nodes", len(self.named))
        check_count(self, "nodes", self.fewest, WORKERS_MAX)
        if not self.named:
            return
        if len(self.named) != self.nodes:
            need = f"as many names as there are nodes ({self.nodes}; leave that out)"
            raise WrongValue(f"named of {name}", need, len(self.named))
        check_names(self.named, f"named of {name}")
        check_free(self.named, f"a name in named of {name}", taken=PEERS)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the nodes, in the order of their index."""
        return self.named or numbered(self.count)

    @property
    def count(self) -> int:
        """How many nodes there are."""
        assert self.nodes is not None
        return self.nodes

    @abstractmethod
    def beside(self, place: int) -> Iterable[int]:
        """The places of those whom the node at a place, from 0, may ever send to."""

    def neighbours(self, name: str) -> tuple[str, ...]:
        """Everyone whom a node may ever send to, in an order that means something in the graph."""
        return self.called(self.beside(self.place_of(name)))

    def others(self, place: int) -> tuple[int, ...]:
        """The places of all but one."""
        return (*range(place), *range(place + 1, self.count))

    def has(self, name: str) -> bool:
        """Whether a node is called so."""
        return name in self._places

    def place_of(self, name: str) -> int:
        """The place of a node in the order of `names`, from 0.

        Raises:
            WrongValue: no node is called so.
        """
        try:
            return self._places[name]
        except KeyError:
            names = self.names
            need = f"one of {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
            raise WrongValue(f"a node of {type(self).__name__}", need, name) from None

    def called(self, places: Iterable[int]) -> tuple[str, ...]:
        """The names of the nodes at some places."""
        names = self.names
        return tuple(names[place] for place in places)

    @functools.cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}


def check_links(graph: Graph, links: int) -> None:
    """Refuse a graph that would be wired by more links than a run can hold.

    Args:
        graph: that is being made.
        links: that it has, each direction by itself.

    Raises:
        WrongValue: there are more than `LINKS_MAX`.
    """
    if links > LINKS_MAX:
        what = f"the {graph.nodes} nodes of {type(graph).__name__}"
        raise WrongValue.saying(
            f"{what} would be wired by {links} links, and {LINKS_MAX} is the most that there may "
            "be; use fewer nodes, or a graph in which each has fewer neighbours"
        )
