"""One socket on the event loop, read in batches and never awaited."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any, Final, cast

import zmq

from transports.sockets import Socket, Ticks, Watched, outlet, plain_send, readable, watch

_PROCESSORS: Final = os.cpu_count() or 1

DRAIN_BUDGET: Final = 256
"""Cost that one visit to a socket may run up before others get their turn; a small frame costs 1.
"""

CHUNK_COST: Final = 128
"""Of a piece of 1 MiB: two are read before others get their turn, a third of a millisecond."""

# Plain integers: arithmetic on pyzmq's enumerations costs as much as a send.
NOW: Final = int(zmq.NOBLOCK)
"""Flag of a call that must not block."""
MORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)
"""Flags of a part that is not the last."""

_POSTPONED: Final = 4
"""Ticks by which a look for a swallowed signal is put off while every tick sends: the look takes
several times as long as a send. More would delay what waits to be read."""


_AWAKE: Final = 60
"""Ticks, of 2 to 3 us, for which a loop is kept from sleeping while messages go to and fro: longer
than an answer of a process that is awake takes, so that both stay awake. A processor that has gone
to sleep takes several times as long as the whole exchange to come back, in a virtual machine."""

_IN_VAIN: Final = 4
"""Waits in vain, one after the other, after which some are left out, one more each time; all are
made again when one was not in vain. An answer may be late now and then."""
_LEFT_OUT: Final = 16
"""Waits left out at most: a peer that sends each millisecond costs a hundredth of a processor."""

_EXCHANGE: Final = 0.002
"""Seconds within which one message has to follow the other for that; asks under way at a lower
rate gain little, and would cost a tick's time each."""


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
        take: does what ``receive`` does with a message of one part that a simulated network hands
            over: its connection (of a ROUTER), what it holds, and the socket.
        stays_awake: keep the loop from sleeping for a moment while messages go to and fro.
    """

    def __init__(
        self,
        socket: Socket,
        receive: Callable[[Socket], int] | None,
        on_ended: Callable[[], None] | None = None,
        take: Callable[[Any, bytes, Socket], int] | None = None,
        *,
        stays_awake: bool = False,
    ) -> None:
        self.socket = socket
        self.closed = False
        #: As the socket's own, which first asks about kinds of sockets that this is not.
        self.send = plain_send(socket)
        self._readable = readable(socket)
        self._loop = asyncio.get_running_loop()
        #: Grows at the end of each tick, or visit, in which a channel said that it begins.
        self.tick = 0
        self._begun = False
        self._touched = False
        self._deferred: list[Callable[[], None]] = []
        self._visiting = False
        self._sent = False
        self._postponed = 0
        # Whether nothing came since the last look: who sends now may do so in every tick.
        self._streams = False
        # Whether the last look found nothing: what comes next may come alone.
        self._lone = False
        # A look at a simulated socket costs no more than the turn that would put it off.
        self.simulated = not isinstance(socket, zmq.Socket)
        #: Whose ``tick`` tells the turns apart in which a channel sends.
        self.ticks: Ticks = cast("Watched", socket).ticks if self.simulated else self
        # Simulated time stands still meanwhile, and with one processor the other end waits for it.
        self._stays_awake = stays_awake and not self.simulated and _PROCESSORS > 1
        self._looked = 0.0
        self._exchange = False
        self._awake = self._in_vain = self._left_out = 0
        self._reads = receive is not None
        self._receive = receive or _nothing_comes
        self._take_one = take
        visit = self._visit_simulated if self.simulated else self._visit
        taken = None if take is None else self._taken
        self._signals = watch(socket, visit, on_ended, taken) if self._reads else None

    def outlet(self, route: bytes | None) -> Callable[[bytes], bool] | None:
        """See ``transports.sockets.outlet``."""
        return outlet(self.socket, route)

    def touched(self) -> None:
        """Something was sent: look for a swallowed signal soon, or at the end of this visit."""
        self._sent = True
        if not self._touched and not self._visiting and (self._reads or self._begun):
            self._touched = True
            self._loop.call_soon(self._end_tick)

    def defer(self, callback: Callable[[], None]) -> None:
        """Call ``callback()`` at the end of this tick, or of the visit that it comes from."""
        self._deferred.append(callback)
        self._begun = self._sent = True
        if not self._touched and not self._visiting:  # as touched(), without the call
            self._touched = True
            self._loop.call_soon(self._end_tick)

    def begin(self) -> None:
        """A channel has sent in this tick, or visit; its end is where ``tick`` grows."""
        self._begun = self._sent = True
        if not self._touched and not self._visiting:  # as touched(), without the call
            self._touched = True
            self._loop.call_soon(self._end_tick)

    def _end(self) -> None:
        self.tick += 1
        self._begun = False
        while self._deferred:
            deferred, self._deferred = self._deferred, []
            for callback in deferred:
                callback()

    def _end_tick(self) -> None:
        if self._begun:
            if self._deferred:
                self._end()
            else:  # as there, without the call
                self.tick += 1
                self._begun = False
        if self.simulated:
            self._touched = False
            if self._reads and not self.closed and self._readable():
                self._visit_simulated()
            return
        if self._sent and self._streams and self._postponed < _POSTPONED:
            # Who sent in this tick may send in the next one too.
            self._sent = False
            self._postponed += 1
            self._loop.call_soon(self._end_tick)
            return
        # Who sends in every tick is awake anyway.
        stays_awake = self._stays_awake and self._postponed < _POSTPONED
        self._touched = self._sent = False
        self._streams = self._reads
        self._postponed = 0
        if not self.closed and self._reads:
            # Mostly there is nothing: asking costs half of a recv that ends in EAGAIN.
            if self._readable():
                self._visit()
            else:
                self._lone = True
                if stays_awake:
                    self._stay_awake()

    def _stay_awake(self) -> None:
        """All that was to be done is done, and the loop would wait for what comes."""
        self._looked = time.monotonic()
        if not self._exchange:
            return
        if self._left_out:
            self._left_out -= 1
            self._exchange = False
            return
        if not self._awake:
            self._loop.call_soon(self._wait_awake)
        self._awake = _AWAKE

    def _wait_awake(self) -> None:
        # The loop asks for what came between any two calls.
        self._awake -= 1
        if self.closed:
            self._awake = 0
        elif self._awake:
            self._loop.call_soon(self._wait_awake)
        else:
            self._exchange = False
            self._in_vain += 1
            if self._in_vain > _IN_VAIN:
                self._left_out = min(self._in_vain - _IN_VAIN, _LEFT_OUT)

    def _visit(self) -> None:
        receive, socket = self._receive, self.socket
        lone, self._lone = self._lone, False
        again = self._streams = False
        if self._stays_awake:
            self._exchange = time.monotonic() - self._looked < _EXCHANGE
            if self._awake:
                self._in_vain = 0
        self._visiting = True
        try:
            cost = receive(socket)
            # Before asking, so that one look covers what these send.
            if self._begun:
                self._end()
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
            # Closed by what was received: a channel that waits for the end of its tick would
            # otherwise wait for it on its next connection, too, and send nothing there.
            if self._begun:
                self._end()
            return
        finally:
            self._visiting = False
        if again:
            self.touched()  # others get their turn first
            self._postponed = _POSTPONED
        elif lone:
            self.touched()
        if self._begun:
            self.touched()
            self._end()

    def _visit_simulated(self) -> None:
        # Here a look costs less than a turn, and that it was the last message nothing but a look.
        receive, socket, looks = self._receive, self.socket, self._readable
        again = False
        self._visiting = True
        try:
            cost = receive(socket)
            if self._begun:
                self._end()
            if looks():
                while cost < DRAIN_BUDGET:
                    cost += receive(socket)
                    if cost < DRAIN_BUDGET and not looks():
                        break
                else:
                    again = True
        except zmq.Again:
            pass
        except zmq.ZMQError:
            if not self.closed:
                raise
            if self._begun:  # see _visit
                self._end()
            return
        finally:
            self._visiting = False
        if again:
            self.touched()
        if self._begun:
            self.touched()
            self._end()

    def _taken(self, route: bytes | None, data: bytes) -> None:
        # As _visit_simulated, for what is handed over: nothing is left to be looked for.
        take: Any = self._take_one
        self._visiting = True
        try:
            take(route, data, self.socket)
            if self._begun:
                self._end()
        finally:
            self._visiting = False
        if self._begun:
            self.touched()
            self._end()

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
