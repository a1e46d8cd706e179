"""The complete graph: everyone is everyone's neighbour."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from actorfl.graphs.base import Graph, check_links


@dataclass(frozen=True)
class CompleteGraph(Graph):
    """Each node has all others as neighbours, in the order of the nodes.

    A node sends as many models in a round as there are other nodes, so this is the graph to compare
    with, not one to grow by.

    Args:
        nodes: how many, 2 to 1,024; without it as many as `named` has names.
        named: their names, as many as there are nodes; without it w0, w1, ...

    Raises:
        MissingKey: neither is given.
        WrongType: a count that is no whole number.
        WrongValue: a count out of range, names that are not distinct names, or one that another
            part of a run has, such as ``gatherer``.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        check_links(self, self.count * (self.count - 1))

    def beside(self, place: int) -> Iterator[int]:
        """All other nodes, in order."""
        return (other for other in range(self.count) if other != place)
