"""Transfers as pure state: what to send next, and what a receiver makes of it.

Transfers of one pair (sender, receiver) keep their order; pairs take turns. A transfer is known by
its number, so that after a cut it goes on where the receiver has it, and none arrives twice.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from transports.errors import LayoutError, ProtocolError
from transports.lane import Range, ranges_of, ranges_without
from transports.limits import Limits
from transports.parcels import Received, Sent, cut_weights
from transports.weights import Layout, Weights, check_layout
from transports.wire import Again, Handover, Open, Parcel

I = TypeVar("I")  # noqa: E741  (the item type of the floor above)


@dataclass(slots=True, eq=False)
class Outgoing(Generic[I]):
    """A transfer on its way out.

    Attributes:
        number: from 1, per link and direction.
        item: the message the arrays belong to.
        weights: the arrays; their buffers travel one after the other.
        pair: transfers of equal pairs keep their order.
        token: key of the hand-over within this process, None where it is sent.
        state: "queued" until it begins, "opened" until the receiver grants credit, "streaming",
            "sent" when the last byte left, "ended" when the receiver answered or it was given up.
        offset: bytes that left.
        received: bytes that the receiver has.
        allowed: bytes that the receiver takes.
        total: bytes of all buffers.
        begun: whether anything of it ever left, so that the receiver may have it.
    """

    number: int
    item: I
    weights: Sequence[Weights]
    pair: Hashable
    token: bytes | None = None
    begun: bool = False
    state: Literal["queued", "opened", "streaming", "sent", "ended"] = "queued"
    offset: int = 0
    received: int = 0
    allowed: int = 0
    total: int = 0
    _starts: list[int] = field(default_factory=list)
    _buffers: list[memoryview] = field(default_factory=list)

    def __post_init__(self) -> None:
        for weights in self.weights:
            self._starts.append(self.total)
            self._buffers.append(weights.buffer)
            self.total += weights.nbytes

    def piece(self, limit: int) -> memoryview:
        """The bytes from ``offset`` on, at most ``limit``, within one buffer."""
        # The last buffer that starts here or before; empty ones share their start with the next.
        index = bisect_right(self._starts, self.offset) - 1
        begin = self.offset - self._starts[index]
        return self._buffers[index][begin : begin + limit]

    def layouts(self) -> list[list[Any]]:
        """Name, dtype, shape and offset of each array, per ``Weights``."""
        return [list(weights.layout) for weights in self.weights]

    def forget(self) -> None:
        """Let the buffers go: the transfer is over."""
        self._buffers.clear()

    def body(self) -> bytes:
        """All bytes, one buffer after the other."""
        return b"".join(self._buffers)


class Transfer:
    """A transfer that was begun with ``Link.transfer``.

    Attributes:
        done: set to None when the receiver has passed it on; fails with ``TransferRefused``,
            ``MessageTooLarge`` or ``LinkClosed``. Cancelling it gives the transfer up; whether the
            receiver still gets it is then unknown.
    """

    __slots__ = ("_outgoing", "done")

    def __init__(self, outgoing: Outgoing[Any], done: asyncio.Future[None]) -> None:
        self._outgoing = outgoing
        self.done = done

    @property
    def number(self) -> int:
        """From 1, per link and direction; ``Lost.bulk`` names transfers by it."""
        return self._outgoing.number

    @property
    def begun(self) -> bool:
        """Whether anything of it has left; one that has not cannot have arrived."""
        return self._outgoing.begun

    @property
    def progress(self) -> int:
        """Bytes that the receiver has acknowledged."""
        return self.total if self._succeeded() else self._outgoing.received

    @property
    def total(self) -> int:
        """Bytes of the arrays."""
        return self._outgoing.total

    def _succeeded(self) -> bool:
        done = self.done
        return done.done() and not done.cancelled() and done.exception() is None

    def __repr__(self) -> str:
        state = self._outgoing.state
        if self.done.done():
            state = "done" if self._succeeded() else "failed"  # type: ignore[assignment]  # a word for people
        return f"<Transfer {self._outgoing.number} {state} {self.progress}/{self.total} bytes>"


@dataclass(frozen=True, slots=True)
class Piece(Generic[I]):
    """A piece to be sent: its transfer, its offset and its bytes."""

    transfer: Outgoing[I]
    offset: int
    data: memoryview


class Outbound(Generic[I]):
    """Decides what a link sends next.

    At most ``Limits.chunk * Limits.chunk_window`` bytes are unacknowledged over all transfers of
    the link, so a new transfer never waits behind more than that.

    Args:
        limits: bounds of the endpoint.
        hand_over: leaves a transfer's arrays for the peer within this process and returns the
            token, or None where they must be sent. Asked when a transfer begins.
    """

    def __init__(
        self, limits: Limits, hand_over: Callable[[Outgoing[I]], bytes | None] = lambda _: None
    ) -> None:
        self._limits = limits
        self._hand_over = hand_over
        self._window = limits.transfer_window
        self._last = 0
        self._pairs: dict[Hashable, deque[Outgoing[I]]] = {}
        # Pairs whose first transfer can do something, in turn.
        self._ready: deque[Hashable] = deque()
        self._begun: dict[int, Outgoing[I]] = {}
        self._queued = 0
        self._in_flight = 0
        #: The last parcel of this connection.
        self.parcel = Sent()

    def __len__(self) -> int:
        """Transfers that wait or are under way."""
        return self._queued + len(self._begun)

    def add(self, item: I, weights: Sequence[Weights], pair: Hashable) -> Outgoing[I]:
        """Queue a transfer behind those of its pair."""
        self._last += 1
        transfer = Outgoing(self._last, item, weights, pair)
        queue = self._pairs.get(pair)
        if queue is None:
            self._pairs[pair] = deque((transfer,))
            self._ready.append(pair)
        else:
            queue.append(transfer)
        self._queued += 1
        return transfer

    def next(self) -> Parcel[I] | Again[I] | Handover[I] | Open[I] | Piece[I] | None:
        """What to send now, None when there is nothing or no room."""
        while self._ready:
            pair = self._ready[0]
            queue = self._pairs[pair]
            transfer = queue[0]
            if transfer.state == "queued":
                return self._begin(transfer)
            room = self._window - self._in_flight
            limit = min(self._limits.chunk, transfer.allowed - transfer.offset)
            if transfer.state != "streaming" or limit <= 0:
                self._ready.popleft()  # credit makes it ready again
                continue
            data = transfer.piece(limit)
            if self._in_flight and data.nbytes > room:
                return None
            piece = Piece(transfer, transfer.offset, data)
            transfer.offset += data.nbytes
            self._in_flight += data.nbytes
            self._ready.popleft()
            if transfer.offset == transfer.total:
                transfer.state = "sent"
                self._advance(transfer)
            else:
                self._ready.append(pair)
            return piece
        return None

    def _begin(self, transfer: Outgoing[I]) -> Parcel[I] | Again[I] | Handover[I] | Open[I] | None:
        event: Parcel[I] | Again[I] | Handover[I] | Open[I]
        whole = True
        if transfer.token is None:
            transfer.token = self._hand_over(transfer)
        if transfer.token is not None:
            event = Handover(transfer.number, transfer.item, transfer.token)
        elif self.parcel.holds(transfer.weights):
            event = Again(transfer.number, transfer.item, self.parcel.number)
        elif transfer.total <= self._limits.inline:
            if self._in_flight and self._in_flight + transfer.total > self._window:
                return None
            event = Parcel(transfer.number, transfer.item, transfer.layouts(), transfer.body())
            transfer.offset = transfer.total
            self._in_flight += transfer.total
            self.parcel.left(transfer.number, transfer.weights)
        else:
            event = Open(transfer.number, transfer.item, transfer.layouts(), transfer.total)
            whole = False
        transfer.state = "sent" if whole else "opened"
        transfer.begun = True
        self._queued -= transfer.number not in self._begun
        self._begun[transfer.number] = transfer
        self._ready.popleft()
        if whole:
            self._advance(transfer)
        return event

    def _advance(self, transfer: Outgoing[I]) -> None:
        """The last byte of a pair's first transfer left, or it is over: the next one's turn."""
        queue = self._pairs.get(transfer.pair)
        if queue is None or queue[0] is not transfer:
            return
        queue.popleft()
        if queue:
            self._ready.append(transfer.pair)
        else:
            del self._pairs[transfer.pair]

    def credit(self, number: int, received: int, allowed: int) -> Outgoing[I] | None:
        """The receiver has ``received`` bytes and takes ``allowed``.

        Returns:
            The transfer, None when it is over.

        Raises:
            ProtocolError: reason "transfer": it has what was never sent, or takes more than all.
        """
        transfer = self._begun.get(number)
        if transfer is None:
            return None
        if transfer.state == "opened":
            # After a cut this is where the receiver stands.
            if not 0 <= received < transfer.total:
                raise ProtocolError("transfer", f"credit for byte {received} of {transfer.total}")
            transfer.offset = transfer.received = received
            transfer.state = "streaming"
        elif not transfer.received <= received <= transfer.offset:
            raise ProtocolError(
                "transfer",
                f"transfer {number} was acknowledged up to byte {received} of {transfer.offset} "
                "sent",
            )
        self._in_flight -= received - transfer.received
        transfer.received = received
        transfer.allowed = min(max(allowed, transfer.allowed), transfer.total)
        if transfer.state == "streaming" and transfer.pair not in self._ready:
            self._ready.append(transfer.pair)
        return transfer

    def end(self, number: int) -> Outgoing[I] | None:
        """The receiver has it all, or refused it, or the sender gives it up.

        Returns:
            The transfer, None when it was over already.
        """
        transfer = self._begun.pop(number, None)
        if transfer is None:
            return None
        self._in_flight -= transfer.offset - transfer.received
        self._leave(transfer)
        return transfer

    def withdraw(self, transfer: Outgoing[I]) -> bool:
        """The sender gives a transfer up.

        Returns:
            Whether it had begun, so that the receiver must be told.
        """
        if self.end(transfer.number) is not None:
            return True
        queue = self._pairs.get(transfer.pair)
        if transfer.state == "queued" and queue is not None and transfer in queue:
            self._queued -= 1
            self._leave(transfer)
        return False

    def _leave(self, transfer: Outgoing[I]) -> None:
        transfer.state = "ended"
        queue = self._pairs.get(transfer.pair)
        if queue is None or transfer not in queue:
            return
        if queue[0] is not transfer:
            queue.remove(transfer)
            return
        if transfer.pair in self._ready:
            self._ready.remove(transfer.pair)
        self._advance(transfer)

    def cut(self) -> None:
        """The connection is gone: everything begun begins again, in its order."""
        self.parcel.forget()
        self._in_flight = 0
        waiting: dict[Hashable, deque[Outgoing[I]]] = {}
        for transfer in sorted(self._begun.values(), key=lambda t: t.number):
            transfer.state = "queued"
            transfer.offset = transfer.received = transfer.allowed = 0
            waiting.setdefault(transfer.pair, deque()).append(transfer)
        for pair, queue in self._pairs.items():
            begun = waiting.setdefault(pair, deque())
            begun.extend(t for t in queue if t.number not in self._begun)
        self._pairs = waiting
        self._ready = deque(waiting)

    def close(self) -> tuple[list[Outgoing[I]], tuple[Range, ...], tuple[Range, ...]]:
        """The link has ended.

        Returns:
            All transfers that were not over, the ranges of numbers of those that had begun, and of
            those that were over.
        """
        begun = sorted(self._begun)
        transfers = [self._begun[number] for number in begun]
        for queue in self._pairs.values():
            transfers.extend(t for t in queue if t.number not in self._begun)
        for transfer in transfers:
            transfer.state = "ended"
        self._pairs.clear()
        self._ready.clear()
        self._begun.clear()
        self._queued = self._in_flight = 0
        over = ranges_without(sorted(t.number for t in transfers), self._last)
        return transfers, ranges_of(begun), over


@dataclass(slots=True, eq=False)
class Incoming(Generic[I]):
    """A large transfer on its way in.

    Attributes:
        number: the sender's number for it.
        item: the message the arrays belong to.
        layouts: one for each ``Weights``, checked.
        total: bytes of all buffers.
        buffer: where it lands, writable; None while it waits for memory.
        received: bytes that landed.
        allowed: bytes that the sender may send.
    """

    number: int
    item: I
    layouts: list[Layout]
    total: int
    buffer: memoryview | None = None
    received: int = 0
    allowed: int = 0

    def weights(self) -> list[Weights]:
        """The arrays, when all bytes have landed."""
        assert self.buffer is not None
        return cut_weights(self.layouts, self.buffer)


def check_layouts(layouts: Sequence[Sequence[Any]], total: int, limits: Limits) -> list[Layout]:
    """Refuse layouts from the wire that do not describe ``total`` bytes.

    Raises:
        ProtocolError: reason "layout" or "too large".
    """
    if not 0 <= total <= limits.max_transfer:
        raise ProtocolError(
            "too large",
            f"a transfer of {total} bytes exceeds max_transfer = {limits.max_transfer}",
        )
    if len(layouts) + sum(map(len, layouts)) > limits.max_arrays:
        raise ProtocolError("too large", f"more than {limits.max_arrays} arrays in one transfer")
    checked = [tuple(layout) for layout in layouts]
    left = total
    try:
        for layout in checked:
            left -= check_layout(layout, left, limits.max_arrays)
    except LayoutError as error:
        raise ProtocolError("layout", str(error)) from error
    if left:
        raise ProtocolError("layout", f"{left} of {total} bytes belong to no array")
    return checked


class Inbound(Generic[I]):
    """What a receiver knows of the transfers of one link.

    Args:
        limits: bounds of the endpoint.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._window = limits.transfer_window
        self._open: dict[int, Incoming[I]] = {}
        # Numbers that were passed on, newest last: after a cut the sender may begin them again. As
        # many as a sender may have under way are enough.
        self._delivered: dict[int, None] = {}
        # Transfers that received something since they were last granted credit, and how much.
        self._owed: dict[int, Incoming[I]] = {}
        self._owed_bytes = 0
        # What came last, and what it was checked to be: models come again and again.
        self._seen: tuple[int, Sequence[Sequence[Any]]] = (0, ())
        self._checked: list[Layout] = []
        self._parcel = Received()

    def __len__(self) -> int:
        """Transfers under way."""
        return len(self._open)

    def known(self, number: int) -> Incoming[I] | Literal["delivered"] | None:
        """A transfer that begins again after a cut, or "delivered", or None for a new one."""
        if number in self._delivered:
            return "delivered"
        return self._open.get(number)

    def delivered(self, number: int) -> None:
        """A transfer was passed on."""
        self._open.pop(number, None)
        self._owed.pop(number, None)
        self._delivered[number] = None
        if len(self._delivered) > 2 * self._limits.max_transfers:
            del self._delivered[next(iter(self._delivered))]

    def open(self, event: Open[I]) -> Incoming[I]:
        """A new large transfer.

        Raises:
            ProtocolError: reason "layout", "too large" or "transfer".
        """
        if len(self._open) >= self._limits.max_transfers:
            raise ProtocolError(
                "too large", f"more than {self._limits.max_transfers} transfers at a time"
            )
        if event.total < 1:
            raise ProtocolError("transfer", f"a large transfer of {event.total} bytes")
        layouts = self.layouts(event.layouts, event.total)
        incoming = Incoming(event.transfer, event.item, layouts, event.total)
        self._open[event.transfer] = incoming
        return incoming

    def layouts(self, stated: Sequence[Sequence[Any]], total: int) -> list[Layout]:
        """As ``check_layouts``.

        Raises:
            ProtocolError: reason "layout" or "too large".
        """
        seen = (total, stated)
        if seen != self._seen:
            self._checked = check_layouts(stated, total, self._limits)
            self._seen = seen
        return self._checked

    def parcel(self, event: Parcel[I]) -> list[Weights]:
        """The arrays of a small transfer.

        Raises:
            ProtocolError: reason "layout" or "too large".
        """
        self._parcel.forget()  # one that is refused is nobody's
        layouts = self.layouts(event.layouts, len(event.body))
        return self._parcel.came(event.transfer, layouts, event.body)

    def again(self, event: Again[I]) -> list[Weights]:
        """The same arrays as those of the last parcel, in the same memory.

        Raises:
            ProtocolError: reason "transfer": another parcel came last, or none.
        """
        return self._parcel.again(event.of)

    def landed(self, incoming: Incoming[I], buffer: memoryview) -> None:
        """Memory was found, or a new connection goes on with it: grant credit."""
        incoming.buffer = buffer
        self._grant(incoming)

    def cut(self) -> None:
        """The connection is gone; credit is granted when the sender begins again."""
        self._parcel.forget()
        self._owed.clear()
        self._owed_bytes = 0

    def _grant(self, incoming: Incoming[I]) -> None:
        incoming.allowed = min(incoming.total, incoming.received + self._window)

    def expect(self, number: int, offset: int) -> tuple[Incoming[I], memoryview]:
        """A piece is announced.

        Returns:
            Its transfer and the memory that it may fill.

        Raises:
            ProtocolError: reason "transfer".
        """
        incoming = self._open.get(number)
        if incoming is None or incoming.buffer is None:
            raise ProtocolError("transfer", f"a piece of transfer {number}, which is not open")
        if offset != incoming.received or offset >= incoming.allowed:
            raise ProtocolError(
                "transfer",
                f"a piece at byte {offset} of transfer {number}; {incoming.received} were received "
                f"and {incoming.allowed} are allowed",
            )
        return incoming, incoming.buffer[offset : incoming.allowed]

    def received(self, incoming: Incoming[I], nbytes: int) -> bool:
        """A piece of ``nbytes`` bytes was written where ``expect`` said.

        Returns:
            Whether the transfer is complete.

        Raises:
            ProtocolError: reason "transfer": it was empty or did not fit.
        """
        if not 0 < nbytes <= incoming.allowed - incoming.received:
            raise ProtocolError(
                "transfer", f"a piece of {nbytes} bytes of transfer {incoming.number}"
            )
        incoming.received += nbytes
        self._owed[incoming.number] = incoming
        self._owed_bytes += nbytes
        return incoming.received == incoming.total

    def pay(self, window: int) -> Iterable[Incoming[I]]:
        """Grant credit anew, once half of a window was used.

        A sender wakes up half as often as with credit for each piece. It cannot run dry: what it
        may not send for want of room is more than the other half, which pays when it arrives.

        Args:
            window: bytes that the sender keeps unacknowledged over all its transfers.

        Returns:
            The transfers whose credit must be told.
        """
        if self._owed_bytes * 2 < min(window, self._window):
            return ()
        owed, self._owed, self._owed_bytes = self._owed, {}, 0
        for incoming in owed.values():
            self._grant(incoming)
        return owed.values()

    def drop(self, number: int) -> Incoming[I] | None:
        """A transfer is refused or given up; its memory is free when this is forgotten."""
        self._owed.pop(number, None)
        return self._open.pop(number, None)

    def close(self) -> list[Incoming[I]]:
        """The link has ended; returns what was under way."""
        open_ = list(self._open.values())
        self._open.clear()
        return open_
