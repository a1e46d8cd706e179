"""The endpoint: one per node; listens, dials, and tells whose frame it is that came."""

from __future__ import annotations

import logging
from collections import Counter
from functools import partial
from typing import Any, Final, Generic, TypeVar

import zmq

from transports.address import LANES, Address, Lane
from transports.clock import Clock
from transports.dialler import Dialler, configure
from transports.errors import DamagedFrame, ProtocolError
from transports.gate import Gate
from transports.handover import PROCESS_TOKEN
from transports.identity import NodeId
from transports.limits import Limits
from transports.link import Handler, Link
from transports.listeners import Listeners
from transports.loopback import Loopback
from transports.ownchannel import OwnChannel
from transports.port import CHUNK_COST, MORE, NOW, read_into
from transports.reading import Dialled, Part, Routed
from transports.rng import Rng
from transports.sockets import Context, Socket, check_scheme
from transports.statistics import Dropped, EndpointStatistics
from transports.wire import (
    MAX_SENTENCE,
    REFUSALS,
    VERSION,
    Batch,
    Bye,
    Chunk,
    Codec,
    Hello,
    Refused,
    Welcome,
)

I = TypeVar("I")  # noqa: E741  (the item type of the floor above)

_logger = logging.getLogger("transports")

_PROBES = (0.0, 0.02, 0.2)
"""Seconds after a listener saw a connection end at which it looks whose it was. The event comes
from libzmq's thread and may be ahead of the socket's own knowledge."""

_CLOSING: Final = 0.002
"""Seconds between looks at whether all that was sent has been acknowledged, on closing."""


