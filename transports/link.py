"""A link: everything between this node and one incarnation of a peer, both lanes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, Literal, Protocol, TypeVar
from zlib import crc32

from transports.address import LANES, Lane
from transports.bulk import Bulk
from transports.channel import Channel
from transports.clock import Clock
from transports.errors import DamagedFrame, ProtocolError
from transports.identity import NodeId
from transports.landing import LandingPool
from transports.lane import Lost
from transports.limits import Limits
from transports.ownchannel import OwnChannel
from transports.rng import Rng
from transports.statistics import LaneStatistics, LinkStatistics
from transports.transfer import Transfer
from transports.weights import Weights
from transports.wire import MAX_BATCH, Batch, Chunk, Codec

I = TypeVar("I")  # noqa: E741  (the item type of the floor above)

_logger = logging.getLogger("transports")

_HANDLER_FAILED = "the handler of %s failed on the link to %s"

_UNLIMITED = 1 << 62
"""Bound of the bulk lane's events, together and each: transfers have bounds of their own."""


_EVENT_ACK_DELAY = 0.1
"""Seconds. Transfers have answers of their own; acknowledging their events only lets the sender
forget them, and sooner would wake both sides in the middle of a large one."""


class Handler(Protocol[I]):
    """What the floor above gives an endpoint. Called on the loop's thread; must not block.

    Exceptions are logged and counted; they never stop the reader.
    """

    def admit(self, peer: NodeId) -> str | None:
        """Whether an unexpected peer may link up: None, or the sentence that refuses it."""
        ...

    def on_up(self, link: Link[I]) -> None:
        """The link's control lane has a connection, the first or a new one."""
        ...

    def on_down(self, link: Link[I], reason: str, lost: Lost) -> None:
        """The link went down or has ended; ``link.state`` tells which.

        Called once for each change of the state to "down" and once when it becomes "closed".

        Args:
            link: the link.
            reason: why, a sentence for people; a refusal by the peer is quoted.
            lost: what left and was not acknowledged since the last call.
        """
        ...

    def on_items(self, link: Link[I], items: list[I]) -> None:
        """Messages arrived, in order."""
        ...

    def landing(self, link: Link[I], item: I, nbytes: int) -> LandingPool:
        """Which pool lands this transfer of ``nbytes`` bytes; one that is too small refuses it."""
        ...

    def on_transfer(self, link: Link[I], item: I, weights: list[Weights]) -> None:
        """A transfer arrived as a whole; the receiver releases the weights when it is done."""
        ...


