"""One socket on the event loop, read in batches and never awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import zmq

from transports.sockets import Socket, plain_send, watch

DRAIN_BUDGET: Final = 256
"""Cost that one visit to a socket may run up before others get their turn; a small frame costs 1.
"""

# Plain integers: arithmetic on pyzmq's enumerations costs as much as a send.
NOW: Final = int(zmq.NOBLOCK)
"""Flag of a call that must not block."""
MORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)
"""Flags of a part that is not the last."""
_READABLE: Final = int(zmq.POLLIN)

_POSTPONED: Final = 4
"""Ticks by which a look for a swallowed signal is put off while every tick sends: the look takes
several times as long as a send. More would delay what waits to be read."""


class Port:
    """A socket whose frames are handed to ``receive`` as they come.

    The socket's descriptor is edge-triggered and a send may swallow its signal, so it is drained
    to EAGAIN, and ``touched`` must be called after each send.

    Args:
        socket: bound or connected; the port closes it.
        receive: reads one message without blocking, raises ``zmq.Again`` when there is none, and
            returns its cost against ``DRAIN_BUDGET``. Must not raise anything else. None for a
            socket that nothing ever comes back on.
        on_ended: called when a connection of the socket ended or could not be made, if given.
    """

    def __init__(
        self,
        socket: Socket,
        receive: Callable[[Socket], int] | None,
        on_ended: Callable[[], None] | None = None,
    ) -> None:
        self.socket = socket
        self.closed = False
        #: As the socket's own, which first asks about kinds of sockets that this is not.
        self.send = plain_send(socket)
        self._loop = asyncio.get_running_loop()
        self._touched = False
        self._deferred: list[Callable[[], None]] = []
        self._visiting = False
        self._sent = False
        self._postponed = 0
        # Whether nothing came since the last look: who sends now may do so in every tick.
        self._streams = False
        # Whether the last look found nothing: what comes next may come alone.
        self._lone = False
        self._reads = receive is not None
        self._receive = receive or _nothing_comes
        self._signals = watch(socket, self._visit, on_ended) if self._reads else None

    def touched(self) -> None:
        """Something was sent: look for a swallowed signal soon, or at the end of this visit."""
        self._sent = True
        if not self._touched and not self._visiting and (self._reads or self._deferred):
            self._touched = True
            self._loop.call_soon(self._end_tick)

    def defer(self, callback: Callable[[], None]) -> None:
        """Call ``callback()`` at the end of this tick, or of the visit that it comes from."""
        self._deferred.append(callback)
        self.touched()

    def _run_deferred(self) -> None:
        while self._deferred:
            deferred, self._deferred = self._deferred, []
            for callback in deferred:
                callback()

    def _end_tick(self) -> None:
        self._run_deferred()
        if self._sent and self._streams and self._reads and self._postponed < _POSTPONED:
            # Who sent in this tick may send in the next one too.
            self._sent = False
            self._postponed += 1
            self._loop.call_soon(self._end_tick)
            return
        self._touched = self._sent = False
        self._streams = True
        self._postponed = 0
        if not self.closed and self._reads:
            # Mostly there is nothing: asking costs half of a recv that ends in EAGAIN.
            if self._readable():
                self._visit()
            else:
                self._lone = True

    def _readable(self) -> bool:
        events: Any = self.socket.getsockopt(zmq.EVENTS)
        return bool(events & _READABLE)

    def _visit(self) -> None:
        receive, socket = self._receive, self.socket
        lone, self._lone = self._lone, False
        again = self._streams = False
        self._visiting = True
        try:
            cost = receive(socket)
            # Before asking, so that one look covers what these send.
            self._run_deferred()
            # After one that came alone the next one does, too: its answer is not to wait for a
            # look, and one look behind the answer covers both. After a second message of one
            # visit there are more, and asking would only add up.
            if not lone and self._readable():
                while cost < DRAIN_BUDGET:
                    cost += receive(socket)
                again = True
        except zmq.Again:
            lone = False
        except zmq.ZMQError:
            if not self.closed:
                raise
            return  # closed by what was received
        finally:
            self._visiting = False
        if again:
            self.touched()  # others get their turn first
            self._postponed = _POSTPONED
        elif lone:
            self.touched()
        if self._deferred:
            self.touched()
            self._run_deferred()

    def close(self, linger: float = 0.0) -> None:
        """Stop reading and close.

        Args:
            linger: seconds that libzmq may go on sending in the background.
        """
        if self.closed:
            return
        self.closed = True
        if self._signals is not None:
            self._signals.stop()
        self.socket.close(int(linger * 1000))


def _nothing_comes(_socket: Socket) -> int:
    raise zmq.Again


def read_into(socket: Socket, memory: memoryview) -> int:
    """Read the next part into memory; its true size in bytes."""
    return socket.recv_into(memory, flags=NOW)
