"""One direction of a simulated connection: messages in order, each in its own time."""

from __future__ import annotations

from asyncio import TimerHandle
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from transports.sim.draws import Draws
from transports.sim.loop import SECOND
from transports.sim.medium import Host, Medium
from transports.sim.net import Net
from transports.wire import Batch, Bye, Chunk, Hello, Refused, Welcome

Part = bytes | memoryview
Message = tuple[Part, ...]

_KINDS: Final = {
    kind.__struct_config__.tag: kind.__name__.lower()
    for kind in (Batch, Hello, Welcome, Refused, Bye, Chunk)
}
_KIND_AT: Final = 6
"""Where a frame of the wire format tells its kind: after the checksum and the array's header."""


class _Item(msgspec.Struct):  # made by C: there is one for each message
    number: int
    size: int
    departure: int
    arrival: int
    message: Message | None
    """None is the end of the stream."""


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
        deliver: takes each message that arrived.
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
        deliver: Callable[[Message], None],
        ended: Callable[[], None],
    ) -> None:
        self.source = source
        self.target = target
        self.lane = lane
        self.net = net
        self.closed = False
        self._medium = medium
        self._draws = draws
        self._deliver = deliver
        self._ended = ended
        self._queue: deque[_Item] = deque()
        self._held: list[Message] = []
        self._timer: TimerHandle | None = None
        self._number = 0
        self._free = 0
        self._labels: dict[str, str] = {}

    def __len__(self) -> int:
        """Messages on the way."""
        return len(self._held) + sum(item.message is not None for item in self._queue)

    def send(self, message: Message) -> None:
        """Put a message on its way; while the sender is frozen it waits."""
        counts = self._medium.counts
        if self.closed:
            counts.lost += 1
        elif self.source.frozen:
            counts.held += 1
            self._held.append(message)
        else:
            self._put(message)

    def _put(self, message: Message | None) -> None:
        medium = self._medium
        now = medium.loop.now_ns
        size = 0
        if message is not None:
            self._number += 1
            for part in message:
                size += len(part) if type(part) is bytes else size_of(part)
        free = max(self._free, now)
        self._free = free = free + round(size * SECOND / self.net.bandwidth)
        arrival = free + travel(self.net, self._draws)
        if arrival > now:
            medium.counts.delayed += 1
        self._queue.append(_Item(self._number, size, free, arrival, message))
        if self._timer is None:
            self._arm()

    def _arm(self) -> None:
        if self._timer is None and self._queue:
            self._timer = self._medium.call_at_ns(self._queue[0].arrival, self._arrive)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arrive(self) -> None:
        self._timer = None
        medium, queue = self._medium, self._queue
        now, counts, deliver = medium.loop.now_ns, medium.counts, self._deliver
        # Only the first is looked at, so none overtakes a slower one before it.
        while queue and queue[0].arrival <= now:
            if self.target.frozen:
                return  # until thaw
            item = queue.popleft()
            message = item.message
            if message is None:
                self._record("end", item)
                self._ended()
                return
            counts.delivered += 1
            counts.nbytes += item.size
            if medium.meter is not None:
                medium.meter(self.source.name, self.target.name, item.size)
            if medium.trace is not None:
                self._record(_kind(message), item)
            deliver(message)
        if queue:
            self._arm()

    def _record(self, what: str, item: _Item) -> None:
        if self._medium.trace is not None:
            label = self._labels.get(what) or self._labels.setdefault(what, f"{self.lane} {what}")
            self._medium.record(self.source, self.target.name, label, item.number, item.size)

    def thaw(self) -> None:
        """A frozen end goes on: what waited is sent, or arrives, now."""
        if self._timer is None:
            now = self._medium.loop.now_ns
            self._medium.counts.held += sum(item.arrival <= now for item in self._queue)
            self._arm()
        held, self._held = self._held, []
        for message in held:
            self._put(message)

    def finish(self, linger: int = 0) -> None:
        """The sender closes: what has not left in ``linger`` ns is lost, then its end follows."""
        if self.closed:
            return
        self.closed = True
        queue, counts = self._queue, self._medium.counts
        last = self._medium.loop.now_ns + linger
        while queue and queue[-1].departure > last:
            queue.pop()
            counts.lost += 1
        self._free = min(self._free, last)
        counts.lost += len(self._held)
        self._held.clear()
        if not queue:
            self._disarm()
        self._put(None)

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


def _kind(message: Message) -> str:
    first = message[0]
    try:
        return _KINDS.get(first[_KIND_AT], "frame")
    except IndexError:
        return "frame"