class Endpoint(Generic[I]):
    """The node's place on the network. All calls on one event loop's thread.

    Args:
        node: this node's identity.
        cluster: only nodes of the same cluster link up.
        item: type of the messages: an array-like ``msgspec.Struct``.
        handler: the floor above.
        clock: timers.
        rng: tokens and jitter.
        limits: bounds.
        context: where sockets come from: a ZeroMQ context, which nodes of one process share that
            talk over ``inproc://``, or a node of a simulated network. Default is the process's.
        checksums: whether pieces of transfers leave with a checksum; all else always has one.
    """

    def __init__(
        self,
        node: NodeId,
        *,
        cluster: str,
        item: type[I],
        handler: Handler[I],
        clock: Clock,
        rng: Rng,
        limits: Limits | None = None,
        context: Context | None = None,
        checksums: bool = False,
    ) -> None:
        node.check()
        self.node = node
        self.cluster = cluster
        self._handler = handler
        self._clock = clock
        self._rng = rng
        self._limits = limits or Limits()
        self._checksums = checksums
        self._context: Context = context or zmq.Context.instance()
        self._simulated = not isinstance(self._context, zmq.Context)
        self._codecs: dict[Lane, Codec[Any]] = {
            "control": Codec.control(item),
            "bulk": Codec.bulk(item),
        }
        self._decode_control = self._codecs["control"].decode
        self._state = "new"
        self._listeners = Listeners(node, self._context, clock, self._limits)
        self._links: dict[NodeId, Link[I]] = {}
        self._diallers: dict[NodeId, dict[Lane, Dialler]] = {}
        self._local: Link[I] | None = None
        self._local_ports: list[Loopback] = []
        #: By connection; who reads the listening sockets has them, too.
        self._routes: dict[Lane, dict[bytes, Link[I]]] = {lane: {} for lane in LANES}
        self._gate = Gate(node, cluster, self._limits)
        self._refused: Counter[str] = Counter()
        self._handler_errors = 0
        self._ended = 0

    # Opening and listening

    async def open(self) -> None:
        """Listen at ``inproc://NODE`` and make the link of the node to itself.

        Raises:
            AddressInUse: an endpoint of this very incarnation is open in this process.
        """
        if self._state != "new":
            raise RuntimeError(f"{self!r} was opened before: make a new one")
        self._state = "open"
        readings = {
            lane: Routed(lane, routes, self._receive, self._take, simulated=self._simulated)
            for lane, routes in self._routes.items()
        }
        self._listeners.open(readings, self._connection_ended)
        await self.listen(f"inproc://{self.node}")
        self._local = self._make_link(self.node)
        for lane in LANES:
            self._link_locally(self._local, lane)

    async def listen(self, address: str) -> str:
        """Listen at a further address, on both lanes.

        Args:
            address: "ipc:///directory/base", "inproc://name", "tcp://127.0.0.1:*" or, in a
                simulation, "sim://name"; each lane adds its own suffix or has its own port, and a
                base that ends in "*" gets the incarnation there.

        Returns:
            The address that peers dial.

        Raises:
            AddressInUse: somebody listens there.
            AddressError: it cannot be listened at, e.g. its path is too long.
        """
        self._check_open()
        return await self._listeners.listen(address)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where this endpoint listens; the first is ``inproc://NODE``."""
        return tuple(map(str, self._listeners.addresses))

    @property
    def local(self) -> Link[I]:
        """The node's link to itself; up from ``open`` on. Handlers get no ``on_up`` for it."""
        if self._local is None:
            raise RuntimeError(f"{self!r} is not open: await open() first")
        return self._local

    def _link_locally(self, link: Link[I], lane: Lane) -> None:
        address = f"inproc://{self.node}-to-itself-{lane}"
        ends = self._context.socket(zmq.DEALER), self._context.socket(zmq.DEALER)
        for socket in ends:
            configure(socket, self._limits)
        ends[0].bind(address)
        ends[1].connect(address)
        if lane == "control":
            port = Loopback(
                *ends, partial(self._receive_own, link), partial(self._take, lane, link)
            )
        else:
            reading = Dialled(lane, link, self._receive, self._take, simulated=self._simulated)
            port = Loopback(*ends, reading.read, reading.take)
        self._local_ports.append(port)
        channel = link.channel(lane)
        if isinstance(channel, OwnChannel):
            channel.opened(port)
        else:
            channel.up(port, None, epoch=1, first=1, window=self._window(lane))
        link.share_memory()
        link.came_up(lane)

    # Links

    def dial(self, peer: NodeId, address: str) -> Link[I]:
        """The link to a peer that listens at ``address``; connects until it is there.

        Calling it again for a peer that is linked or dialled returns the same link.

        Raises:
            AddressError: the address cannot be dialled, or no peer can have this name.
            LinkClosed: this incarnation was declared dead.
        """
        parsed = Address.parse(address)
        check_scheme(self._context, parsed)
        link = self.expect(peer)
        up = any(link.channel(lane).state == "up" for lane in LANES)
        if link.local or up or peer in self._diallers:
            return link
        if parsed.scheme == "inproc":
            link.share_memory()
        diallers = self._diallers[peer] = {}
        token = PROCESS_TOKEN if parsed.scheme == "inproc" else b""
        for lane in LANES:
            diallers[lane] = Dialler(
                link.channel(lane),
                parsed,
                self._context,
                hello=partial(self._hello, link, lane, token),
                reading=Dialled(lane, link, self._receive, self._take, simulated=self._simulated),
                gone=partial(self._connection_gone, link, lane),
                clock=self._clock,
                rng=self._rng,
                limits=self._limits,
            )
        for dialler in list(diallers.values()):
            dialler.connect()
        return link

    def expect(self, peer: NodeId) -> Link[I]:
        """The link to a peer that will dial; messages to it may queue at once.

        Raises:
            AddressError: no peer can have this name.
            LinkClosed: this incarnation was declared dead.
        """
        self._check_open()
        self._gate.check_alive(peer)
        return self.link(peer) or self._make_link(peer)

    def link(self, peer: NodeId) -> Link[I] | None:
        """The link to this incarnation, None when there is none or it has ended."""
        return self._local if peer == self.node else self._links.get(peer)

    def fence(self, peer: NodeId, reason: str) -> None:
        """This incarnation is dead: end its link, refuse whatever still comes from it."""
        self._gate.fence(peer, reason)
        link = self._links.get(peer)
        if link is not None:
            self._end(link, reason, code="fenced")

    def _make_link(self, peer: NodeId) -> Link[I]:
        peer.check()
        link: Link[I] = Link(
            self.node,
            peer,
            self._handler,
            (self._codecs["control"], self._codecs["bulk"]),
            clock=self._clock,
            rng=self._rng,
            limits=self._limits,
            broken=self._connection_gone,
            count_refused=self._count_refused,
            count_error=self._count_error,
            checksums=self._checksums,
            simulated=self._simulated,
        )
        if peer != self.node:
            self._links[peer] = link
        return link

    def _end(
        self, link: Link[I], reason: str, *, code: str, bye: bool = False, linger: float = 0.0
    ) -> Dropped:
        self._links.pop(link.peer, None)
        lost = link.close(reason, bye=bye)
        for lane in LANES:
            routes = self._routes[lane]
            for route in [route for route, owner in routes.items() if owner is link]:
                self._retire(lane, route, code)
        for dialler in self._diallers.pop(link.peer, {}).values():
            dialler.stop(linger)
        self._ended += 1
        total = lost.unsent + lost.messages + lost.transfers
        return Dropped(
            lost.unsent, lost.messages, lost.transfers, {link.peer: total} if total else {}
        )

    def _retire(self, lane: Lane, route: bytes, code: str) -> None:
        self._routes[lane].pop(route, None)
        self._gate.retire(lane, route, code)

    # Connections that end

    def _connection_gone(self, link: Link[I], lane: Lane, reason: str) -> None:
        if link.state == "closed":
            return
        for route in [r for r, owner in self._routes[lane].items() if owner is link]:
            self._retire(lane, route, "epoch")
        link.went_down(lane, reason)
        dialler = self._diallers.get(link.peer, {}).get(lane)
        if dialler is not None:
            dialler.retry()

    def _connection_ended(self, lane: Lane) -> None:
        # The event names no peer: an empty frame to each finds the one that is gone.
        for delay in _PROBES:
            self._clock.call_later(delay, self._probe, lane)

    def _probe(self, lane: Lane) -> None:
        if self._state == "open":
            for link in list(self._routes[lane].values()):
                link.channel(lane).probe()

    # Frames

    def _receive_own(self, link: Link[I], socket: Socket) -> int:
        return self._take("control", link, None, socket.recv(NOW), socket)

    def _take(
        self, lane: Lane, link: Link[I] | None, route: bytes | None, data: bytes, socket: Socket
    ) -> int:
        # As _receive, for a message of one part, and nearly always a batch of the control lane.
        if link is not None and lane == "control":
            decode = self._decode_control  # Python finds it faster where it is read first
            try:
                frame = decode(data)
                if type(frame) is Batch:
                    link.on_control(frame, len(data))
                    return 1
            except Exception as error:  # noqa: BLE001  (told there)
                self._failed(lane, link, route, error)
                return 1
        return self._receive(lane, link, route, (data, False), socket)

    def _receive(
        self, lane: Lane, link: Link[I] | None, route: bytes | None, part: Part, socket: Socket
    ) -> int:
        cost = 1
        data, more = part
        refused = False
        try:
            frame = self._codecs[lane].decode(data)
            kind = type(frame)
            if more is not (kind is Chunk):  # the bytes of a piece are a part of their own
                how = "with" if more else "without"
                raise ProtocolError("malformed", f"a {kind.__name__} came {how} parts behind it")
            if kind is Batch and link is not None:
                if lane == "control":
                    link.on_control(frame, len(data))
                else:
                    link.on_bulk(frame, len(data))
            elif kind is Chunk and link is not None:
                cost = CHUNK_COST
                link.on_chunk(frame, len(data), partial(read_into, socket))
            else:
                self._receive_rare(lane, link, route, frame)
        except Exception as error:  # noqa: BLE001  (told there)
            refused = True
            self._failed(lane, link, route, error)
        # Whatever the frame was, the parts that were not asked for go with it.
        while more and not socket.closed and socket.getsockopt(zmq.RCVMORE):
            socket.recv_into(bytearray())
            if not refused:
                refused = True
                self._count_refused("malformed")
        return cost

    def _receive_rare(
        self, lane: Lane, link: Link[I] | None, route: bytes | None, frame: Any
    ) -> None:
        if isinstance(frame, Hello) and route is not None and link is None:
            self._on_hello(lane, route, frame)
        elif link is None:
            code = self._gate.code(lane, route or b"")
            dead = code == "fenced"
            why = "its incarnation was declared dead" if dead else "it has no link here"
            raise ProtocolError(code, f"a connection sent a frame, but {why}")
        elif isinstance(frame, Bye):
            link.channel(lane).check(frame.epoch, frame.to, self.node)
            self._end(link, f"{link.peer} left: {frame.reason[:MAX_SENTENCE]}", code="no hello")
        elif isinstance(frame, Welcome) and route is None:
            self._on_welcome(lane, link, frame)
        elif isinstance(frame, Refused) and route is None:
            self._on_refused(lane, link, frame)
        else:
            raise ProtocolError("malformed", f"{link.peer} sent a {type(frame).__name__} here")

    def _failed(
        self, lane: Lane, link: Link[I] | None, route: bytes | None, error: Exception
    ) -> None:
        if not isinstance(error, ProtocolError):
            # A fault of ours must cost one frame, not the node.
            where = f"a frame on the {lane} lane of {self.node} failed"
            _logger.error(where, exc_info=error)
            error = ProtocolError("malformed", f"a frame failed: {error}")
        self._refuse(lane, link, route, error)

    def _refuse(
        self, lane: Lane, link: Link[I] | None, route: bytes | None, error: ProtocolError
    ) -> None:
        _logger.info("%s refused a frame (%s): %s", self.node, error.reason, error)
        if link is None:
            self._count_refused(error.reason)
            if route is not None:
                self._turn_away(lane, route, error)
            return
        link.refuse(error)
        events = lane == "bulk" and error.reason in {"malformed", "sequence"}
        if events or isinstance(error, DamagedFrame):
            # Transfers wait for each event, and a sender must learn of what nobody could read:
            # begin again on a new connection.
            self._connection_gone(link, lane, f"{link.peer} was not understood: {error}")
            if route is not None:
                self._turn_away(lane, route, error)

    def _turn_away(self, lane: Lane, route: bytes, error: ProtocolError) -> None:
        """Tell a connection without a link so, once; a dialler then makes a new one."""
        if self._gate.turn_away(lane, route):
            self._answer(lane, route, Refused(VERSION, error.reason, str(error)[:MAX_SENTENCE]))

    def _count_refused(self, reason: str) -> None:
        self._refused[reason] += 1

    def _count_error(self) -> None:
        self._handler_errors += 1

    # Hello

    def _hello(self, link: Link[I], lane: Lane, token: bytes, epoch: int) -> bytes:
        channel = link.channel(lane)
        return self._codecs[lane].encode(
            Hello(
                VERSION,
                self.cluster,
                lane,
                self.node,
                link.peer,
                epoch,
                channel.sending.last + 1,
                self._window(lane),
                token,
            )
        )

    def _window(self, lane: Lane) -> int:
        limits = self._limits
        return limits.control_window if lane == "control" else limits.transfer_window

    def _on_hello(self, lane: Lane, route: bytes, hello: Hello) -> None:
        try:
            link = self._admit(lane, hello)
            channel = link.channel(lane)
            if hello.epoch <= channel.epoch:
                raise ProtocolError(
                    "epoch", f"{hello.source} said hello for epoch {hello.epoch} twice"
                )
            if channel.connected:
                self._connection_gone(link, lane, f"{hello.source} connected anew")
            port = self._listeners[lane]
            channel.up(port, route, epoch=hello.epoch, first=hello.first, window=hello.window)
        except ProtocolError as error:
            self._count_refused(error.reason)
            _logger.info("%s refused a hello (%s): %s", self.node, error.reason, error)
            self._answer(lane, route, Refused(VERSION, error.reason, str(error)[:MAX_SENTENCE]))
            return
        self._routes[lane][route] = link
        same_process = hello.process == PROCESS_TOKEN
        if same_process:
            link.share_memory()
        welcome = Welcome(
            VERSION,
            self.node,
            link.peer,
            hello.epoch,
            channel.sending.last + 1,
            self._window(lane),
            PROCESS_TOKEN if same_process else b"",
        )
        self._answer(lane, route, welcome)
        link.came_up(lane)

    def _admit(self, lane: Lane, hello: Hello) -> Link[I]:
        peer = hello.source
        self._gate.check(lane, hello)
        link = self._links.get(peer)
        if link is None:
            if len(self._links) >= self._limits.max_links:
                raise ProtocolError("links", f"{self.node} has {len(self._links)} links, its limit")
            try:
                refusal = self._handler.admit(peer)
            except Exception as error:
                self._count_error()
                _logger.exception("the handler of %s failed to admit %s", self.node, peer)
                raise ProtocolError("handler", f"{self.node} failed to admit {peer}") from error
            if refusal is not None:
                raise ProtocolError("admission", refusal)
            return self._make_link(peer)
        if peer in self._diallers:
            if self.node < peer:
                raise ProtocolError("crossed", f"{self.node} dials {peer} itself")
            for dialler in self._diallers.pop(peer).values():
                dialler.stop()
        return link

    def _answer(self, lane: Lane, route: bytes, frame: Welcome | Refused) -> None:
        port = self._listeners[lane]
        try:
            port.send(route, MORE)
            port.send(self._codecs[lane].encode(frame), NOW)
        except zmq.ZMQError as error:
            _logger.debug("an answer to a hello found its connection gone: %s", error)
        port.touched()

    def _on_welcome(self, lane: Lane, link: Link[I], welcome: Welcome) -> None:
        dialler = self._diallers.get(link.peer, {}).get(lane)
        channel = link.channel(lane)
        if dialler is None or channel.state != "greeting" or welcome.epoch != dialler.epoch:
            raise ProtocolError("epoch", f"{link.peer} welcomed a connection that is not waiting")
        if welcome.source != link.peer or welcome.target != self.node:
            raise ProtocolError("target", f"{welcome.source} welcomed {welcome.target}")
        assert channel.port is not None
        channel.up(
            channel.port, None, epoch=welcome.epoch, first=welcome.first, window=welcome.window
        )
        dialler.welcomed()
        if welcome.process == PROCESS_TOKEN:
            link.share_memory()
        link.came_up(lane)

    def _on_refused(self, lane: Lane, link: Link[I], refused: Refused) -> None:
        self._count_refused(refused.code if refused.code in REFUSALS else "malformed")
        if refused.code == "crossed":
            # The peer's own connection is the one that stays; it is expected from now on.
            for dialler in self._diallers.pop(link.peer, {}).values():
                dialler.stop()
            return
        sentence = refused.sentence[:MAX_SENTENCE]
        once = link.channel(lane).state == "up" and refused.code != "fenced"
        if once or refused.code == "malformed":
            # Welcome once, so the peer has lost this connection; or our hello was damaged. A new
            # one may be welcome.
            self._connection_gone(link, lane, f"{link.peer} lost the connection: {sentence}")
            return
        self._end(
            link,
            f"{link.peer} refused the {lane} lane ({refused.code[:32]}): {sentence}",
            code="no hello",
        )

    # Closing

    async def close(self, linger: float = 1.0) -> Dropped:
        """Say goodbye and close everything.

        Args:
            linger: seconds that what was sent may take to be acknowledged.

        Returns:
            What could not be delivered in that time.
        """
        if self._state in {"new", "closed"}:
            self._state = "closed"
            return Dropped()
        self._state = "closing"
        deadline = self._clock.now() + linger
        while not self._idle() and self._clock.now() < deadline:
            await self._clock.sleep(min(_CLOSING, linger))
        self._state = "closed"
        left = max(0.0, deadline - self._clock.now())
        dropped = [
            self._end(link, f"{self.node} closed", code="no hello", bye=True, linger=left)
            for link in list(self._links.values())
        ]
        if self._local is not None:
            self._local.close(f"{self.node} closed")
        self._listeners.leave()
        for own in self._local_ports:
            own.close(left)
        self._listeners.close(left)
        return Dropped(
            sum(each.unsent for each in dropped),
            sum(each.unacknowledged for each in dropped),
            sum(each.transfers for each in dropped),
            {peer: count for each in dropped for peer, count in each.links.items()},
        )

    def _idle(self) -> bool:
        links = [*self._links.values(), *([self._local] if self._local else [])]
        for link in (busy := [link for link in links if not link.idle]):
            link.hurry()
        return not busy

    def _check_open(self) -> None:
        if self._state != "open":
            raise RuntimeError(f"{self!r} is not open")

    def statistics(self) -> EndpointStatistics:
        """What this endpoint did and holds."""
        return EndpointStatistics(
            node=self.node,
            addresses=self.addresses,
            local=self._local.statistics() if self._local else None,
            links=tuple(link.statistics() for link in self._links.values()),
            refused=dict(self._refused),
            handler_errors=self._handler_errors,
            fenced=self._gate.fenced,
            ended=self._ended,
        )

    def __repr__(self) -> str:
        up = sum(link.state == "up" for link in self._links.values())
        return (
            f"<Endpoint {self.node} {self._state} links={up}/{len(self._links)} "
            f"fenced={self._gate.fenced} refused={sum(self._refused.values())}>"
        )
