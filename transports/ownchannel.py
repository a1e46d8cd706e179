"""The control lane of a node's link to itself: one turn sends, reads and hands over a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from transports.channel import NEVER, Channel
from transports.loopback import Loopback
from transports.port import NOW
from transports.wire import VERSION, Batch

T = TypeVar("T")

_AT_ONCE: Final = 256 * 1024
"""Bytes handed over in one turn, about: more would hold the loop for a millisecond and longer."""


class OwnChannel(Channel[T]):
    """A ``Channel`` whose both ends are this node.

    Nothing is read before a turn has ended, so nothing gains by leaving earlier: what a turn has
    sent goes through the sockets at its end, and is read there as well. It never leaves memory that
    is ours, so it carries no checksum. What is not as always takes the way of all channels. So
    does all on a simulated network, where messages arrive when the network says so.

    Args:
        deliver: takes the items of a batch; must not raise.
        **options: see ``Channel``.
    """

    def __init__(self, *args: Any, deliver: Callable[[list[T]], None], **options: Any) -> None:
        super().__init__(*args, **options)
        self._deliver = deliver
        self._in_tick = False
        self._loopback: Loopback | None = None
        self._decode = self.codec.decoder.decode

    def opened(self, loopback: Loopback) -> None:
        """The pair of sockets is there."""
        self.up(loopback, None, epoch=1, first=1, window=self.window)
        self._loopback = loopback

    def send_carefully(self, item: T, nbytes: int) -> None:
        """Queue an item where a bound may be reached or a turn begins."""
        loopback = self._loopback
        if loopback is None or self.state != "up":
            super().send_carefully(item, nbytes)
            return
        self.check_bounds(nbytes)
        self.enqueued += nbytes
        self.queue.append(item)
        if self._in_tick:  # and only then: most turns send one
            self.soft = min(
                self.window + self.sending.acked_bytes, self.enqueued + self._batch_bytes
            )
        else:
            self._in_tick = True
            loopback.defer(self._turn)

    def _turn(self) -> None:
        self._in_tick = False
        self.soft = NEVER
        loopback, sending, receiving = self._loopback, self.sending, self.receiving
        count = len(self.queue)
        if not count or loopback is None or self.state != "up":
            return
        if loopback.unread:  # which goes first
            self.flush()
            return
        if self.leaving is not None:
            self.leaving()
        nbytes = self.enqueued - sending.sent_bytes
        most = self._limits.batch_messages
        if count > 1 and nbytes > 2 * self._limits.batch_bytes:
            most = max(1, min(most, count * self._limits.batch_bytes // nbytes))
        # Not what the receivers send meanwhile: others get their turn first.
        left = _AT_ONCE
        while count and left > 0 and self.state == "up":
            size, share = count, nbytes
            if count > most:
                size, share = most, nbytes * most // count
            frame = self.queue if size == len(self.queue) else self.queue[:size]
            batch = Batch(VERSION, 1, self._incarnation, sending.last + 1, receiving.last, frame)
            try:
                data = self._encode(batch)
                loopback.send_own(data, NOW)
            except Exception:  # noqa: BLE001  (what is sent carefully says which item it is, and why)
                self.flush()
                return
            del self.queue[:size]  # in place: what is growing is the last of this very list
            data = loopback.recv(NOW)
            items = self._decode(data).items
            sending.last += size
            sending.sent_bytes += share
            receiving.last = sending.last
            self.batches_out += 1
            self.batches_in += 1
            self.bytes_out += len(data)
            self.bytes_in += len(data)
            self._deliver(items)
            sending.acked, sending.acked_bytes = sending.last, sending.sent_bytes
            if self.waiters.futures:
                self.wake_for_room()
            count -= size
            nbytes -= share
            left -= len(data)
        if self.queue and not self._in_tick and self.state == "up":
            self._in_tick = True
            loopback.defer(self._turn)
