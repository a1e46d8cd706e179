"""Everyone beside everyone, and everyone beside one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from actorfl.graphs.base import Graph, check_links


@dataclass(frozen=True)
class CompleteGraph(Graph):
    """Each node has all others as neighbours, in the order of the nodes.

    A node sends as many models in a round as there are other nodes, so this is the graph to compare
    with, not one to grow by.

    Args:
        nodes: how many, 1 to 1,024; without it as many as `named` has names.
        named: their names, as many as there are nodes; without it w0, w1, ...

    Raises:
        MissingKey: neither is given.
        WrongType: a count that is no whole number.
        WrongValue: a count out of range, names that are not distinct names, or one that another
            part of a run has, such as ``gatherer``.
    """

    fewest: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_links(self, self.count * (self.count - 1))

    def beside(self, place: int) -> Iterable[int]:
        """All other nodes, in order."""
        return self.others(place)


@dataclass(frozen=True)
class StarGraph(Graph):
    """The first node has all others as neighbours, and they have it alone.

    No node is an aggregator here: the one in the middle trains as the others do, and mixes what it
    hears as they do. Where one node is to merge what all send, use `Star`.

    Args:
        nodes: how many, 2 to 65,536; without it as many as `named` has names.
        named: their names; see `CompleteGraph`, also for what is refused.
    """

    def beside(self, place: int) -> Iterable[int]:
        """All others, or the first."""
        return range(1, self.count) if place == 0 else (0,)