class Link(Generic[I]):
    """The link to one incarnation of a peer. Made by ``Endpoint.dial`` and ``Endpoint.expect``.

    States: "connecting" until the first connection; "up"; "down" while the connection is made
    anew; "closed" for good. Messages sent while it is not up queue within the window.

    Args:
        node: this node.
        peer: the other end.
        handler: the floor above.
        codecs: control and bulk.
        clock: timers.
        rng: tokens.
        limits: bounds.
        broken: told when a lane's connection turned out to be gone.
        count_refused: counts a refusal at the endpoint.
        count_error: counts an exception of the handler at the endpoint.
        checksums: whether pieces of transfers leave with a checksum.
        simulated: whether its sockets are.
    """

    def __init__(
        self,
        node: NodeId,
        peer: NodeId,
        handler: Handler[I],
        codecs: tuple[Codec[Any], Codec[Any]],
        *,
        clock: Clock,
        rng: Rng,
        limits: Limits,
        broken: Callable[[Link[I], Lane, str], None],
        count_refused: Callable[[str], None],
        count_error: Callable[[], None],
        checksums: bool = False,
        simulated: bool = False,
    ) -> None:
        self.peer = peer
        self.state: Literal["connecting", "up", "down", "closed"] = "connecting"
        self.local = node == peer
        #: Of the link of a node to itself, for a sender that lets the last of its queue grow.
        self.own: Channel[I] | None = None
        #: Why it is not up: what the last connection ended with, or the last attempt at one.
        self.trouble: str | None = None
        self._node = node
        self._incarnation = node.incarnation
        self._handler = handler
        self._on_items = handler.on_items
        self._count_refused = count_refused
        self._count_error = count_error
        self._refused: Counter[str] = Counter()
        self._control = self._make_control(codecs[0], clock, limits, broken, simulated)
        events: Channel[Any] = Channel(
            "bulk",
            peer,
            codecs[1],
            clock=clock,
            limits=limits,
            window=_UNLIMITED,
            max_message=_UNLIMITED,
            ack_delay=_EVENT_ACK_DELAY,
            broken=lambda reason: broken(self, "bulk", reason),
            undeliverable=self._undeliverable,
            acknowledges=not self.local,
        )
        self._bulk: Bulk[I] = Bulk(
            node,
            events,
            limits=limits,
            rng=rng,
            landing=lambda item, nbytes: handler.landing(self, item, nbytes),
            deliver=lambda item, weights: self._call(handler.on_transfer, self, item, weights),
            refused=self.refuse,
            checksums=checksums,
        )

    def _make_control(
        self,
        codec: Codec[Any],
        clock: Clock,
        limits: Limits,
        broken: Callable[[Link[I], Lane, str], None],
        simulated: bool,
    ) -> Channel[I]:
        options: dict[str, Any] = {
            "clock": clock,
            "limits": limits,
            "window": limits.control_window,
            "max_message": limits.max_message,
            "ack_delay": limits.ack_delay,
            "broken": lambda reason: broken(self, "control", reason),
            "acknowledges": not self.local,
        }
        if self.local and not simulated:
            self.own = OwnChannel("control", self.peer, codec, deliver=self._deliver, **options)
            return self.own
        channel: Channel[I] = Channel("control", self.peer, codec, **options)
        self.own = channel if self.local else None
        return channel

    # For the floor above

    def send(self, item: I, nbytes: int) -> None:
        """Send a message on the control lane, at most once, in order.

        The first one of a loop tick leaves at once, the others together at the tick's end.

        Args:
            item: the message; must not change afterwards.
            nbytes: its encoded size in bytes, by estimate, >= 0; the window counts it.

        Raises:
            LinkFull: the window is used up; nothing was sent.
            MessageTooLarge: ``nbytes`` exceeds ``Limits.max_message``; nothing was sent.
            LinkClosed: the link has ended; nothing was sent.
        """
        control = self._control
        enqueued = control.enqueued + nbytes
        if enqueued > control.soft:
            control.send_carefully(item, nbytes)
        else:
            control.enqueued = enqueued
            control.queue.append(item)

    def transfer(
        self,
        item: I,
        weights: Sequence[Weights],
        nbytes: int,
        *,
        pair: Hashable,
        failed: Callable[[Transfer], None] | None = None,
    ) -> Transfer:
        """Send a message with arrays on the bulk lane; they arrive together or not at all.

        Args:
            item: the message; must not change afterwards.
            weights: its arrays; nothing is copied, and releasing them early is safe.
            nbytes: encoded size of the item alone in bytes, by estimate.
            pair: sender and receiver, in any hashable form; transfers of one pair arrive in order,
                pairs take turns.
            failed: called when its ``done`` failed or was cancelled, a turn of the loop later.

        Returns:
            The transfer; its ``done`` is awaitable.

        Raises:
            LinkFull: ``Limits.max_transfers`` are waiting or under way; nothing was sent.
            MessageTooLarge: the item and the arrays' names do not fit into one frame.
            LinkClosed: the link has ended.
        """
        return self._bulk.transfer(item, weights, nbytes, pair, failed)

    async def drain(self, lane: Lane = "control") -> None:
        """Wait until a lane has room.

        Yields to the loop at least once, so what was sent in this tick leaves.

        Args:
            lane: "control", until its window is at most half full, or "bulk", until less than
                ``Limits.max_transfers`` are waiting or under way.

        Raises:
            LinkClosed: the link has ended.
        """
        await (self._control if lane == "control" else self._bulk).drain()

    def statistics(self) -> LinkStatistics:
        """What this link did and holds."""
        bulk = self._bulk
        return LinkStatistics(
            peer=self.peer,
            state=self.state,
            trouble=self.trouble,
            control=_lane_statistics(self._control),
            bulk=_lane_statistics(bulk.channel),
            transfers_out=bulk.transfers_out,
            transfers_in=bulk.transfers_in,
            transfers_refused=bulk.refused_out,
            outgoing=bulk.outgoing,
            incoming=bulk.incoming,
            refused=dict(self._refused),
        )

    # For the endpoint

    def channel(self, lane: Lane) -> Channel[Any]:
        """The channel of a lane."""
        return self._control if lane == "control" else self._bulk.channel

    @property
    def idle(self) -> bool:
        """Whether all messages were acknowledged and all transfers answered."""
        bulk = self._bulk
        return self._control.idle and not bulk.outgoing and not bulk.channel.queue

    def hurry(self) -> None:
        """See that what was sent is acknowledged at once, where the peer is there."""
        if not self._control.idle:
            self._control.hurry()

    def share_memory(self) -> None:
        """The peer is in this process: arrays are handed over instead of sent."""
        self._bulk.same_process = True

    def refuse(self, error: ProtocolError) -> None:
        """Count something refused from this peer."""
        self._refused[error.reason] += 1
        self._count_refused(error.reason)

    def on_control(self, batch: Batch[I], size: int) -> None:
        """A batch of the control lane arrived.

        Raises:
            ProtocolError: it is refused.
        """
        control = self._control
        if (
            batch.epoch != control.epoch
            or batch.to != self._incarnation
            or control.state != "up"
        ):  # fmt: skip
            control.check(batch.epoch, batch.to, self._node)
        receiving, items = control.receiving, batch.items
        count = len(items)
        if batch.first == receiving.last + 1 and 0 < count <= MAX_BATCH and control.acknowledges:
            # As nearly always: as control.receive, without the call.
            sending, ack = control.sending, batch.ack
            if ack > sending.acked:
                sending.acknowledge(ack)
                if control.waiters.futures:
                    control.wake_for_room()
            control.batches_in += 1
            control.bytes_in += size
            receiving.last += count
        else:
            items = control.receive(batch, size)
            if not items:
                return
        on_items = self._on_items
        try:  # as _deliver, without the call
            on_items(self, items)
        except Exception:
            self._count_error()
            _logger.exception(_HANDLER_FAILED, self._node, self.peer)
        # An answer may have taken the acknowledgement along, and the handler have ended this very
        # link.
        if not control.acknowledges:
            if control.state != "closed":
                control.received(size)
        elif receiving.acked != receiving.last and control.state != "closed":
            # As control.received, without the call, where an acknowledgement is to come already.
            unacknowledged = control.unacknowledged
            if unacknowledged and unacknowledged + size < control.ack_bytes:
                control.unacknowledged = unacknowledged + size
            else:
                control.received(size)

    def _deliver(self, items: list[I]) -> None:
        on_items = self._on_items
        try:  # as _call, without the call
            on_items(self, items)
        except Exception:
            self._count_error()
            _logger.exception(_HANDLER_FAILED, self._node, self.peer)

    def arriving(self, transfer: int) -> I | None:
        """The message of a transfer of the peer's that is under way; None where there is none."""
        return self._bulk.arriving(transfer)

    def on_bulk(self, batch: Batch[Any], size: int) -> None:
        """A batch of the bulk lane arrived.

        Raises:
            ProtocolError: it is refused.
        """
        channel = self._bulk.channel
        channel.check(batch.epoch, batch.to, self._node)
        items = channel.receive(batch, size)
        for event in items:
            if channel.state == "closed":  # by the handler of an event before this one
                return
            try:
                self._bulk.on_event(event)
            except ProtocolError as error:
                self.refuse(error)
        if items and channel.state != "closed":
            channel.received(size)

    def on_chunk(self, chunk: Chunk, size: int, read: Callable[[memoryview], int]) -> None:
        """A piece of a transfer is next in the socket.

        Args:
            chunk: its header.
            size: bytes of the header.
            read: fills memory with it and returns its true size.

        Raises:
            ProtocolError: it is refused; nothing was read, or it is damaged.
        """
        self._bulk.channel.check(chunk.epoch, chunk.to, self._node)
        incoming, memory = self._bulk.expect(chunk)
        self._bulk.channel.bytes_in += size
        nbytes = read(memory)
        intact = (
            chunk.checksum is None  # one that is too long is refused as that
            or nbytes > memory.nbytes
            or crc32(memory[:nbytes]) == chunk.checksum
        )
        del memory  # or the landing buffer would not be free when the handler releases it
        if not intact:
            raise DamagedFrame(f"the checksum of a piece of transfer {chunk.transfer} does not fit")
        self._bulk.on_piece(incoming, nbytes)

    def came_up(self, lane: Lane) -> None:
        """A lane's channel is up: send what has queued, and tell the floor above."""
        if lane == "bulk":
            self._bulk.up()
            return
        self.state = "up"
        self.trouble = None
        if not self.local:
            self._call(self._handler.on_up, self)
        self._control.flush()

    def went_down(self, lane: Lane, reason: str) -> None:
        """A lane's connection is gone."""
        if self.state == "closed":
            return
        if lane == "bulk":
            self._bulk.channel.down()
            self._bulk.down()
            return
        self.trouble = reason
        lost = self._control.down()
        if self.state == "up":
            self.state = "down"
            self._call(
                self._handler.on_down, self, reason, Lost(control=() if lost is None else (lost,))
            )

    def close(self, reason: str, *, bye: bool = False) -> Lost:
        """End for good.

        Args:
            reason: why, a sentence; transfers and waiting drains fail with it.
            bye: whether to tell the peer.

        Returns:
            What was lost.
        """
        if self.state == "closed":
            return Lost()
        if bye and not self.local:
            lanes = [lane for lane in LANES if self.channel(lane).state == "up"]
            if lanes:
                self._bulk.channel.flush()
                self.channel(lanes[0]).bye(reason)
        self.state = "closed"
        items = tuple(self._control.queue)
        self._control.queue.clear()
        control = self._control.close(reason)
        upto = self._control.sending.last if control is None else control[0] - 1
        self._bulk.channel.close(reason)
        begun, over = self._bulk.close(reason)
        lost = Lost(
            control=() if control is None else (control,),
            bulk=begun,
            unsent=len(items),
            items=items,
            taken_control=((1, upto),) if upto else (),
            taken_bulk=over,
        )
        if not self.local:
            self._call(self._handler.on_down, self, reason, lost)
        return lost

    def _undeliverable(self, event: object, why: str) -> None:
        self._bulk.undeliverable(event, why)

    def _call(self, function: Callable[..., object], *args: object) -> None:
        try:
            function(*args)
        except Exception:
            self._count_error()
            _logger.exception(_HANDLER_FAILED, self._node, self.peer)

    def __repr__(self) -> str:
        control = self._control
        return (
            f"<Link {self._node} to {self.peer} {self.state} epoch={control.epoch} "
            f"held={control.enqueued - control.sending.acked_bytes}/{control.window} "
            f"transfers={self._bulk.outgoing}/{self._bulk.incoming}>"
        )


def _lane_statistics(channel: Channel[Any]) -> LaneStatistics:
    sending, receiving = channel.sending, channel.receiving
    return LaneStatistics(
        state=channel.state,
        epoch=channel.epoch,
        messages_out=sending.last + channel.joined,
        messages_in=receiving.last - receiving.missed + channel.joined,
        batches_out=channel.batches_out,
        batches_in=channel.batches_in,
        bytes_out=channel.bytes_out,
        bytes_in=channel.bytes_in,
        queued=len(channel.queue),
        unacknowledged=sending.last - sending.acked,
        held=channel.enqueued - sending.acked_bytes,
        window=channel.window,
        lost=sending.lost,
        missed=receiving.missed,
        dropped=channel.dropped,
    )
