"""What everything on one simulated network shares: its loop, its hosts, its counters, its trace."""

from __future__ import annotations

from asyncio import TimerHandle
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass

from transports.sim.loop import SimLoop
from transports.sim.trace import Event, Trace


@dataclass(slots=True, eq=False)
class Host:
    """A node as the network sees it.

    Attributes:
        name: of the node.
        owner: what its callbacks and tasks belong to; differs from that of a crashed node of the
            same name.
        frozen: nothing reaches it and nothing leaves it; both wait.
        crashed: nothing reaches it and nothing leaves it ever again.
    """

    name: str
    owner: str
    frozen: bool = False
    crashed: bool = False


@dataclass(slots=True)
class Counts:
    """What took effect so far; see ``NetworkStatistics``."""

    connected: int = 0
    refused: int = 0
    sent: int = 0
    delivered: int = 0
    nbytes: int = 0
    lost: int = 0
    delayed: int = 0
    held: int = 0
    cut: int = 0
    cuts: int = 0
    partitions: int = 0
    crashes: int = 0
    freezes: int = 0


class Medium:
    """Time, counters and trace of a network.

    Args:
        loop: virtual time.
        trace: records what happens, if given.
    """

    def __init__(self, loop: SimLoop, trace: Trace | None) -> None:
        self.loop = loop
        self.trace = trace
        self.counts = Counts()
        #: Told of each message that arrives: from, to (the same name within a node), bytes.
        self.meter: Callable[[str, str, int], object] | None = None
        # A message must not carry its sender's context variables to the receiver.
        #: What is called at the end of a way is called in it: it is no node's.
        self.context = copy_context()

    def call_at_ns(self, ns: int, callback: Callable[[], None]) -> TimerHandle:
        """Call back at a time, in no node's context."""
        return self.loop.call_at_ns(ns, callback, context=self.context)

    def record(self, source: Host, target: str, label: str, number: int, size: int = 0) -> None:
        """Add an event to the trace, if there is one."""
        if self.trace is not None:
            event = Event(self.loop.now_ns, source.name, target, label, number, size)
            self.trace.record(event)
