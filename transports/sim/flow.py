"""One direction of a simulated connection: messages in order, each in its own time."""

from __future__ import annotations

import math
from asyncio import TimerHandle
from collections import deque
from collections.abc import Callable
from heapq import heappush
from typing import Any, Final, Protocol

from transports.sim.draws import Draws
from transports.sim.handles import SimHandle, SimTimer
from transports.sim.medium import Host, Medium
from transports.sim.net import Net
from transports.sim.trace import TOGETHER, Way
from transports.sim.units import SECOND
from transports.wire import Batch, Bye, Chunk, Hello, Refused, Welcome

Part = bytes | memoryview
Message = tuple[Part, ...]

_KINDS: Final = {
    kind.__struct_config__.tag: kind.__name__.lower()
    for kind in (Batch, Hello, Welcome, Refused, Bye, Chunk)
}
_KIND_AT: Final = 6
"""Where a frame of the wire format tells its kind: after the checksum and the array's header."""


_Item = tuple[int, int, int, int, Message | None]
"""Arrival, number, size, departure, and the message, or None for the end of the stream; a plain
tuple, since there is one for each message."""


class Signalled(Protocol):
    """A socket whose signals its own calls swallow; see ``SimSocket``."""

    #: The call that tells its watch, until that is made or swallowed.
    pending: SimHandle | None

    def swallow(self) -> None:
        """Have that call not be made."""
        ...


