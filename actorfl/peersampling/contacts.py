"""Whom the samplers of a run may ask first."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final

from actorfl.peersampling.descriptor import VIEW_MAX
from actorfl.peersampling.topologies import Sampled
from actorfl.seeds import seed_for
from actorfl.stay import Stay, changes, members

FEW: Final = 3
"""Contacts of a node that are to be there whenever its sampler begins, if so many others are: one
of them may be dead."""


class Contacts:
    """Draws for each node whom it knows at first.

    Where nodes join and leave, these are as many as a view holds of those that are there when the
    node joins, and further ones for later: its process may die, and begins again with them.

    Args:
        topology: of the run.
        seed: of the run.
        stays: from when to when nodes are of the run, by name; whoever has none always is.
    """

    def __init__(self, topology: Sampled, seed: int, stays: Mapping[str, Stay]) -> None:
        self._topology = topology
        self._seed = seed
        self._stays = stays
        names = topology.names
        self._there = {clock: members(stays, names, clock) for clock in changes(stays)}

    def of(self, name: str) -> tuple[str, ...]:
        """Names of the nodes that a node may ask, in a drawn order, and not itself."""
        if not self._stays:
            return self._topology.contacts(name, self._seed)
        draw = random.Random(seed_for(self._seed, name, 0, "contacts"))
        mine = self._stays.get(name)
        found: dict[str, None] = {}
        for clock, there in self._there.items():
            if mine is not None and not mine.holds(clock):
                continue
            wanted = FEW if found else self._topology.protocol.view
            lacking = min(wanted, len(there) - 1) - sum(self._holds(each, clock) for each in found)
            lacking = min(lacking, VIEW_MAX - len(found))
            if lacking > 0:
                # As many more as are known already, and itself, may be among them.
                drawn = draw.sample(there, min(len(there), lacking + len(found) + 1))
                new = [each for each in drawn if each != name and each not in found]
                found.update(dict.fromkeys(new[:lacking]))
        return tuple(found)

    def _holds(self, name: str, clock: int) -> bool:
        stay = self._stays.get(name)
        return stay is None or stay.holds(clock)
