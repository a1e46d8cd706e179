"""The ring: each node has one next and one previous neighbour."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Final

from actorfl.errors import MissingKey, WrongValue
from actorfl.naming import PEERS, check_free
from actorfl.ranges import check_count
from actorfl.topology import WORKERS_MAX, Peers, check_names, numbered

_FEWEST: Final = 2


@dataclass(frozen=True)
class RingGraph(Peers):
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

    nodes: int | None = None
    named: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.nodes is None:
            if not self.named:
                raise MissingKey("nodes", "RingGraph", "(how many), or `named`, their names")
            # One spelling for one meaning: equal rings compare and hash equal.
            object.__setattr__(self, "nodes", len(self.named))
        check_count(self, "nodes", _FEWEST, WORKERS_MAX)
        if not self.named:
            return
        if len(self.named) != self.nodes:
            need = f"as many names as there are nodes ({self.nodes}; leave that out)"
            raise WrongValue("named of RingGraph", need, len(self.named))
        check_names(self.named, "named of RingGraph")
        check_free(self.named, "a name in named of RingGraph", taken=PEERS)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the nodes, in the order of their index."""
        assert self.nodes is not None
        return self.named or numbered(self.nodes)

    def neighbours(self, name: str) -> tuple[str, ...]:
        """The next and the previous node; of two nodes the other one."""
        place, names = self._places[name], self.names
        both = (names[(place + 1) % len(names)], names[place - 1])
        return tuple(dict.fromkeys(both))

    @functools.cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}