class Flow:
    """Messages from one socket to another, first in, first out, as over TCP.

    Args:
        medium: of the network.
        source: the node that sends.
        target: the node that receives.
        lane: label of the connection.
        net: what the way is like.
        draws: of the jitter; one number for each message, so that the n-th message of a
            connection takes the same time whatever happens elsewhere.
        take: takes a message that arrived, and its bytes of all parts, where that is the last of
            what is to be done; whether it did.
        deliver: takes any other one; gives the call that tells of it.
        ended: called when the sender's end arrived.
    """

    def __init__(
        self,
        medium: Medium,
        source: Host,
        target: Host,
        *,
        lane: str,
        net: Net,
        draws: Draws,
        take: Callable[[Message, int], bool],
        deliver: Callable[[Message, int], SimHandle | None],
        ended: Callable[[], None],
    ) -> None:
        self.source = source
        self.target = target
        self.lane = lane
        self.closed = False
        self._medium = medium
        self._loop = medium.loop
        self._bits = draws.bits
        self._take = take
        self._deliver = deliver
        self._ended = ended
        self._queue: deque[_Item] = deque()
        self._held: list[Message] = []
        self._timer: TimerHandle | SimTimer | None = None
        #: One that has come due: it can be set anew, at less than another.
        self._spent: TimerHandle | SimTimer | None = None
        self._number = 0
        self._free = 0
        #: By the byte that tells a frame's kind.
        self._ways: dict[int, Way] = {}
        self.shape(net)

    def shape(self, net: Net) -> None:
        """From now on the way is like this; messages that are on it stay as they are."""
        self._delay = round(net.delay * SECOND)
        self._jitter = round(net.jitter * SECOND) + 1
        self._jitter_bits = 32 + self._jitter.bit_length()  # as Draws.below
        self._bandwidth = net.bandwidth
        self._wide = math.isinf(net.bandwidth)

    def __len__(self) -> int:
        """Messages on the way."""
        return len(self._held) + sum(item[4] is not None for item in self._queue)

    def outlet(self, end: Signalled, otherwise: Callable[[bytes], None]) -> Callable[[bytes], bool]:
        """What sends messages of one part; see ``transports.sockets.Watched.outlet``.

        Args:
            end: whose messages they are.
            otherwise: sends one when this is closed or its source frozen.
        """
        loop, bits, counts, source = self._loop, self._bits, self._medium.counts, self.source
        queue, timers = self._queue, loop._timers  # noqa: SLF001  (see below)

        def send_whole(data: bytes) -> bool:
            # In one place, without calls: nearly each message comes here.
            swallowed = end.pending is not None
            if swallowed:
                end.swallow()
            if self.closed or source.frozen:  # a flow ends before its ends learn of it
                otherwise(data)
                return swallowed
            counts.sent += 1
            self._number = number = self._number + 1
            size = len(data)
            now, free = loop.now_ns, self._free
            if free < now:  # noqa: PLR1730  (a call costs more)
                free = now
            if not self._wide:
                free += round(size * SECOND / self._bandwidth)
            self._free = free
            arrival = free + self._delay + bits(self._jitter_bits) % self._jitter
            if arrival > now:
                counts.delayed += 1
            queue.append((arrival, number, size, free, (data,)))
            if self._timer is None:
                spent = self._spent
                if spent is None or len(queue) > 1:
                    self._arm()
                elif arrival >= timers.horizon or type(spent) is not SimTimer:
                    self._timer = loop.again_at_ns(spent, arrival)
                else:  # as there, without the call
                    spent._ns, spent._scheduled = arrival, True  # noqa: SLF001
                    loop._timer_count = count = loop._timer_count + 1  # noqa: SLF001
                    entry: Any = (arrival, count, spent)
                    heappush(timers.near, entry)
                    self._timer = spent
            return swallowed

        return send_whole

    def send(self, message: Message | None) -> None:
        """Put a message, or the end of all, on its way; while the sender is frozen it waits."""
        size = 0
        if message is not None:
            if self.closed:
                self._medium.counts.lost += 1
                return
            if self.source.frozen:
                self._medium.counts.held += 1
                self._held.append(message)
                return
            self._number += 1
            for part in message:
                size += len(part) if type(part) is bytes else size_of(part)
        now = self._loop.now_ns
        free = self._free
        if free < now:  # noqa: PLR1730  (a call costs more)
            free = now
        if not self._wide:
            free += round(size * SECOND / self._bandwidth)
        self._free = free
        arrival = free + self._delay + self._bits(self._jitter_bits) % self._jitter
        if arrival > now:
            self._medium.counts.delayed += 1
        self._queue.append((arrival, self._number, size, free, message))
        self._arm()

    def _arm(self) -> None:
        self._spent = None
        if self._timer is None and self._queue:
            self._timer = self._loop.call_at_ns(
                self._queue[0][0], self._arrive, context=self._medium.context
            )

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = self._spent = None

    def _arrive(self) -> None:
        self._spent, self._timer = self._timer, None
        medium, queue = self._medium, self._queue
        now, counts, trace = self._loop.now_ns, medium.counts, medium.trace
        meter = medium.meter
        telling: SimHandle | None = None
        if self.target.frozen:
            return  # until thaw
        # Only the first is looked at, so none overtakes a slower one before it.
        while queue and queue[0][0] <= now:
            _, number, size, _, message = queue.popleft()
            if message is None:
                if trace is not None:
                    trace.note(now, self._way("end"), number, size)
                if telling is not None:
                    self._loop.enqueue(telling)
                self._ended()
                return
            counts.delivered += 1
            counts.nbytes += size
            if meter is not None:
                meter(self.source.name, self.target.name, size)
            if trace is not None:
                try:
                    way = self._ways[message[0][_KIND_AT]]
                except (KeyError, IndexError):
                    way = self._way_of(message[0])
                noted = trace.noted  # as trace.note, without the call
                noted += (now, way.key, number, size)
                trace.ways.append(way)
                if len(noted) >= TOGETHER:
                    trace.hash()
            if not queue or queue[0][0] > now:
                if queue:
                    self._arm()
                if telling is None:
                    take = self._take
                    if take(message, size):
                        return
            deliver = self._deliver
            telling = deliver(message, size) or telling
        if telling is not None:
            self._loop.run_next(telling)

    def _way_of(self, frame: Part) -> Way:
        """What a frame is recorded as."""
        if len(frame) <= _KIND_AT:
            return self._way("frame")
        kind = frame[_KIND_AT]
        way = self._ways[kind] = self._way(_KINDS.get(kind, "frame"))
        return way

    def _way(self, what: str) -> Way:
        return Way(self.source.name, self.target.name, f"{self.lane} {what}")

    def thaw(self) -> None:
        """A frozen end goes on: what waited is sent, or arrives, now."""
        if self._timer is None:
            now = self._loop.now_ns
            self._medium.counts.held += sum(item[0] <= now for item in self._queue)
            self._arm()
        held, self._held = self._held, []
        for message in held:
            self.send(message)

    def finish(self, linger: int = 0) -> None:
        """The sender closes: what has not left in ``linger`` ns is lost, then its end follows."""
        if self.closed:
            return
        self.closed = True
        queue, counts = self._queue, self._medium.counts
        last = self._medium.loop.now_ns + linger
        while queue and queue[-1][3] > last:
            queue.pop()
            counts.lost += 1
        self._free = min(self._free, last)
        counts.lost += len(self._held)
        self._held.clear()
        if not queue:
            self._disarm()
        self.send(None)

    def cut(self) -> None:
        """What is on the way is lost, and nothing follows."""
        self.closed = True
        self._medium.counts.lost += len(self)
        self._queue.clear()
        self._held.clear()
        self._disarm()

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return (
            f"<Flow {self.source.name} to {self.target.name} {self.lane} {state} "
            f"messages={len(self)}>"
        )


def travel(net: Net, draws: Draws) -> int:
    """Nanoseconds that the next message is on the way."""
    return round(net.delay * SECOND) + draws.below(round(net.jitter * SECOND) + 1)


def size_of(part: Part) -> int:
    """Bytes of a part."""
    return part.nbytes if isinstance(part, memoryview) else len(part)
