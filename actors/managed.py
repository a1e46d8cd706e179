"""What a launcher knows of one of its processes, over all its starts."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from actors.liveness import Liveness
from actors.signals import Cause
from actors.spawner import Child
from transports import NodeId

#: Seconds for which silence is not counted against a process that was told to start an actor: its
#: constructor may load torch, which keeps the interpreter's lock, and has taken 20 on a loaded
#: machine. One that freezes just then is noticed that much later.
STARTING_LIMIT = 60.0


@dataclass
class Managed:
    """One process: its settings, its child and node, and what was decided about it."""

    name: str
    env: dict[str, str]
    child: Child | None = None
    node: NodeId | None = None
    starts: int = 0
    ready: asyncio.Future[None] | None = None
    starting: asyncio.Task[None] | None = None
    liveness: Liveness | None = None
    lines: list[str] = field(default_factory=list)
    #: Actors that it was told to start and that have not started yet: uid to when.
    awaited: dict[int, float] = field(default_factory=dict)
    #: Why this manager killed the child, where it did so by itself.
    verdict: tuple[str, Cause] | None = None
    #: When its next start may begin, and how many times slower it computes, as a fault plan says.
    not_before: float = -math.inf
    slow: float = 1.0
    held: asyncio.Future[None] | None = None
    #: Names of the nodes that it is to know besides its launcher; None for all.
    meets: AbstractSet[str] | None = None

    def started(self, task: asyncio.Task[None]) -> None:
        """A start is through, or failed; nobody may be waiting for it any more."""
        if self.starting is task:
            self.starting = None
        if not task.cancelled():
            task.exception()

    def starts_actors(self, now: float) -> bool:
        """Whether it may be busy with an actor's start, and answer nothing for that."""
        return any(now - since < STARTING_LIMIT for since in self.awaited.values())
