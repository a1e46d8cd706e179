"""A simulated connection: from a DEALER to a ROUTER, two flows that live and end together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

from transports.sim.draws import Draws
from transports.sim.flow import Flow, Message, travel
from transports.sim.handles import SimHandle
from transports.sim.medium import Host, Medium
from transports.sim.net import Net


class End(Protocol):
    """A socket as its connections see it."""

    host: Host

    def accepted(self, connection: Connection) -> None:
        """A dialler's connection is there."""
        ...

    def arrived(self, connection: Connection, message: Message, nbytes: int) -> SimHandle | None:
        """A message arrived; of all parts it has so many bytes. The call that tells of it."""
        ...

    def take(self, connection: Connection, message: Message, nbytes: int) -> bool:
        """A message arrived as the last thing that a callback does; whether it was taken so."""
        ...

    def gone(self, connection: Connection) -> None:
        """The connection ended, or could not be made."""
        ...


@dataclass(frozen=True, slots=True)
class Call:
    """What a connection is made of.

    Attributes:
        number: of the connection in its network.
        lane: its label in the trace.
        local: within one node: takes no time, and its end is not told, as over inproc.
        target: name of the node that is expected at the other end.
        find: the socket that listens there now and can be reached, if any.
        net: what the way from one node to another is like.
        draws: of the way there and of the way back.
    """

    number: int
    lane: str
    local: bool
    target: str
    find: Callable[[], End | None]
    net: Callable[[str, str], Net]
    draws: tuple[Draws, Draws]


class Connection:
    """Connects at once (and never reconnects, as libzmq with ``RECONNECT_IVL=-1``).

    A connection takes a round trip to be made. If nobody listens when it gets there it ends; what
    was sent on it is lost. Within a node it would wait for a listener for ever.

    Args:
        medium: of the network.
        dialler: the socket that connects.
        call: all else.
        over: told when both ends are gone.
    """

    def __init__(
        self, medium: Medium, dialler: End, call: Call, over: Callable[[Connection], None]
    ) -> None:
        self.number = call.number
        self.local = call.local
        self.dialler = dialler
        self.listener: End | None = None
        self.route = b""
        self.state: Literal["connecting", "up", "ended"] = "connecting"
        self._medium = medium
        self._call = call
        self._over = over
        self._pending: list[Message] = []
        self._deadline: int | None = None
        self._there: Flow | None = None
        self._back: Flow | None = None
        # Whether each end still has it: one may have closed while its last words are on the way.
        self._dialler_open = True
        self._listener_open = False

    def dial(self) -> None:
        """Set out."""
        if self.local:
            self._knock()
        else:
            self._later(self.dialler.host.name, self._call.target, 0, self._knock)

    def _later(
        self, source: str, target: str, direction: int, callback: Callable[[], None]
    ) -> None:
        way = travel(self._call.net(source, target), self._call.draws[direction])
        self._medium.call_at_ns(self._medium.loop.now_ns + way, callback)

    def _knock(self) -> None:
        if self.state != "connecting":
            return
        call, source = self._call, self.dialler.host
        listener = None if source.crashed else call.find()
        if listener is None:
            if not self.local:
                self._later(call.target, source.name, 1, self._refused)
            return
        self.listener = listener
        self._listener_open = True
        target = listener.host
        self._there = self._flow(source, target, 0, listener)
        self._back = self._flow(target, source, 1, self.dialler)
        self._medium.counts.connected += 1
        self._record("connect")
        listener.accepted(self)
        if self.local:
            self._established()
        else:
            self._later(target.name, source.name, 1, self._established)

    def _flow(self, source: Host, target: Host, direction: int, end: End) -> Flow:
        return Flow(
            self._medium,
            source,
            target,
            lane=self._call.lane,
            net=Net() if self.local else self._call.net(source.name, target.name),
            draws=self._call.draws[direction],
            take=partial(end.take, self),
            deliver=partial(end.arrived, self),
            ended=self._back_ended if direction else self._there_ended,
        )

    def _established(self) -> None:
        if self.state != "connecting" or self._there is None:
            return
        self.state = "up"
        left = 0 if self._deadline is None else self._deadline - self._medium.loop.now_ns
        if left < 0:
            self._drop_pending()
        for message in self._pending:
            self._there.send(message)
        self._pending.clear()
        if self._deadline is not None:
            self.close(self.dialler, max(0, left))

    def _refused(self) -> None:
        if self.state == "connecting":
            self._medium.counts.refused += 1
            self._record("refuse")
            self._leave(dialler=True)

    # Traffic

    @property
    def flows(self) -> tuple[Flow, ...]:
        """There and back, once a listener was found."""
        return tuple(flow for flow in (self._there, self._back) if flow is not None)

    def way_from(self, end: End) -> Flow | None:
        """What takes an end's messages, once the connection is up there."""
        return None if self.state == "connecting" and end is self.dialler else self._from(end)

    def _from(self, end: End) -> Flow | None:
        return self._there if end is self.dialler else self._back

    def send(self, end: End, message: Message) -> None:
        """One end sends a message."""
        self._medium.counts.sent += 1
        flow = self._from(end)
        if self.state == "connecting" and end is self.dialler:
            self._pending.append(message)
        elif flow is not None:
            flow.send(message)

    # The end

    def close(self, end: End, linger: int) -> None:
        """One end closes; the other one learns of it after what is still on the way.

        Args:
            end: which.
            linger: nanoseconds in which what was sent may leave.
        """
        mine, theirs, dialler = self._there, self._back, end is self.dialler
        if not dialler:
            mine, theirs = theirs, mine
        elif self.state == "connecting" and self._pending and linger > 0:
            self._deadline = self._medium.loop.now_ns + linger
            return
        if theirs is not None:
            theirs.cut()
        if mine is not None:
            mine.finish(linger)
        self._leave(dialler=dialler, tell=False)

    def cut(self) -> None:
        """The network ends it; both ends learn of it now."""
        self._medium.counts.cut += 1
        self._record("cut")
        for flow in self.flows:
            flow.cut()
        self._leave(dialler=True)
        self._leave(dialler=False)

    def _there_ended(self) -> None:
        self._leave(dialler=False)

    def _back_ended(self) -> None:
        self._leave(dialler=True)

    def _leave(self, *, dialler: bool, tell: bool = True) -> None:
        end = self.dialler if dialler else self.listener
        is_open = self._dialler_open if dialler else self._listener_open
        if end is None or not is_open:
            return
        if dialler:
            self._dialler_open = False
            self.state = "ended"
            self._drop_pending()
        else:
            self._listener_open = False
        if tell:
            end.gone(self)
        if not self._dialler_open and not self._listener_open:
            self._over(self)

    def _drop_pending(self) -> None:
        self._medium.counts.lost += len(self._pending)
        self._pending.clear()

    def _record(self, what: str) -> None:
        label = f"{self._call.lane} {what}"
        target = self._call.target if self.listener is None else self.listener.host.name
        self._medium.record(self.dialler.host, target, label, self.number)

    def __repr__(self) -> str:
        target = self._call.target if self.listener is None else self.listener.host.name
        return (
            f"<Connection {self.number} {self.dialler.host.name} to {target} {self._call.lane} "
            f"{self.state}>"
        )
