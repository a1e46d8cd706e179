"""Where nodes are, and how items get to them and come in."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from actors import item as wire
from actors.events import Unacknowledged
from actors.faults.parcel import Parcel
from actors.faults.tally import encoded
from actors.handling import Envelope
from actors.item import ASK, REPLY, TELL, TELLS, Item, Refusal, tag_of
from actors.message import Lane
from actors.runs import items_of
from actors.signalling import MAX_UNACKNOWLEDGED, Signalling
from actors.signals import AnySignal, Dial
from transports import (
    Channel,
    Endpoint,
    LandingPool,
    Link,
    LinkClosed,
    LinkFull,
    Lost,
    MessageTooLarge,
    NodeId,
    NoisyEndpoint,
    Timer,
    Transfer,
    Weights,
)

if TYPE_CHECKING:
    from actors.system import ActorSystem

_log = logging.getLogger("actors.router")
_signal_encoder = msgspec.msgpack.Encoder()
_signal_decoder: msgspec.msgpack.Decoder[AnySignal] = msgspec.msgpack.Decoder(AnySignal)

#: Seconds until a signal that was not acknowledged goes again, the first time and at the most; on a
#: link that works an acknowledgement takes a tick of the peer's loop.
RESEND_FIRST = 0.25
RESEND_LAST = 4.0
#: Signals that go again at once: the oldest ones open the way for the rest.
RESEND_AT_ONCE = 100


class Router:
    """The links of one node by node name; the transports' handler.

    Who dials: a node dials its launcher; of two others the one with the lower name does, and is
    told to through the launcher when the other needs it.
    """

    def __init__(self, system: ActorSystem, endpoint_args: dict[str, object]) -> None:
        self._system = system
        self.node: NodeId = system.node
        noise = system.world.noise
        if noise is not None:
            noise.path = self._path
            endpoint_args = {**endpoint_args, "noise": noise}
        self.endpoint: Endpoint[Item] = (Endpoint if noise is None else NoisyEndpoint)(
            system.node,
            item=Item,
            handler=self,
            **endpoint_args,  # type: ignore[arg-type]  # checked where it is built
        )
        #: Name of a node to its current incarnation and address.
        self.directory: dict[str, tuple[NodeId, str]] = {}
        self.launcher: str | None = None
        self._links: dict[str, Link[Item]] = {}
        self._signalling: dict[NodeId, Signalling] = {}
        self._acks: set[NodeId] = set()
        self._resends: dict[NodeId, Timer] = {}
        #: Peers that stopped acknowledging signals and are being quarantined.
        self._silent: set[NodeId] = set()
        self._closing = False
        #: The peer that is being declared dead with what its mailboxes held.
        self._dying: NodeId | None = None
        #: Those who wait for room: who asks or answers there has to queue behind them.
        self.queues: dict[tuple[Link[Item], Lane], _Queue] = {}
        #: Grows with each change of the links: what was looked up before may not hold any more.
        self.changes = 0
        self.pool = LandingPool()
        #: Called when a node has answered a heartbeat, with what it tells of its faults.
        self.on_heartbeat: Callable[[NodeId, bytes], None] | None = None

    # -- out -----------------------------------------------------------------------------------

    def link_to(self, node: str) -> Link[Item] | None:
        """The link to a node by name, made where it is missing; None for an unknown node."""
        if node == self.node.name:
            return self.endpoint.local
        link = self._links.get(node)
        if link is not None and link.state != "closed":
            return link
        self.changes += 1
        entry = self.directory.get(node)
        if entry is None:
            return None
        peer, address = entry
        if node == self.launcher or (self.launcher is not None and self.node.name < node):
            link = self.endpoint.dial(peer, address)
        else:
            link = self.endpoint.expect(peer)
            if self.launcher is not None:
                self.signal(self.launcher, 0, Dial(node, self.node.name))
        self._links[node] = link
        return link

    def is_up(self, node: str) -> bool:
        """Whether a node of that name is known and not known to be dead."""
        return node == self.node.name or node in self.directory

    def put(
        self, link: Link[Item], item: Item, arrays: Sequence[Weights], *, bulk: bool
    ) -> Transfer | None:
        """Hand an item to a link.

        Returns:
            The transfer, on the bulk lane.

        Raises:
            LinkFull: the window is full.
            LinkClosed: the link has ended.
        """
        size = len(item.body) + wire.OVERHEAD
        if not bulk and not arrays:
            link.send(item, size)
            return None
        return link.transfer(
            item, arrays, size, pair=(item.sender, item.to),
            failed=lambda transfer: self._not_transferred(link, transfer, item),
        )  # fmt: skip

    async def put_when_there_is_room(
        self,
        link: Link[Item],
        item: Callable[[], Item],
        arrays: Sequence[Weights],
        lane: Lane,
    ) -> Transfer | None:
        """Hand an item to a link that was full, in the order of these calls.

        Args:
            link: to its node.
            item: makes it when there is room.
            arrays: go with it.
            lane: that it travels on.

        Returns:
            The transfer, on the bulk lane.

        Raises:
            LinkClosed: the link has ended.
        """
        # In a queue: all of them woken at once would cost their square, and change their order.
        queue = self.queues.setdefault((link, lane), _Queue())
        queue.length += 1
        try:
            async with queue.lock:
                await link.drain(lane)  # there is room for any one item then
                return self.put(link, item(), arrays, bulk=lane == "bulk")
        finally:
            queue.length -= 1
            if not queue.length:
                del self.queues[link, lane]

    def _not_transferred(self, link: Link[Item], transfer: Transfer, item: Item) -> None:
        future = transfer.done
        if future.cancelled():
            error: BaseException = LinkClosed("its sender gave the transfer up")
            if transfer.begun:
                self._account(link, ((), ((transfer.number, transfer.number),)), str(error))
        else:
            failed = future.exception()
            assert failed is not None  # else this is not called
            error = failed
        if isinstance(error, LinkClosed) and transfer.begun:
            # It may have arrived, so it is no dead letter: its number is in a range.
            if item.kind == wire.ASK:
                self._system.asks.lost_one(item.ask, str(error))
        else:
            self._never_left(link, item, str(error))

    def _never_left(self, link: Link[Item], item: Item, reason: str) -> None:
        """Account for what is known not to have reached anybody."""
        if item.kind == wire.ASK:
            sentence = f"{tag_of(item.body)} did not leave for node {link.peer.name}: {reason}"
            self._system.asks.refused(item.ask, Refusal("unreachable", sentence))
        if item.kind in (wire.TELL, wire.ASK):
            self._system.dead_letter(self._system.paths.name(item.to, link.peer.name), item, reason)
        elif item.kind == REPLY:  # the asker would wait for it until its deadline
            cell = self._system.cells.get(item.sender)
            who = cell.path if cell is not None else f"an actor of {self.node}"
            refusal = Refusal("failed", f"the reply of {who} cannot be sent: {reason}")
            self._system.answer(Envelope(item, (), link, 0.0), wire.FAILED, refusal)

    def _account(
        self,
        link: Link[Item],
        numbers: tuple[Sequence[tuple[int, int]], Sequence[tuple[int, int]]],
        reason: str,
        *,
        taken: bool = False,
    ) -> None:
        """Publish the numbers, of the control and of the bulk lane, of which no more is known."""
        for lane, ranges in zip(("control", "bulk"), numbers, strict=True):
            for first, last in ranges:
                self._system.events.publish(
                    Unacknowledged(
                        node=link.peer.name,
                        incarnation=link.peer.incarnation,
                        lane=lane,
                        first=first,
                        last=last,
                        count=last - first + 1,
                        taken=taken,
                        reason=reason,
                    )
                )

    def signal(self, node: str, to: int, signal: AnySignal) -> None:
        """Send a system signal to an actor (or, with 0, the node itself) of another node.

        Raises:
            MessageTooLarge: it holds more than the control lane takes.
        """
        link = self.link_to(node)
        if link is None:
            _log.debug("%s: no node %s for %r", self.node, node, signal)
            return
        channel = self._channel(link.peer)
        if channel.exhausted:
            self._give_up(link.peer)
            return
        body = _signal_encoder.encode(signal)
        size, most = len(body) + wire.OVERHEAD, self._system.world.limits.max_message
        if size > most:  # before it is numbered: those behind it would wait for it for ever
            msg = (
                f"the signal {type(signal).__name__} to {node} takes {size} bytes and exceeds the "
                f"{most} of the control lane: keep what it carries small"
            )
            raise MessageTooLarge(msg)
        number = channel.send(to, body)
        if channel.wired == number - 1 and self._send_signal(link, number, body, to):
            channel.wired = number
        if link.peer not in self._resends:
            self._resend_later(link.peer, RESEND_FIRST, channel.confirmed)

    def _give_up(self, peer: NodeId) -> None:
        if peer in self._silent:
            return
        self._silent.add(peer)
        reason = f"it left {MAX_UNACKNOWLEDGED} system signals unacknowledged"
        # Not within the call of an actor or a loop over actors: they learn of a death by it.
        asyncio.get_running_loop().call_soon(self._system.peers.quarantine, peer, reason)

    def _resend_later(self, peer: NodeId, delay: float, confirmed: int) -> None:
        if self._closing:  # what is said while the endpoint lingers is said once
            return
        clock = self._system.world.clock
        self._resends[peer] = clock.call_later(delay, self._resend, peer, delay, confirmed)

    def _resend(self, peer: NodeId, delay: float, confirmed: int) -> None:
        """What is not acknowledged by now may have found a full link, or got lost on the way."""
        del self._resends[peer]
        channel = self._signalling.get(peer)
        link = self._links.get(peer.name)
        if channel is None or not channel.waits or link is None or link.peer != peer:
            return
        if channel.confirmed > confirmed:  # on its way
            delay = RESEND_FIRST
        else:
            delay = min(2 * delay, RESEND_LAST)
            if link.state == "up":  # else all of them go again when it is
                for number, body, to in channel.oldest(RESEND_AT_ONCE):
                    if not self._send_signal(link, number, body, to):
                        break
                    channel.wired = number  # what is behind goes again as these are acknowledged
        self._resend_later(peer, delay, channel.confirmed)

    def _send_signal(self, link: Link[Item], number: int, body: bytes, to: int) -> bool:
        try:
            link.send(Item(to, 0, wire.SIGNAL, body, number), len(body) + wire.OVERHEAD)
        except (LinkFull, LinkClosed):
            # Kept by the channel; sent when the link is up or the next acknowledgement comes.
            return False
        return True

    def _send_unsent(self, link: Link[Item], channel: Signalling) -> None:
        for number, body, to in channel.unsent():
            if not self._send_signal(link, number, body, to):
                return
            channel.wired = number

    def _channel(self, peer: NodeId) -> Signalling:
        channel = self._signalling.get(peer)
        if channel is None:
            channel = self._signalling[peer] = Signalling()
        return channel

    # -- the directory ---------------------------------------------------------------------------

    def node_up(self, peer: NodeId, address: str) -> None:
        """A node is there; an older incarnation of it is dead."""
        self.changes += 1
        known = self.directory.get(peer.name)
        if known is not None and known[0] != peer:
            self.node_down(known[0], "replaced by a new incarnation")
        self.directory[peer.name] = (peer, address)

    def node_down(self, peer: NodeId, reason: str, *, emptied: bool = False) -> None:
        """That incarnation is dead: nothing of it is taken any more.

        Args:
            peer: the incarnation.
            reason: why, for people.
            emptied: its actors had been stopped before, so that no mailbox was lost with it.
        """
        self.changes += 1
        known = self.directory.get(peer.name)
        if known is not None and known[0] == peer:
            del self.directory[peer.name]
        link = self._links.get(peer.name)
        if link is not None and link.peer == peer:
            del self._links[peer.name]
        self._signalling.pop(peer, None)
        self._silent.discard(peer)
        timer = self._resends.pop(peer, None)
        if timer is not None:
            timer.cancel()
        self._dying = None if emptied else peer
        try:
            self.endpoint.fence(peer, reason)
        finally:
            self._dying = None

    def dial(self, node: str) -> None:
        """Connect to a node that is known, whoever of the two would by its name.

        Args:
            node: its name.
        """
        self.changes += 1
        peer, address = self.directory[node]
        self._links[node] = self.endpoint.dial(peer, address)

    def expect(self, peer: NodeId) -> None:
        """That incarnation of a node is about to connect."""
        self.changes += 1
        self._links[peer.name] = self.endpoint.expect(peer)

    async def close(self, linger: float) -> None:
        """Close the endpoint; nothing is said again any more."""
        self._closing = True
        for timer in self._resends.values():
            timer.cancel()
        self._resends.clear()
        await self.endpoint.close(linger)

    # -- in: the transports' handler ---------------------------------------------------------------

    def admit(self, peer: NodeId) -> str | None:
        """Any incarnation that is not known to be dead may connect."""
        known = self.directory.get(peer.name)
        if known is not None and known[0] != peer:
            return f"{peer.name} is known here as {known[0]}, not as {peer}"
        return None

    def on_up(self, link: Link[Item]) -> None:
        """Connected, the first time or again: signals that may have been lost go again."""
        self.changes += 1
        if link is not self.endpoint.local:
            self._links[link.peer.name] = link
        channel = self._channel(link.peer)
        channel.wired = channel.confirmed
        self._send_unsent(link, channel)
        self._system.peers.link_up(link.peer)

    def on_down(self, link: Link[Item], reason: str, lost: Lost) -> None:
        """The connection is gone; the transports reconnect unless it is closed for good."""
        self.changes += 1
        for item in lost.items:
            # Only user messages: signals to a node that is gone are nobody's.
            assert isinstance(item, Item)
            self._never_left(link, item, f"unreachable: {reason}")
        self._account(link, (lost.control, lost.bulk), reason)
        if self._dying == link.peer:
            self._account(link, (lost.taken_control, lost.taken_bulk), reason, taken=True)
        self._system.asks.lost(link, reason)
        self._system.peers.link_down(link.peer, reason, closed=link.state == "closed")
        if link.state == "closed" and self._links.get(link.peer.name) is link:
            del self._links[link.peer.name]

    def landing(self, link: Link[Item], item: Item, nbytes: int) -> LandingPool:
        """Where arrays land: the receiving actor's pool, or the node's."""
        return self._system.landing(item.to)

    def on_items(self, link: Link[Item], items: list[Item]) -> None:
        """A batch from the control lane."""
        system = self._system
        faults = system.world.faults
        if faults is None and len(items) == 1 and system.prepared is not None:
            item = items[0]
            cell = system.cells.get(item.to) if item.kind == TELL else None
            if cell is not None and cell.handle_now(item):
                return
        if faults is not None and link is not self.endpoint.local:
            for item in items:
                parcel = Parcel(item, (), self._path)
                faults.deliver(link.peer.name, parcel, self._take, link, [item])
        else:
            self._take(link, items)

    def _path(self, uid: int) -> str:
        cell = self._system.cells.get(uid)
        return cell.path if cell is not None else ""

    def _take(self, link: Link[Item], items: list[Item]) -> None:
        cells = self._system.cells
        failed: Exception | None = None
        for item in items:
            try:
                kind = item.kind
                if kind == TELL:
                    cell = cells.get(item.to)
                    if cell is not None:
                        cell.deliver(item)
                    else:
                        self._system.dispatch(link, item, ())
                elif kind == TELLS and link.own is not None:
                    self._take_run(link.own, link, item)
                elif kind == REPLY:
                    self._system.asks.replied(item.ask, item.body, ())
                elif kind == ASK:
                    self._system.dispatch(link, item, ())
                else:
                    self._other(link, item)
            except Exception as error:  # noqa: BLE001  (a fault of ours costs one item, no batch)
                failed = error
        if failed is not None:
            raise failed  # the link logs and counts it

    def _take_run(self, own: Channel[Item], link: Link[Item], run: Item) -> None:
        own.joined += run.ask - 1
        cell = self._system.cells.get(run.to)
        if cell is not None:
            cell.deliver_run(run)
        else:
            for item in items_of(run):
                self._system.dispatch(link, item, ())

    def on_transfer(self, link: Link[Item], item: Item, weights: list[Weights]) -> None:
        """An item of the bulk lane with its arrays."""
        faults = self._system.world.faults
        if faults is not None and link is not self.endpoint.local:
            # Each arrival has weights of its own to release, as two transfers would have.
            faults.deliver(
                link.peer.name,
                Parcel(item, weights, self._path),
                lambda: self._transferred_in(link, item, [one.share() for one in weights]),
            )
            return
        self._transferred_in(link, item, weights)

    def _transferred_in(self, link: Link[Item], item: Item, weights: list[Weights]) -> None:
        if item.kind == REPLY:
            self._system.asks.replied(item.ask, item.body, weights)
        else:
            self._system.dispatch(link, item, weights)

    def _other(self, link: Link[Item], item: Item) -> None:
        kind = item.kind
        if kind == wire.SIGNAL:
            self._signalled(link, item)
        elif kind == wire.SIGNAL_ACK:
            channel = self._channel(link.peer)
            channel.acknowledged(item.ask)
            self._send_unsent(link, channel)
        elif kind == wire.CANCEL:
            self._system.cancelled(link, item)
        elif kind == wire.HEARTBEAT:
            self._heartbeat(link, item)
        elif kind == wire.OBSERVE:
            self._system.observing.asked(link, item.ask)
        elif kind == wire.OBSERVED:
            self._system.observing.answered(link.peer, item.ask, item.body)
        elif kind in (wire.FAILED, wire.REFUSED):
            try:
                refusal = msgspec.msgpack.decode(item.body, type=Refusal)
            except msgspec.DecodeError as error:
                refusal = Refusal("garbled", f"the refusal itself cannot be read: {error}")
            if kind == wire.FAILED:
                self._system.asks.failed(item.ask, refusal)
            else:
                self._system.asks.refused(item.ask, refusal)
        else:
            _log.warning("%s sent an item of unknown kind %d; ignored", link.peer, kind)

    def heartbeat(self, node: str) -> None:
        """Ask a node whether it answers; what does not get out now is not asked."""
        self._question(node, wire.HEARTBEAT, 0)

    def observe(self, node: str, number: int) -> None:
        """Ask a node for its statistics; what does not get out now is not asked."""
        self._question(node, wire.OBSERVE, number)

    def _question(self, node: str, kind: int, number: int) -> None:
        # No signal: those are kept until they are acknowledged, and a frozen node would get many.
        link = self._links.get(node)
        if link is not None and link.state == "up":
            with contextlib.suppress(LinkFull, LinkClosed):
                link.send(Item(0, 0, kind, b"", number), wire.OVERHEAD)

    def _heartbeat(self, link: Link[Item], item: Item) -> None:
        if item.ask == 0:
            world = self._system.world
            body = b"" if world.counts_shared else encoded(world.fault_counts)
            with contextlib.suppress(LinkFull, LinkClosed):  # then the next one is answered
                link.send(Item(0, 0, wire.HEARTBEAT, body, 1), len(body) + wire.OVERHEAD)
        elif self.on_heartbeat is not None:
            self.on_heartbeat(link.peer, item.body)

    def _signalled(self, link: Link[Item], item: Item) -> None:
        channel = self._channel(link.peer)
        if channel.receive(item.ask):
            try:
                signal = _signal_decoder.decode(item.body)
            except msgspec.DecodeError as error:
                _log.warning("%s sent a signal that cannot be read: %s", link.peer, error)
            else:
                self._system.signalled(link.peer, item.to, signal)
        if link.peer not in self._acks:
            self._acks.add(link.peer)
            asyncio.get_running_loop().call_soon(self._acknowledge, link)

    def _acknowledge(self, link: Link[Item]) -> None:
        self._acks.discard(link.peer)
        channel = self._signalling.get(link.peer)
        if channel is None:
            return
        with contextlib.suppress(LinkFull, LinkClosed):  # then the peer sends again
            link.send(Item(0, 0, wire.SIGNAL_ACK, b"", channel.received), wire.OVERHEAD)

    def __repr__(self) -> str:
        return f"<Router {self.node} knows {sorted(self.directory)} links={sorted(self._links)}>"


class _Queue:
    """Those who wait for room on one lane of a link."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.length = 0
