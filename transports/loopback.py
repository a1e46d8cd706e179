"""What a node sends to itself: through a pair of inproc sockets, read without ever asking."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import zmq

from transports.port import DRAIN_BUDGET, NOW
from transports.sockets import (
    Signals,
    Socket,
    Ticks,
    Watched,
    outlet,
    plain_send,
    readable,
    watch,
)


class Loopback:
    """Two connected sockets of this loop; what goes into one is handed to ``receive`` next turn.

    Only this object sends to them, so it knows how many messages are there to be read. A reader
    that never finds its queue empty is never put to sleep by libzmq, and so is never woken: no
    descriptor is polled, none written or read, and no look at ``EVENTS`` is taken. These cost
    several times what sending and receiving themselves do.

    Args:
        reads: bound; the loopback closes it.
        sends: connected to it; the loopback closes it.
        receive: reads one message of ``reads`` and returns its cost against ``DRAIN_BUDGET``. Must
            not raise anything but ``zmq.Again`` where there is none.
        take: see ``Port``.
    """

    def __init__(
        self,
        reads: Socket,
        sends: Socket,
        receive: Callable[[Socket], int],
        take: Callable[[Any, bytes, Socket], int] | None = None,
    ) -> None:
        self.socket = sends
        self.closed = False
        self._reads = reads
        #: For who reads at once what it sends, while nothing is unread: these are not counted.
        self.send_own = plain_send(sends)
        self.recv = reads.recv
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._call_soon = self._loop.call_soon
        self._scheduled = False
        #: Messages that were sent and not read yet.
        self.unread = 0
        #: Grows at the end of each turn in which something was sent.
        self.tick = 0
        self._deferred: list[Callable[[], None]] = []
        # On a simulated network a message is there when the network says so.
        self.simulated = not isinstance(reads, zmq.Socket)
        #: See ``Port.ticks``.
        self.ticks: Ticks = cast("Watched", reads).ticks if self.simulated else self
        self._take_one = take
        taken = None if take is None else self._taken
        self._signals: Signals | None = (
            watch(reads, self._visit, None, taken) if self.simulated else None
        )
        self._readable = readable(reads)

    def send(self, data: Any, flags: int, copy: bool = True) -> None:
        """Send a part of a message."""
        self.send_own(data, flags, copy)
        if flags == NOW:
            self.unread += 1
            if not self._scheduled:
                self._scheduled = True
                self._call_soon(self._turn)

    def outlet(self, _route: bytes | None) -> Callable[[bytes], bool] | None:
        """See ``transports.sockets.outlet``."""
        return outlet(self.socket, None)

    def touched(self) -> None:
        """Nothing more to do: see ``Port.touched``."""

    def defer(self, callback: Callable[[], None]) -> None:
        """Call ``callback()`` at the end of this turn, before what was sent in it is read."""
        self._deferred.append(callback)
        if not self._scheduled:
            self._scheduled = True
            self._call_soon(self._turn)

    def begin(self) -> None:
        """A channel has sent in this turn; at its end ``tick`` grows."""
        if not self._scheduled:
            self._scheduled = True
            self._call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        self.tick += 1
        deferred, self._deferred = self._deferred, []
        for callback in deferred:
            callback()
        if not self.unread:
            return
        if self._signals is not None:
            self.unread = 0
            return
        receive, socket = self._receive, self._reads
        # Not what is sent meanwhile: others get their turn first.
        budget = DRAIN_BUDGET
        count = self.unread
        while count and budget > 0 and not self.closed:
            count -= 1
            self.unread -= 1
            budget -= receive(socket)
        if self.unread and not self._scheduled and not self.closed:
            self._scheduled = True
            self._call_soon(self._turn)

    def _visit(self) -> None:
        """Signalled by a simulated network."""
        budget = DRAIN_BUDGET
        try:
            while budget > 0 and not self.closed:
                if not self._readable():
                    return
                budget -= self._receive(self._reads)
        except zmq.Again:
            return
        if not self.closed:
            self._call_soon(self._visit)

    def _taken(self, route: bytes | None, data: bytes) -> None:
        """Handed over by a simulated network."""
        take: Any = self._take_one
        take(route, data, self._reads)

    def close(self, linger: float = 0.0) -> None:
        """Stop reading and close both; see ``Port.close``."""
        if self.closed:
            return
        self.closed = True
        if self._signals is not None:
            self._signals.stop()
        self.socket.close(int(linger * 1000))
        self._reads.close(0)

    def __repr__(self) -> str:
        return f"<Loopback {'closed' if self.closed else 'open'} unread={self.unread}>"
