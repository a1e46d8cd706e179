"""A channel: one lane of one link, from queued items to frames on the current connection.

It outlives its connections: each is an epoch, begun by a hello. Items queue while there is none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final, Generic, Literal, TypeVar
from zlib import crc32

import zmq

from transports.address import Lane
from transports.clock import Clock, Timer
from transports.errors import LinkClosed, LinkFull, MessageTooLarge, ProtocolError
from transports.identity import NodeId
from transports.lane import Range, Receiving, Sending
from transports.limits import Limits
from transports.loopback import Loopback
from transports.port import MORE, NOW, Port
from transports.sockets import Ticks
from transports.waiters import Waiters
from transports.wire import (
    CHECKSUM,
    CODE,
    MAX_BATCH,
    VERSION,
    Batch,
    Bye,
    Chunk,
    Codec,
    with_checksum,
)

T = TypeVar("T")

_logger = logging.getLogger("transports")

NEVER = -1
"""A bound below any count of bytes: every send takes the careful path."""

_ACK_BYTES: Final = 256 * 1024
"""Bytes received that are acknowledged without waiting for an answer to take it along: a sender in
a hurry has its window back at once, and what a cut leaves in doubt stays small."""

_ACK_EARLY: Final = 1e-4
"""Seconds that an acknowledgement may be early, rather than have its timer come once more."""


class Channel(Generic[T]):
    """One lane of a link, both directions.

    The first item of a loop tick leaves at once, the rest of the tick together at its end or when
    ``Limits.batch_bytes`` have gathered.

    Args:
        lane: which lane this is.
        peer: who is at the other end.
        codec: of this lane.
        clock: for the timer of acknowledgements.
        limits: bounds of the endpoint.
        window: bytes that may be unacknowledged.
        max_message: bytes of one item at most.
        ack_delay: seconds after which a receipt is acknowledged when nothing travels back.
        broken: called, at most once per epoch and never from inside ``send``, when the connection
            turned out to be gone.
        undeliverable: told of each item that was dropped because no frame can hold it.
        acknowledges: whether receipts are acknowledged by frames; the link of a node to itself
            does it by a direct call.
    """

    # More than an object of Python 3.11 keeps at hand without them.
    __slots__ = (
        "_ack_delay", "_ack_timer", "_batch_bytes", "_broken", "_clock", "_closed_because",
        "_encode", "_ends", "_incarnation", "_limits", "_loop", "_max_frame", "_max_message",
        "_outlet", "_since", "_tick", "_ticks", "_undeliverable", "ack_bytes", "acknowledges",
        "batches_in", "batches_out", "bytes_in", "bytes_out", "codec", "dropped", "enqueued",
        "epoch", "joined", "lane", "leaving", "peer", "peer_window", "port", "queue", "receiving",
        "route", "sending", "soft", "state", "unacknowledged", "waiters", "window",
    )  # fmt: skip

    def __init__(
        self,
        lane: Lane,
        peer: NodeId,
        codec: Codec[Any],
        *,
        clock: Clock,
        limits: Limits,
        window: int,
        max_message: int,
        ack_delay: float,
        broken: Callable[[str], None],
        undeliverable: Callable[[T, str], None] | None = None,
        acknowledges: bool = True,
    ) -> None:
        self.lane: Lane = lane
        self.peer = peer
        self.codec = codec
        self.state: Literal["down", "greeting", "up", "closed"] = "down"
        self.epoch = 0
        self.port: Port | Loopback | None = None
        self.route: bytes | None = None
        self.window = window
        self.sending = Sending()
        self.receiving = Receiving()
        self.batches_out = self.batches_in = self.bytes_out = self.bytes_in = 0
        self.dropped = 0
        """Items given up because they could not be encoded."""

        # Public to Link.send, which adds and appends without a call where nothing is at stake.
        self.enqueued = 0
        """Bytes of all items ever queued, by the callers' estimate."""
        self.soft = NEVER
        """Value of ``enqueued`` above which ``send_carefully`` decides."""
        self.queue: list[T] = []
        #: Called before what is queued leaves. Within a node, who adds the bytes to ``enqueued``
        #: and keeps that below ``soft`` may let the last item of ``queue`` grow until then.
        self.leaving: Callable[[], None] | None = None
        #: Messages that the floor above has let go along in those items.
        self.joined = 0
        #: Sends a frame where the connection has a short way, and whether to look for a signal.
        self._outlet: Callable[[bytes], bool] | None = None
        self._encode = codec.encoder.encode
        self._incarnation = peer.incarnation
        self._clock = clock
        self._limits = limits
        self._batch_bytes = limits.batch_bytes
        self._max_frame = limits.max_frame
        self._max_message = max_message
        self._ack_delay = ack_delay
        self._broken = broken
        self._undeliverable = undeliverable
        self.acknowledges = acknowledges
        self.peer_window = window
        #: Bytes received and not acknowledged at which they are.
        self.ack_bytes = min(_ACK_BYTES, window // 4)
        self._loop = asyncio.get_running_loop()
        # The tick in which an item left alone, and whether the end of this one flushes.
        self._ticks: Ticks
        self._tick = -1
        self._ends = False
        #: Bytes received and not acknowledged; where there are some, a timer is set.
        self.unacknowledged = 0
        self._since = 0.0
        self._ack_timer: Timer | None = None
        #: Those who wait for room.
        self.waiters = Waiters()
        self._closed_because = ""

    # Sending

    def send(self, item: T, nbytes: int) -> None:
        """Queue an item; see ``Link.send``."""
        enqueued = self.enqueued + nbytes
        if enqueued > self.soft:
            self.send_carefully(item, nbytes)
        else:
            self.enqueued = enqueued
            self.queue.append(item)

    def check_bounds(self, nbytes: int) -> None:
        """Refuse an item of so many bytes where it cannot be queued; see ``Link.send``."""
        if self.state == "closed":
            raise LinkClosed(self._closed_sentence())
        if nbytes > self._max_message:
            raise MessageTooLarge(
                f"a message of {nbytes} bytes to {self.peer} exceeds the {self._max_message} of "
                "the control lane: send arrays as a transfer, or raise Limits.max_message"
            )
        held = self.enqueued - self.sending.acked_bytes
        if held + nbytes > self.window:
            raise LinkFull(
                f"{held} of {self.window} bytes to {self.peer} are unacknowledged ({self.state}): "
                "await link.drain() and send again"
            )

    def send_carefully(self, item: T, nbytes: int) -> None:
        """Queue an item where a bound may be reached or a tick begins."""
        sending, port = self.sending, self.port
        enqueued = self.enqueued + nbytes
        if (
            enqueued - sending.acked_bytes > self.window or nbytes > self._max_message
            or self.state == "closed"
        ):  # fmt: skip
            self.check_bounds(nbytes)
        self.enqueued = enqueued
        if (
            self.state != "up" or port is None or self._ends or self.queue
            or self._tick == (tick := self._ticks.tick)
        ):  # fmt: skip
            self._add(port, item, nbytes)
            return
        # The first of a tick. As _send_batch, in one place: most ticks send one item, and each call
        # costs. What goes wrong is left to _send_batch, which says why.
        self._tick = tick
        receiving = self.receiving
        first, last, items = sending.last + 1, receiving.last, [item]
        # Python finds faster what is called where it is read first.
        encode, outlet = self._encode, self._outlet
        batch = Batch(VERSION, self.epoch, self._incarnation, first, last, items)
        try:
            body = encode(batch)
        except Exception:  # noqa: BLE001  (user data decides what an encoder raises)
            self._send_first_again(port, items, nbytes)
            return
        size = len(body) + CHECKSUM
        if size > self._max_frame or port.closed:
            self._send_first_again(port, items, nbytes)
            return
        data = with_checksum(CODE, crc32(body)) + body
        try:
            if outlet is not None:
                if outlet(data):
                    port.touched()
            else:
                if self.route is not None:
                    port.send(self.route, MORE)
                port.send(data, NOW)
        except zmq.ZMQError:
            self._send_first_again(port, items, nbytes)
            return
        sending.last = first
        sending.sent_bytes = sent = sending.sent_bytes + nbytes
        sending.marks.append((first, sent))
        receiving.acked = last
        self.unacknowledged = 0
        self.batches_out += 1
        self.bytes_out += size
        if not port.simulated:  # where the loop itself counts, a tick needs no end
            port.begin()

    def _send_first_again(self, port: Port | Loopback, items: list[T], nbytes: int) -> None:
        self._send_batch(items, nbytes)
        if not port.simulated:
            port.begin()

    def _add(self, port: Port | Loopback | None, item: T, nbytes: int) -> None:
        """Queue an item that is not the first of a tick, or not on a connection; it is counted."""
        if self.state != "up" or port is None:
            self.queue.append(item)
        elif self._ends:
            self.queue.append(item)
            self.flush()
        elif self._tick == self._ticks.tick:  # the second of a tick
            self._ends = True
            self.enqueued -= nbytes
            self._allow_more()
            self.enqueued += nbytes
            self.queue.append(item)
            if self.enqueued > self.soft:
                self.flush()
            port.defer(self._end_tick)
        else:
            self.queue.append(item)
            self._ends = True
            self.flush()
            port.defer(self._end_tick)  # after the send, which others wait for

    def _end_tick(self) -> None:
        self._ends = False
        if self.queue:
            self.flush()
        self.soft = NEVER

    def flush(self) -> None:
        """Send what is queued, in frames of about ``batch_bytes``."""
        if self.state != "up":
            return
        if self.leaving is not None:
            self.leaving()
        queue = self.queue
        if queue:
            self.queue = []
            nbytes = self.enqueued - self.sending.sent_bytes
            parts = 1
            if len(queue) > 1:
                parts = max(
                    -(-nbytes // (2 * self._limits.batch_bytes)),
                    -(-len(queue) // self._limits.batch_messages),
                )
            if parts > 1:
                self._send_parts(queue, nbytes, parts)
            else:
                self._send_batch(queue, nbytes)
        self._allow_more()

    def _allow_more(self) -> None:
        """Let items be appended without care for the rest of a tick."""
        # Outside of a tick nobody would flush them.
        if self._ends and self.state == "up":
            bound = self.window + self.sending.acked_bytes
            self.soft = min(self.enqueued + self._batch_bytes, bound)

    def _send_parts(self, items: list[T], nbytes: int, parts: int) -> None:
        count = -(-len(items) // parts)
        share = nbytes * count // len(items)
        for start in range(0, len(items), count):
            part = items[start : start + count]
            last = start + count >= len(items)
            self._send_batch(part, nbytes if last else share)
            nbytes -= share

    def _send_batch(self, items: list[T], nbytes: int) -> None:
        sending = self.sending
        if self.state != "up":
            # A part before this one met the end of the connection; this one never left.
            self.queue.extend(items)
            return
        first, last = sending.last + 1, self.receiving.last
        batch = Batch(VERSION, self.epoch, self._incarnation, first, last, items)
        try:
            data = self.codec.encode(batch)
        except Exception as error:  # noqa: BLE001  (user data decides what an encoder raises)
            self._split_or_drop(items, nbytes, f"cannot be encoded: {error}")
            return
        if len(data) > self._max_frame:
            self._split_or_drop(
                items, nbytes, f"takes {len(data)} bytes, over max_frame = {self._max_frame}"
            )
            return
        if self._transmit(data):
            if items:
                sending.sent(len(items), nbytes)
            self.receiving.acked = self.receiving.last
            self.unacknowledged = 0
            self.batches_out += 1
            self.bytes_out += len(data)
        else:
            self.queue.extend(items)

    def _split_or_drop(self, items: list[T], nbytes: int, why: str) -> None:
        if len(items) > 1:
            self._send_parts(items, nbytes, 2)
            return
        self.dropped += 1
        self.enqueued -= nbytes
        _logger.error("a message to %s was dropped: it %s", self.peer, why)
        if self._undeliverable is not None:
            self._loop.call_soon(self._undeliverable, items[0], why)

    def _transmit(self, data: bytes) -> bool:
        port = self.port
        if port is None or port.closed:
            return False
        try:
            if self._outlet is not None:
                if not self._outlet(data):
                    return True
            else:
                if self.route is not None:
                    port.send(self.route, MORE)
                port.send(data, NOW)
        except zmq.ZMQError as error:
            port.touched()  # a send that fails may swallow a signal, too
            self._break(f"the connection to {self.peer} is gone ({error.strerror})")
            return False
        port.touched()
        return True

    def send_chunk(self, chunk: Chunk, piece: memoryview) -> bool:
        """Send a piece of a transfer without copying it.

        Returns:
            Whether it left; otherwise the connection is gone.
        """
        self.flush()
        port = self.port
        if self.state != "up" or port is None:
            return False
        data = self.codec.encode(chunk)
        try:
            if self.route is not None:
                port.send(self.route, MORE)
            port.send(data, MORE)
            port.send(piece, NOW, copy=False)
        except zmq.ZMQError as error:
            port.touched()
            self._break(f"the connection to {self.peer} is gone ({error.strerror})")
            return False
        port.touched()
        self.bytes_out += len(data) + piece.nbytes
        return True

    def probe(self) -> None:
        """Send an empty batch: it fails at once when the connection is gone.

        Where it is not, the peer acknowledges what it has.
        """
        if self.state == "up":
            self._send_batch([], 0)

    def hurry(self) -> None:
        """Ask the peer to acknowledge what it has at once: somebody waits for that."""
        if self.state == "up":
            self.flush()
            self._acknowledge_now()  # for what acknowledges asks for nothing
            self._send_batch([], 0)

    @property
    def connected(self) -> bool:
        """Whether there was a connection whose end was not told yet, though it may be gone."""
        return self.state == "up" or (self.state == "down" and self.port is not None)

    def _break(self, reason: str) -> None:
        epoch = self.epoch
        self.state = "down"
        self.soft = NEVER

        # Later: the caller may be in the middle of a send of the floor above.
        def tell() -> None:
            if self.epoch == epoch and self.state == "down":
                self._broken(reason)

        self._loop.call_soon(tell)

    # Receiving

    def check(self, epoch: int, to: int, node: NodeId) -> None:
        """Refuse what is not of this connection and for this node.

        Raises:
            ProtocolError: reason "no hello", "epoch" or "target".
        """
        if self.state == "up" and epoch == self.epoch and to == node.incarnation:
            return
        if self.state != "up":
            raise ProtocolError("no hello", f"{self.peer} sent before its hello was answered")
        if epoch != self.epoch:
            raise ProtocolError("epoch", f"{self.peer} sent in epoch {epoch} of {self.epoch}")
        raise ProtocolError("target", f"{self.peer} sent to {to:06x}, this is {node}")

    def receive(self, batch: Batch[T], size: int) -> list[T]:
        """Take a batch that passed ``check``.

        Returns:
            The items that are new.

        Raises:
            ProtocolError: reason "sequence" or "too large"; the batch is not counted.
        """
        items = batch.items
        count = len(items)
        if count > MAX_BATCH:
            raise ProtocolError("too large", f"{self.peer} sent {count} messages in one batch")
        if self.acknowledges:
            if batch.ack > self.sending.acked:
                if self.sending.acknowledge(batch.ack) and self.waiters.futures:
                    self.wake_for_room()
            elif not count:
                self._acknowledge_now()  # it tells nothing: it asks
        self.batches_in += 1
        self.bytes_in += size
        receiving = self.receiving
        if batch.first == receiving.last + 1:  # as nearly always: without a call
            receiving.last += count
        elif count:
            old = receiving.receive(batch.first, count)
            if old:
                items = items[old:]
        return items

    def received(self, size: int) -> None:
        """The floor above has the items of a batch: see that they are acknowledged."""
        if not self.acknowledges:
            if self.sending.acknowledge(self.receiving.last) and self.waiters.futures:
                self.wake_for_room()
            return
        if self.receiving.acked == self.receiving.last:
            return  # an answer took the acknowledgement along
        if not self.unacknowledged:
            self._since = self._clock.now()
        self.unacknowledged += size
        if self.unacknowledged >= self.ack_bytes:
            self._acknowledge_now()
        elif self._ack_timer is None:
            self._ack_timer = self._clock.call_later(self._ack_delay, self._ack_due)

    def _ack_due(self) -> None:
        self._ack_timer = None
        if self.receiving.acked == self.receiving.last:
            return
        # What the timer was set for may have gone along with an answer since, and more have come.
        left = self._since + self._ack_delay - self._clock.now()
        if left > _ACK_EARLY:
            self._ack_timer = self._clock.call_later(left, self._ack_due)
        else:
            self._acknowledge_now()

    def _acknowledge_now(self) -> None:
        receiving = self.receiving
        if receiving.acked < receiving.last:
            self.flush()
            if receiving.acked < receiving.last and self.state == "up":
                self._send_batch([], 0)

    # Waiting

    def wake_for_room(self) -> None:
        """Wake those who wait for room, if there is some now."""
        if self._has_room():
            self.waiters.wake()

    def _has_room(self) -> bool:
        return (self.enqueued - self.sending.acked_bytes) * 2 <= self.window

    async def drain(self) -> None:
        """Wait until the window is at most half full; yields to the loop at least once.

        Raises:
            LinkClosed: the link has ended.
        """
        if self._has_room() and self.state != "closed":
            await asyncio.sleep(0)
        while not self._has_room() and self.state != "closed":
            await self.waiters.wait()
        if self._is_closed():
            raise LinkClosed(self._closed_sentence())

    def _is_closed(self) -> bool:
        return self.state == "closed"

    @property
    def idle(self) -> bool:
        """Whether everything queued has left and was acknowledged."""
        return not self.queue and self.sending.acked == self.sending.last

    # Connections

    def greet(self, port: Port, hello: bytes) -> bool:
        """A new connection was dialled: say hello on it and wait for the welcome."""
        self.port, self.route, self._outlet = port, None, None
        self.state = "greeting"
        return self._transmit(hello)

    def up(
        self, port: Port | Loopback, route: bytes | None, *, epoch: int, first: int, window: int
    ) -> None:
        """The connection is agreed on.

        Args:
            port: the socket.
            route: the connection's routing id where the socket is a ROUTER.
            epoch: number of the connection.
            first: sequence number of the peer's next item.
            window: bytes the peer keeps unacknowledged at most.

        Raises:
            ProtocolError: reason "sequence".
        """
        self.receiving.resume(first)
        self.port, self.route, self.epoch = port, route, epoch
        self._outlet, self._ticks = port.outlet(route), port.ticks
        self.peer_window = max(window, 1)
        self.ack_bytes = min(_ACK_BYTES, window // 4)
        self._tick = -1  # that of another port
        self.unacknowledged = 0
        self.state = "up"

    def down(self) -> Range | None:
        """The connection is gone; what was unacknowledged is given up.

        Returns:
            The sequence numbers given up.
        """
        if self.state != "closed":
            self.state = "down"
        self.soft = NEVER
        self.port = self.route = self._outlet = None
        lost = self.sending.cut()
        self.wake_for_room()
        return lost

    def bye(self, reason: str) -> None:
        """Tell the peer that this link ends."""
        if self.state == "up":
            self.flush()
            self._transmit(
                self.codec.encode(Bye(VERSION, self.epoch, self.peer.incarnation, reason))
            )

    def discard_queue(self) -> None:
        """Forget what is queued; the bulk lane makes its events anew for each connection."""
        self.queue = []
        self.enqueued = self.sending.sent_bytes

    def close(self, reason: str) -> Range | None:
        """End for good; who waits gets ``LinkClosed``.

        Returns:
            The sequence numbers given up.
        """
        self.state = "closed"
        self._closed_because = reason
        lost = self.down()
        if self._ack_timer is not None:
            self._ack_timer.cancel()
            self._ack_timer = None
        self.waiters.wake()
        return lost

    def _closed_sentence(self) -> str:
        return f"the link to {self.peer} has ended: {self._closed_because}"

    def __repr__(self) -> str:
        return (
            f"<Channel {self.lane} to {self.peer} {self.state} epoch={self.epoch} "
            f"queued={len(self.queue)} unacknowledged={self.sending.last - self.sending.acked}>"
        )
