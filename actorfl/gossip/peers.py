"""Whom a node sends to: one small protocol, whoever knows the peers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from actorfl.topology import Peers, Topology


class PeerSource(Protocol):
    """Knows peers of a node."""

    def pick(self, draw: np.random.Generator, number: int) -> str | None:
        """The name of one of them, drawn uniformly; None where nobody is there.

        Args:
            draw: where the choice comes from.
            number: periods since the run began: a graph may be another in each.
        """
        ...


class GraphPeers:
    """The targets of a node in the graph of the run.

    Args:
        topology: a graph.
        name: of the node.
        there: says of a name whether that node is there.
    """

    def __init__(self, topology: Topology, name: str, there: Callable[[str], bool]) -> None:
        assert isinstance(topology, Peers)
        self._topology = topology
        self._name = name
        self._there = there
        self._fixed = topology.targets(name, 0) if topology.fixed else None

    def pick(self, draw: np.random.Generator, number: int) -> str | None:
        """See ``PeerSource.pick``."""
        names = self._fixed
        if names is None:
            names = self._topology.targets(self._name, number)
        return one_there(names, self._there, draw)

    def __repr__(self) -> str:
        return f"<GraphPeers of {self._name}>"


def one_there(
    names: Sequence[str], there: Callable[[str], bool], draw: np.random.Generator
) -> str | None:
    """One of those that are there, each with the same chance; None where nobody is."""
    if not names:
        return None
    # Most are there most of the time, so one look usually does.
    name = names[int(draw.random() * len(names))]
    if there(name):
        return name
    present = [each for each in names if there(each)]
    return present[int(draw.random() * len(present))] if present else None
