"""Nodes in a circle, and nodes in a line."""

from __future__ import annotations

from dataclasses import dataclass

from actorfl.graphs.base import Graph


@dataclass(frozen=True)
class RingGraph(Graph):
    """Nodes in a circle; the first is the next of the last.

    The neighbours of a node are its next and its previous one, in this order; of two nodes each has
    one neighbour.

    Args:
        nodes: how many, 2 to 65,536; without it as many as `named` has names.
        named: their names, as many as there are nodes; without it w0, w1, ...

    Raises:
        MissingKey: neither is given.
        WrongType: a count that is no whole number.
        WrongValue: a count out of range, names that are not distinct names, or one that another
            part of a run has, such as ``gatherer``.
    """

    def beside(self, place: int) -> tuple[int, ...]:
        """The next and the previous node; of two nodes the other one."""
        count = self.count
        return tuple(dict.fromkeys(((place + 1) % count, (place - 1) % count)))


@dataclass(frozen=True)
class PathGraph(Graph):
    """Nodes in a line: a ring that is cut before the first. No graph mixes more slowly.

    The neighbours of a node are its next and its previous one; the first and the last have one.

    Args:
        nodes: how many, 2 to 65,536; without it as many as `named` has names.
        named: their names; see `RingGraph`, also for what is refused.
    """

    def beside(self, place: int) -> tuple[int, ...]:
        """The next and the previous node, where there are such."""
        return tuple(each for each in (place + 1, place - 1) if 0 <= each < self.count)
