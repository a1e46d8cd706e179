"""The simulated network: nodes of one process, linked by connections that a seed decides about."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from transports.sim.clock import SimClock
from transports.sim.errors import SimulationError
from transports.sim.links import Links
from transports.sim.loop import SimLoop
from transports.sim.medium import Host, Medium
from transports.sim.net import Net, Nets
from transports.sim.owner import OWNER, owned
from transports.sim.socket import SimSocket
from transports.sim.sockets import Sockets
from transports.sim.trace import Trace

_PATIENCE: Final = 10.0
"""Virtual seconds that the tasks of a crashed node may take to end."""


@dataclass(frozen=True, slots=True)
class NetworkStatistics:
    """What took effect on a simulated network, between nodes and within them.

    Attributes:
        nodes: nodes that live now, frozen ones included.
        connections: connections that exist now.
        connected: connections made so far.
        refused: connections that found no listener.
        sent: messages, of all their parts, that sockets took; each is delivered or lost in the end.
        delivered: messages that arrived.
        nbytes: bytes of those.
        lost: messages that were on the way, or waited for a connection, when it was gone.
        delayed: messages (and ends of connections) that took any time.
        held: messages that waited because a node was frozen.
        cut: connections that cuts and partitions ended.
        cuts: calls of ``cut``.
        partitions: calls of ``partition``.
        crashes: nodes that crashed.
        freezes: times that a node was frozen.
    """

    nodes: int
    connections: int
    connected: int
    refused: int
    sent: int
    delivered: int
    nbytes: int
    lost: int
    delayed: int
    held: int
    cut: int
    cuts: int
    partitions: int
    crashes: int
    freezes: int


class SimNode:
    """One node's place on a simulated network: the ``context`` of its ``Endpoint``.

    Made by ``SimNetwork.node``.
    """

    def __init__(self, loop: SimLoop, sockets: Sockets, host: Host) -> None:
        self._loop = loop
        self._sockets = sockets
        self._host = host

    @property
    def name(self) -> str:
        """The node's name on the network."""
        return self._host.name

    @property
    def owner(self) -> str:
        """What its tasks belong to; that of a later node of the same name differs."""
        return self._host.owner

    @property
    def state(self) -> Literal["live", "frozen", "crashed"]:
        """What the network does with it."""
        if self._host.crashed:
            return "crashed"
        return "frozen" if self._host.frozen else "live"

    def socket(self, socket_type: int, /) -> SimSocket:
        """A new socket of type ``zmq.DEALER`` or ``zmq.ROUTER``."""
        return self._sockets.make(self._host, socket_type)

    def inside(self) -> AbstractContextManager[None]:
        """What is started in a ``with`` block of this belongs to the node.

        Its tasks, callbacks and timers keep their order whatever other nodes do, stop while the
        node is frozen, and are found by ``tasks``.
        """
        return owned(self._host.owner)

    @property
    def tasks(self) -> list[asyncio.Task[Any]]:
        """Its tasks that are not done, in the order they were made."""
        return self._loop.tasks(self._host.owner)

    async def reap(self) -> None:
        """Clear up what a crashed node has left: cancel its tasks, and drop its timers for good.

        Raises:
            RuntimeError: the node lives, or the caller belongs to it.
            SimulationError: tasks did not end within 10 virtual seconds of their cancellation;
                they go on.
        """
        if not self._host.crashed or OWNER.get() == self._host.owner:
            raise RuntimeError(f"{self!r} can only be reaped from outside after it has crashed")
        for task in self.tasks:
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=_PATIENCE)
        if self.tasks:
            names = ", ".join(task.get_name() for task in self.tasks[:20])
            raise SimulationError(
                f"tasks of the crashed node {self.name!r} do not end when cancelled: {names}"
            )
        self._loop.discard(self._host.owner)

    def clock(self, *, skew: float = 0.0) -> SimClock:
        """A clock for this node.

        Args:
            skew: seconds by which it is ahead of the others.
        """
        return SimClock(self._loop, skew=skew)

    def __repr__(self) -> str:
        return f"<SimNode {self.name} {self.state}>"


