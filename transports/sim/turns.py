"""In which order the nodes of a simulation take turns."""

from __future__ import annotations

import asyncio
from collections import deque

from transports.sim.draws import Draws
from transports.sim.owner import owner_of


def take_turns(ready: deque[asyncio.Handle], draws: Draws) -> None:
    """Merge the queues of the nodes into one, every merge equally likely.

    Args:
        ready: what is ready, of all nodes; two or more.
        draws: decides; where all are of one node, nothing is drawn.
    """
    owners = [owner_of(handle) for handle in ready]
    if owners.count(owners[0]) == len(owners):
        return
    queues: dict[str | None, deque[asyncio.Handle]] = {}
    for owner, handle in zip(owners, ready, strict=True):
        queues.setdefault(owner, deque()).append(handle)
    draws.shuffle(owners)
    ready.clear()
    ready.extend(queues[owner].popleft() for owner in owners)
