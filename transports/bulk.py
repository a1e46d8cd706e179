"""The bulk lane of one link: transfers out and in, between their pure state and the channel."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar
from zlib import crc32

from transports.channel import Channel
from transports.errors import LinkClosed, LinkFull, MessageTooLarge, ProtocolError, TransferRefused
from transports.handover import PROCESS
from transports.identity import NodeId
from transports.landing import LandingPool, LandingRequest
from transports.lane import Range
from transports.limits import Limits
from transports.rng import Rng
from transports.transfer import (
    Inbound,
    Incoming,
    Outbound,
    Outgoing,
    Piece,
    Transfer,
)
from transports.waiters import Waiters
from transports.weights import Weights
from transports.wire import (
    MAX_SENTENCE,
    REFUSALS,
    VERSION,
    Again,
    Cancel,
    Chunk,
    Credit,
    Done,
    Handover,
    Open,
    Parcel,
    Reject,
)

I = TypeVar("I")  # noqa: E741  (the item type of the floor above)

_logger = logging.getLogger("transports")

_EVENT_BYTES = 64
"""Bytes of an event without its item and body, by estimate; it only decides how events batch."""


class Bulk(Generic[I]):
    """Everything that one link does on its bulk lane.

    Args:
        node: this node.
        channel: the lane.
        limits: bounds of the endpoint.
        rng: tokens of hand-overs.
        landing: asks the floor above for the pool of an arriving transfer.
        deliver: passes an arrived transfer to the floor above; never raises.
        refused: counts a refusal under its reason.
        checksums: whether pieces leave with a checksum.
    """

    def __init__(
        self,
        node: NodeId,
        channel: Channel[Any],
        *,
        limits: Limits,
        rng: Rng,
        landing: Callable[[I, int], LandingPool],
        deliver: Callable[[I, list[Weights]], None],
        refused: Callable[[ProtocolError], None],
        checksums: bool = False,
    ) -> None:
        self.channel = channel
        self.same_process = False
        self.transfers_out = self.transfers_in = self.refused_out = 0
        self._node = node
        self._peer = channel.peer
        self._limits = limits
        self._rng = rng
        self._landing = landing
        self._deliver = deliver
        self._refused = refused
        self._checksums = checksums
        self._loop = asyncio.get_running_loop()
        self._outbound: Outbound[I] = Outbound(limits, self._hand_over)
        self._inbound: Inbound[I] = Inbound(limits)
        self._futures: dict[int, asyncio.Future[None]] = {}
        self._requests: dict[int, tuple[LandingPool, LandingRequest]] = {}
        self._sizes: dict[int, int] = {}
        self._waiters = Waiters()
        self._closed_because: str | None = None

    @property
    def outgoing(self) -> int:
        """Transfers that wait or are under way to the peer."""
        return len(self._outbound)

    @property
    def incoming(self) -> int:
        """Transfers under way from the peer."""
        return len(self._inbound)

    # Sending

    def transfer(
        self,
        item: I,
        weights: Sequence[Weights],
        nbytes: int,
        pair: Hashable,
        failed: Callable[[Transfer], None] | None = None,
    ) -> Transfer:
        """Begin a transfer; see ``Link.transfer``."""
        if self._closed_because is not None:
            raise LinkClosed(f"the link to {self._peer} has ended: {self._closed_because}")
        arrays = sum(map(len, weights)) + len(weights)
        size = nbytes + 2 * _EVENT_BYTES * (arrays + 1)
        if 2 * (size + self._limits.inline) > self._limits.max_frame:
            raise MessageTooLarge(
                f"a transfer to {self._peer} with an item of {nbytes} bytes and {arrays} arrays "
                f"has a header that no frame of max_frame = {self._limits.max_frame} holds"
            )
        if not self._has_room():
            raise LinkFull(
                f"{len(self._outbound)} transfers to {self._peer} wait or are under way: wait for "
                "one of them to be done"
            )
        outgoing = self._outbound.add(item, weights, pair)
        done: asyncio.Future[None] = self._loop.create_future()
        self._futures[outgoing.number] = done
        self._sizes[outgoing.number] = size
        transfer = Transfer(outgoing, done)
        done.add_done_callback(partial(self._settled, outgoing, transfer, failed))
        self.pump()
        return transfer

    def _has_room(self) -> bool:
        return len(self._outbound) < self._limits.max_transfers

    async def drain(self) -> None:
        """Wait until there is room for a transfer; yields to the loop at least once.

        Raises:
            LinkClosed: the link has ended.
        """
        await asyncio.sleep(0)
        while self._closed_because is None and not self._has_room():
            await self._waiters.wait()
        if self._closed_because is not None:
            raise LinkClosed(f"the link to {self._peer} has ended: {self._closed_because}")

    def _hand_over(self, outgoing: Outgoing[I]) -> bytes | None:
        if not self.same_process or len(PROCESS) >= self._limits.max_handovers:
            return None
        token = self._rng.bits(128).to_bytes(16, "big")
        PROCESS.put(token, self._node, self._peer, outgoing.weights)
        return token

    def _settled(
        self,
        outgoing: Outgoing[I],
        transfer: Transfer,
        failed: Callable[[Transfer], None] | None,
        done: asyncio.Future[None],
    ) -> None:
        self._futures.pop(outgoing.number, None)
        self._sizes.pop(outgoing.number, None)
        outgoing.weights = ()
        outgoing.forget()
        if outgoing.token is not None:
            PROCESS.discard(outgoing.token)
        # Seeing what went wrong: a sender may well not care.
        wrong = done.cancelled() or done.exception() is not None
        if done.cancelled() and self._outbound.withdraw(outgoing):
            self._tell(Cancel(outgoing.number))
            self.pump()
        if self._waiters.futures and self._has_room():
            self._waiters.wake()
        if wrong and failed is not None:
            failed(transfer)

    def pump(self) -> None:
        """Send what may be sent now."""
        channel = self.channel
        while channel.state == "up":
            step = self._outbound.next()
            if step is None:
                return
            if isinstance(step, Piece):
                chunk = Chunk(
                    VERSION,
                    channel.epoch,
                    self._peer.incarnation,
                    step.transfer.number,
                    step.offset,
                    crc32(step.data) if self._checksums else None,
                )
                channel.send_chunk(chunk, step.data)
            else:
                body = len(step.body) if isinstance(step, Parcel) else 0
                channel.send(step, self._sizes.get(step.transfer, _EVENT_BYTES) + body)

    def _tell(self, event: object) -> None:
        if self.channel.state != "closed":
            self.channel.send(event, _EVENT_BYTES)

    def _end(self, number: int, error: Exception | None) -> None:
        if error is not None:
            self._outbound.parcel.forget()
        if self._outbound.end(number) is None:
            return
        done = self._futures.get(number)
        if done is not None and not done.done():
            if error is None:
                self.transfers_out += 1
                done.set_result(None)
            else:
                self.refused_out += 1
                done.set_exception(error)
        self.pump()

    def undeliverable(self, event: object, why: str) -> None:
        """The channel dropped an event: its transfer cannot be."""
        if isinstance(event, Parcel | Again | Handover | Open):
            self._end(event.transfer, MessageTooLarge(f"a transfer to {self._peer} {why}"))

    # Receiving

    def on_event(self, event: Any) -> None:
        """An event of the peer.

        Raises:
            ProtocolError: what it says cannot be; the caller counts it.
        """
        match event:
            case Credit():
                if self._outbound.credit(event.transfer, event.received, event.allowed):
                    self.pump()
            case Done():
                self._end(event.transfer, None)
            case Reject():
                code = event.code if event.code in REFUSALS else "transfer"
                reason = event.sentence[:MAX_SENTENCE]
                self._end(
                    event.transfer,
                    TransferRefused(f"{self._peer} refused a transfer ({code}): {reason}"),
                )
            case Cancel():
                self._forget(event.transfer)
            case Parcel() | Again() | Handover() | Open():
                try:
                    self._arrive(event)
                except ProtocolError as error:
                    self._reject(event.transfer, error)

    def _arrive(self, event: Parcel[I] | Again[I] | Handover[I] | Open[I]) -> None:
        number = event.transfer
        known = self._inbound.known(number)
        if known == "delivered":
            if isinstance(event, Parcel):  # others may refer to it
                self._inbound.parcel(event)
            self._tell(Done(number))
        elif isinstance(event, Open):
            if known is None:
                self._open(event)
            elif known.buffer is not None:
                self._inbound.landed(known, known.buffer)
                self._tell(Credit(number, known.received, known.allowed))
        elif isinstance(event, Parcel):
            self._pass_on(number, event.item, self._inbound.parcel(event))
        elif isinstance(event, Again):
            self._pass_on(number, event.item, self._inbound.again(event))
        else:
            weights = PROCESS.take(event.token, self._peer, self._node)
            if weights is None:
                raise ProtocolError("hand-over", "no arrays wait in this process under this token")
            self._pass_on(number, event.item, weights)

    def _open(self, event: Open[I]) -> None:
        incoming = self._inbound.open(event)
        try:
            pool = self._landing(event.item, event.total)
        except Exception as error:
            self._inbound.drop(event.transfer)
            _logger.exception("no landing pool for a transfer of %s", self._peer)
            raise ProtocolError("handler", f"the receiver has no place for it: {error}") from error
        if event.total > pool.max_bytes:
            self._inbound.drop(event.transfer)
            raise ProtocolError(
                "too large",
                f"{event.total} bytes exceed the {pool.max_bytes} of the landing pool",
            )
        request = LandingRequest(event.total, partial(self._landed, incoming))
        self._requests[event.transfer] = (pool, request)
        pool.request(request, partial(self._wake, pool))

    def _wake(self, pool: LandingPool) -> None:
        try:
            self._loop.call_soon_threadsafe(pool.serve)
        except RuntimeError:
            _logger.debug("a landing buffer came back after its loop was closed")

    def _landed(self, incoming: Incoming[I], buffer: memoryview) -> None:
        self._requests.pop(incoming.number, None)
        self._inbound.landed(incoming, buffer)
        self._tell(Credit(incoming.number, 0, incoming.allowed))

    def arriving(self, number: int) -> I | None:
        """The message of a transfer that is under way; None where there is none."""
        known = self._inbound.known(number)
        return known.item if isinstance(known, Incoming) else None

    def expect(self, chunk: Chunk) -> tuple[Incoming[I], memoryview]:
        """The memory that an announced piece may fill.

        Raises:
            ProtocolError: it does not fit the transfer.
        """
        return self._inbound.expect(chunk.transfer, chunk.offset)

    def on_piece(self, incoming: Incoming[I], nbytes: int) -> None:
        """A piece was written."""
        self.channel.bytes_in += nbytes
        number = incoming.number
        try:
            complete = self._inbound.received(incoming, nbytes)
        except ProtocolError as error:
            self._reject(number, error)
            return
        if not complete:
            for each in self._inbound.pay(self.channel.peer_window):
                self._tell(Credit(each.number, each.received, each.allowed))
            self.channel.flush()
            return
        weights = incoming.weights()
        # From here on only the weights hold the buffer, so that releasing them frees it.
        incoming.buffer = None
        self._pass_on(number, incoming.item, weights)

    def _pass_on(self, number: int, item: I, weights: list[Weights]) -> None:
        self._inbound.delivered(number)
        self.transfers_in += 1
        self._deliver(item, weights)
        self._tell(Done(number))

    def _reject(self, number: int, error: ProtocolError) -> None:
        self._forget(number)
        self._refused(error)
        self._tell(Reject(number, error.reason, str(error)[:MAX_SENTENCE]))

    def _forget(self, number: int) -> None:
        incoming = self._inbound.drop(number)
        if incoming is not None:
            incoming.buffer = None
        waiting = self._requests.pop(number, None)
        if waiting is not None:
            pool, request = waiting
            request.withdraw()
            pool.serve()

    # Connections

    def up(self) -> None:
        """The lane has a connection: go on where the last one ended."""
        self.channel.flush()
        self.pump()

    def down(self) -> None:
        """The lane's connection is gone; what was under way will begin again."""
        self._outbound.cut()
        self._inbound.cut()
        # Events of the old connection: those of transfers come again, credit is asked for anew.
        self.channel.discard_queue()

    def close(self, reason: str) -> tuple[tuple[Range, ...], tuple[Range, ...]]:
        """The link has ended: every transfer fails, every landing buffer is given back.

        Returns:
            Ranges of the numbers of transfers that had begun, and of those that were over.
        """
        self._closed_because = reason
        unfinished, lost, over = self._outbound.close()
        for outgoing in unfinished:
            done = self._futures.get(outgoing.number)
            if done is not None and not done.done():
                done.set_exception(
                    LinkClosed(f"the link to {self._peer} ended during a transfer: {reason}")
                )
        for incoming in self._inbound.close():
            self._forget(incoming.number)
        for number in list(self._requests):
            self._forget(number)
        self._waiters.wake()
        return lost, over