class SimNetwork:
    """Connections between the nodes of one simulation; ``sim://name`` is listened at like ipc.

    Each connection is first in, first out each way and never loses, repeats or reorders a message
    while it lasts, as TCP does not. It can be slow, be cut, or end with its node. What is within
    one node (``inproc://``) takes no time and other nodes do not see it, as between processes.

    Every delay is a function of (seed, from, to, address, number of the connection between the
    two, direction, number of the message), so a message more on one link changes no delay on
    another.

    Args:
        loop: whose virtual time messages take.
        seed: decides the jitter.
        net: what the way between two nodes is like.
        trace: records what happens, if given.
    """

    def __init__(
        self, loop: SimLoop, *, seed: int = 0, net: Nets | None = None, trace: Trace | None = None
    ) -> None:
        self.loop = loop
        self.trace = trace
        self._medium = Medium(loop, trace)
        self._links = Links(Net() if net is None else net)
        self._sockets = Sockets(self._medium, self._links, seed)
        self._nodes: dict[str, SimNode] = {}

    def metered_by(self, meter: Callable[[str, str, int], object]) -> None:
        """Have a function called with each message that arrives: from, to, bytes of all parts.

        Both names are the same within a node. All bytes add up to those of ``statistics``.
        """
        self._medium.meter = meter

    # Nodes

    def node(self, name: str) -> SimNode:
        """The node of this name, made anew when there is none or it has crashed."""
        if name not in self._nodes:
            host = Host(name, self.loop.new_owner(name))
            self._nodes[name] = SimNode(self.loop, self._sockets, host)
        return self._nodes[name]

    def crash(self, name: str) -> None:
        """Unplug a node for good: nothing more leaves it or arrives.

        What had left arrives, then its peers see their connections end, as those of a killed
        process. Its sockets take what is sent and give nothing. Its addresses are free at once,
        and ``node(name)`` is a new one. ``await node.reap()`` afterwards: unplugged first, none of
        its tasks can say a last thing when it is cancelled.

        Raises:
            KeyError: there is no such node.
        """
        host = self._find(name)
        del self._nodes[name]
        host.crashed = True
        host.frozen = False
        self.loop.thaw(host.owner)
        self._medium.counts.crashes += 1
        self._sockets.unplug(host)

    def freeze(self, name: str) -> None:
        """Stop a node, as SIGSTOP stops a process.

        Nothing that was started ``inside`` it runs, what is sent to it waits, and so does what it
        sends. Connections to it can still be made.

        Raises:
            KeyError: there is no such node.
        """
        host = self._find(name)
        self._medium.counts.freezes += not host.frozen
        host.frozen = True
        self.loop.freeze(host.owner)

    def thaw(self, name: str) -> None:
        """Let a frozen node go on: what waited arrives and leaves now, in order.

        Raises:
            KeyError: there is no such node.
        """
        host = self._find(name)
        if not host.frozen:
            return
        host.frozen = False
        for connection in self._sockets.connections_of(host):
            for flow in connection.flows:
                if host is flow.source or host is flow.target:
                    flow.thaw()
        for socket in self._sockets.of(host):
            socket.thaw()
        self.loop.thaw(host.owner)

    def _find(self, name: str) -> Host:
        try:
            return self._nodes[name]._host  # noqa: SLF001  # made here
        except KeyError:
            known = ", ".join(self._nodes) or "none"
            raise KeyError(f"no node {name!r} lives on this network; there are: {known}") from None

    # Links

    def shape(self, a: str, b: str, net: Net) -> None:
        """From now on the way between two nodes is like this, both ways; names need no node yet.

        Messages that are on the way stay as they are.
        """
        self._links.shape(a, b, net)
        for connection in self._sockets.connections:
            for flow in connection.flows:
                if {flow.source.name, flow.target.name} == {a, b}:
                    flow.shape(net)

    def cut(self, a: str, b: str) -> None:
        """End all connections between two nodes, and let none be made until ``uncut``.

        What is on the way is lost, and both ends see the end at once. Names need no node yet.
        """
        self._medium.counts.cuts += 1
        self._links.cut(a, b)
        self._sever()

    def uncut(self, a: str, b: str) -> None:
        """Connections between two nodes can be made again."""
        self._links.uncut(a, b)

    def partition(self, *groups: tuple[str, ...] | list[str]) -> None:
        """Cut every two nodes of different groups, until ``heal`` or another partition.

        Args:
            *groups: names; all nodes that are not named are one group more.

        Raises:
            ValueError: a name is in two groups.
        """
        self._links.partition(groups)
        self._medium.counts.partitions += 1
        self._sever()

    def heal(self) -> None:
        """End the partition; what ``cut`` has cut stays so."""
        self._links.heal()

    def separated(self, a: str, b: str) -> bool:
        """Whether a cut or a partition lies between two nodes."""
        return self._links.separated(a, b)

    def _sever(self) -> None:
        for connection in self._sockets.connections:
            listener = connection.listener
            if listener is not None and self.separated(
                connection.dialler.host.name, listener.host.name
            ):
                connection.cut()

    def statistics(self) -> NetworkStatistics:
        """What took effect so far."""
        return NetworkStatistics(
            nodes=len(self._nodes),
            connections=len(self._sockets),
            **asdict(self._medium.counts),
        )

    def __repr__(self) -> str:
        counts = self._medium.counts
        return (
            f"<SimNetwork at {self.loop.time():.9g} s nodes={len(self._nodes)} "
            f"connections={len(self._sockets)} delivered={counts.delivered} lost={counts.lost}>"
        )
