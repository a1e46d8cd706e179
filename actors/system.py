"""The actor system: one per node; it makes actors, finds them, and carries their messages."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from actors import arguments as arguments_of
from actors import item as wire
from actors.actor import Actor
from actors.argumentcheck import check_arguments
from actors.asks import Asks
from actors.blocking import ActorClass, actor_class
from actors.cell import Cell
from actors.chains import answer_node, known_names
from actors.code import CodeRef, load
from actors.codec import Codec
from actors.debugging import Debugger
from actors.errors import UsageError
from actors.events import Custom, DeadLetter, EventStream
from actors.failurelog import FailureLog
from actors.given import check_ref
from actors.handling import Envelope
from actors.idling import Idling
from actors.item import OVERHEAD, TELL, Item, Refusal, tag_of
from actors.knownpaths import KnownPaths
from actors.names import check_name
from actors.nodesignals import NodeSignals
from actors.observing import LIMIT, Observing
from actors.peers import UNREACHABLE_AFTER, Peers
from actors.receptionist import Receptionist
from actors.ref import ActorRef
from actors.router import Router
from actors.sending import Sender
from actors.shutdown import CoordinatedShutdown
from actors.signals import (
    GUARDIAN_UID,
    NODE_UID,
    ActorSpec,
    AnySignal,
    Cause,
    Failed,
    Failure,
    Overflow,
    RefParts,
    Reported,
    Spawn,
    Started,
    Stop,
    Stopped,
    Watch,
)
from actors.state import LiveState
from actors.statistics import ProcessStatistics, SystemStatistics
from actors.stops import Stops
from actors.storage import Storage
from actors.takennames import TakenNames
from actors.timers import Tick
from actors.world import World
from transports import LandingPool, Link, LinkClosed, LinkFull, MessageTooLarge, NodeId, Weights

R = TypeVar("R")
_log = logging.getLogger("actors.system")

#: Asks whose cancellation may overtake them; the oldest is forgotten, and then handled in vain.
_MAX_GAVE_UP = 1_000

_encoder = msgspec.msgpack.Encoder()


class ActorSystem:
    """The actors of one node.

    Used as ``async with ActorSystem("demo") as system``; leaving it stops all actors in reverse
    order and closes the endpoint.

    Args:
        name: of the node; letters, digits, ``_``, ``-`` and ``.``.
        world: clock, randomness, storage and processes; the real ones by default.
        cluster: nodes of different clusters refuse each other.
        incarnation: of the node; drawn where not given.
        generation: counts the starts of this node; orders the snapshots of its incarnations.
        unreachable_after: seconds without a connection after which a peer counts as dead; None for
            never. Of the nodes of a launcher, the launcher decides.

    Raises:
        UsageError: a name that is none, or seconds that are not above 0.
    """

    def __init__(
        self,
        name: str,
        *,
        world: World | None = None,
        cluster: str = "local",
        incarnation: int | None = None,
        generation: int = 0,
        unreachable_after: float | None = UNREACHABLE_AFTER,
    ) -> None:
        check_name(name)
        self.name = name
        self.world = world or World()
        #: What each message asks for: the time, and a turn of the loop.
        self.now = self.world.clock.now
        self.call_soon = asyncio.get_running_loop().call_soon
        #: Of a loop on which that costs less: what makes calls of the same again and again.
        self.prepared = getattr(asyncio.get_running_loop(), "prepared", None)
        self.cluster = cluster
        self.generation = generation
        self.node = NodeId(name, incarnation or self.world.rng.bits(62) + 1)
        #: The parent of all top-level actors.
        self.guardian: RefParts = (name, "/", GUARDIAN_UID)
        self.events = EventStream()
        #: Tells of failures where nobody listens to the event stream.
        self.failures = FailureLog(self.world.clock)
        #: Of actors of which this node has heard, for what people are told.
        self.paths = KnownPaths()
        self.codec = Codec(ActorRef, lambda r: r.parts, self._bind)
        self.asks = Asks(self.world.clock, self.codec)
        self.router = Router(
            self,
            {
                "cluster": cluster,
                "clock": self.world.clock,
                "rng": self.world.rng,
                "limits": self.world.limits,
                "context": self.world.context,
            },
        )
        self.sender = Sender(self)
        self.debug = Debugger(self)
        #: Resolved with the reason when a top-level actor fails for good.
        self.failure: asyncio.Future[Failure] = asyncio.get_running_loop().create_future()
        #: By uid; the router looks actors up here for each message.
        self.cells: dict[int, Cell] = {}
        self._top: dict[int, ActorRef] = {}
        self._names = TakenNames()
        #: Which of the other nodes live.
        self.peers = Peers(self, unreachable_after)
        #: System signals, to and from this node.
        self.signals = NodeSignals(self)
        self._pools: dict[int, LandingPool] = {}
        #: Threads of blocking actors that were given up.
        self.abandoned = 0
        self._dead_letters = 0
        #: Asks that were cancelled and are not here: (node, number).
        self._gave_up: dict[tuple[NodeId, int], bool] = {}
        #: Who waits until which actor is gone.
        self.stops = Stops()
        self.idling = Idling(self)
        self.observing = Observing(self)
        self._started = False
        #: All actors are being stopped: what fails or dies now is not restarted.
        self.stopping = False
        #: Nothing is made and nothing arrives any more.
        self.closed = False
        self._linger = 1.0
        #: Who is found by what they do, on this node and those of its launcher.
        self.receptionist = Receptionist(self)
        #: What happens before this system is gone.
        self.shutdown = CoordinatedShutdown(self)
        self.shutdown.add_task("stop_actors", "actors", self._stop_actors)
        self.shutdown.add_task("close", "endpoint", self._close_endpoint)
        #: Set by the process manager on a launcher; handles what nodes tell their launcher.
        self.on_node_signal: Callable[[NodeId, AnySignal], None] | None = None
        #: Set by the process manager on a launcher; sees (node, uid, signal) of what another
        #: node is to do with that actor and, with uid 0, of what it tells.
        self.watch_signals: Callable[[str, int, AnySignal], None] | None = None
        #: Set by the process manager on a launcher; returns when that node is up.
        self.ensure_node: Callable[[str], Awaitable[None]] | None = None
        #: Set by the process manager on a launcher; what it knows of its processes.
        self.processes: Callable[[], tuple[ProcessStatistics, ...]] = tuple

    # -- life ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the node's endpoint."""
        if not self._started:
            self._started = True
            await self.router.endpoint.open()

    async def stop_all(self) -> None:
        """Stop all top-level actors in reverse order of their start; nothing is restarted now."""
        self.stopping = True
        try:
            for ref in reversed(list(self._top.values())):
                if ref.node == self.node.name:
                    await self.stop(ref)
                else:
                    ref.stop()
        finally:
            self.stopping = False

    async def close(self, linger: float = 1.0, *, reason: str = "closed") -> None:
        """Carry out the coordinated shutdown: stop all actors in reverse order, close the endpoint.

        Args:
            linger: seconds that what was sent last is given to leave.
            reason: why, for people.
        """
        self._linger = linger
        try:
            await self.shutdown.run(reason)
        except asyncio.CancelledError:
            self.shutdown.hurry()
            await self.shutdown.run(reason)
            raise

    async def _stop_actors(self) -> None:
        try:
            await self.stop_all()
        finally:
            self.closed = True

    async def _close_endpoint(self) -> None:
        self.idling.end()
        self.peers.end()
        await self.observing.close()
        await self.router.close(self._linger)
        self.failures.end()
        self.asks.end(self.name)
        self.stops.all_ended(f"{self.name} was closed")
        self.failure.cancel()  # without effect where it has its result

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        reason = "closed" if error is None else f"{type(error).__name__}: {error}".rstrip(": ")
        await self.close(reason=reason)

    @property
    def running(self) -> bool:
        """Whether it was started and is not closed."""
        return self._started and not self.closed

    @property
    def storage(self) -> Storage:
        """The node's storage.

        Raises:
            UsageError: there is none.
        """
        if self.world.storage is None:
            msg = (
                f"node {self.name} was started without storage; give ActorSystem a "
                "World(storage=FileStorage(…))"
            )
            raise UsageError(msg)
        return self.world.storage

    # -- making actors ---------------------------------------------------------------------------

    async def spawn(self, name: str, cls: ActorClass, /, **arguments: Any) -> ActorRef:
        """Make a top-level actor on this node and wait until it has started.

        One that fails is stopped; a ``Supervisor`` restarts its children.

        Raises:
            SpawnFailed: its constructor or ``on_start`` raised.
            HandlerError: its handlers do not fit its messages.
            UsageError: the name is taken, or not a name, or its constructor does not take the
                arguments or needs others.
        """
        check_name(name)
        check_arguments(name, cls, arguments)
        if name in self._names:
            msg = (
                f"node {self.name} has a top-level actor named {name!r} already; choose "
                "another name"
            )
            raise UsageError(msg)
        cell = self.make(name, cls, arguments, begin=False)
        self._top[cell.uid] = cell.ref
        self._names.add(name)
        await self.idling.start(cell)
        return cell.ref

    def new_ref(self, name: str, node: str | None = None, above: str = "") -> ActorRef:
        """The reference of an actor that is yet to be made, below the path ``above``."""
        check_name(name)
        path = f"{above}/{name}"
        return ActorRef(self, node or self.name, path, self.world.rng.bits(62) + 2)

    def make(
        self,
        name: str,
        cls: Any,
        arguments: dict[str, Any],
        *,
        parent: ActorRef | None = None,
        ref: ActorRef | None = None,
        mailbox: int = 10_000,
        overflow: Overflow = "reject",
        stop_timeout: float = 5.0,
        begin: bool = True,
    ) -> Cell:
        """Make an actor on this node, without waiting for it to start; see ``ActorSpec``.

        It starts in the next turn of the loop, or with ``begin=False`` when its ``begin`` is
        called.
        """
        if self.closed:
            msg = f"node {self.name} is closed; {name} cannot be made any more"
            raise UsageError(msg)
        cls = actor_class(cls)
        ref = ref or self.new_ref(name, above=parent.path if parent else "")
        above = parent.parts if parent else self.guardian
        cell = self._cell(
            ref, above, cls, arguments, bound=mailbox, overflow=overflow, stop_timeout=stop_timeout
        )
        if begin:
            asyncio.get_running_loop().call_soon(cell.begin)
        return cell

    def _cell(
        self,
        ref: ActorRef,
        parent: RefParts,
        cls: type[Actor],
        arguments: dict[str, Any],
        **options: Any,
    ) -> Cell:
        cell = Cell(self, ref, parent, cls, arguments, **options)
        self.cells[ref.uid] = cell
        self.signals.made(cell)
        return cell

    def spawn_at(self, ref: ActorRef, spec: ActorSpec, parent: ActorRef) -> None:
        """Have the actor of ``ref`` made on its node; ``parent`` hears of its start or failure."""
        signal = Spawn(ref.uid, ref.path, spec, parent.parts)
        if ref.node == self.name:
            self.make_ordered(signal)
        else:
            if self.watch_signals is not None:
                self.watch_signals(ref.node, ref.uid, signal)
            try:
                self.router.signal(ref.node, NODE_UID, signal)
            except MessageTooLarge as error:
                self.signal(parent.parts, Failed(ref.parts, Failure.of(error, "make")))

    def make_ordered(self, order: Spawn) -> None:
        """Make the actor that a ``Spawn`` describes; its parent hears of a failure."""
        ref = ActorRef(self, self.name, order.path, order.uid)
        if order.uid in self.cells:
            return
        try:
            cls = load(CodeRef(order.spec.code, order.spec.sha256))
            made = actor_class(cls)
            arguments = arguments_of.decode(self.codec, cls, order.spec.args)
            cell = self._cell(
                ref,
                order.parent,
                made,
                arguments,
                bound=order.spec.mailbox,
                overflow=order.spec.overflow,
                stop_timeout=order.spec.stop_timeout,
            )
            asyncio.get_running_loop().call_soon(cell.begin)
        except Exception as error:  # noqa: BLE001  (loading runs user code)
            self.signal(order.parent, Failed(ref.parts, Failure.of(error, "make")))

    # -- finding and stopping ---------------------------------------------------------------------

    def _bind(self, node: str, path: str, uid: int) -> ActorRef:
        return ActorRef(self, node, path, uid)

    def ref(self, parts: RefParts) -> ActorRef:
        """The reference of this system for (node, path, uid)."""
        return ActorRef(self, *parts)

    def cell(self, ref: ActorRef) -> Cell | None:
        """The cell of an actor of this node."""
        return self.cells.get(ref.uid)

    async def stop(self, ref: ActorRef) -> str:
        """Stop an actor and wait until it is gone.

        Returns:
            Why it is gone: "stopped" where the stop worked; or why its node is.

        Raises:
            UsageError: it is no reference.
        """
        check_ref("stop", ref)
        if ref.node != self.name and self.router.link_to(ref.node) is None:
            return f"node {ref.node} is not known or dead"
        ended = self.stops.wait_for(ref)
        self.signal(ref.parts, Watch(self.guardian))
        ref.stop()
        return await ended

    def _stop(self, ref: ActorRef) -> None:
        self.sender.on_loop(partial(self.signal, ref.parts, Stop()))

    def describe(self, ref: ActorRef) -> str:
        """What a reference's ``repr`` tells of the actor."""
        cell = self.cells.get(ref.uid)
        if cell is None:
            return "elsewhere" if ref.node != self.name else "gone"
        s = cell.statistics()
        return f"{s.state} mailbox={s.mailbox}/{s.bound} restarts={s.restarts}"

    def set_landing_pool(self, ref: ActorRef, pool: LandingPool) -> None:
        """Have the arrays of messages to this actor land in a pool of its own."""
        self._pools[ref.uid] = pool

    def landing(self, uid: int) -> LandingPool:
        """The pool for messages to this actor."""
        return self._pools.get(uid, self.router.pool)

    # -- answering -------------------------------------------------------------------------------

    def put(self, link: Link[Item], item: Item, arrays: Sequence[Weights]) -> None:
        """Send a reply; on the bulk lane if it has arrays."""
        self.router.put(link, item, arrays, bulk=bool(arrays))

    def answer(self, envelope: Envelope, kind: int, refusal: Refusal) -> None:
        """Tell an asker that it gets no reply."""
        if envelope.link is not None:
            self._refuse(envelope.link, envelope.item, kind, refusal)

    def _refuse(self, link: Link[Item], item: Item, kind: int, refusal: Refusal) -> None:
        answer = Item(NODE_UID, item.to, kind, _encoder.encode(refusal), item.ask)
        with contextlib.suppress(LinkFull, LinkClosed):  # the asker's deadline tells it then
            link.send(answer, OVERHEAD + len(answer.body))

    # -- receiving -------------------------------------------------------------------------------

    def dispatch(self, link: Link[Item], item: Item, arrays: Sequence[Weights]) -> None:
        """A tell or an ask for an actor of this node."""
        cell = self.cells.get(item.to)
        if item.kind == TELL and not arrays and cell is not None:
            cell.deliver(item)
            return
        expires = self.world.clock.now() + item.remaining if item.kind == wire.ASK else 0.0
        envelope = Envelope(item, arrays, link, expires)
        if cell is None:
            if item.kind == wire.ASK and item.to == NODE_UID:
                answer_node(self, link, item)
                return
            self.dead_letter(self.paths.name(item.to, self.name), envelope, "no such actor")
        elif item.to in item.chain:
            names = known_names(self, (*item.chain, item.to))
            why = f"{cell.path} waits for this ask itself: {names}; tell it instead"
            self.answer(envelope, wire.REFUSED, Refusal("would deadlock", why))
        else:
            if self._gave_up and self._gave_up.pop((link.peer, item.ask), False):
                envelope.cancelled = True
            cell.deliver(envelope)

    def cancelled(self, link: Link[Item], item: Item) -> None:
        """An asker gave up."""
        cell = self.cells.get(item.to)
        if cell is not None and not cell.cancel_ask(item.ask, link):
            # Ended by now, or still on its way: models come on a lane of their own.
            self._gave_up[link.peer, item.ask] = True
            if len(self._gave_up) > _MAX_GAVE_UP:
                del self._gave_up[next(iter(self._gave_up))]

    def dead_letter(self, to: str, entry: Any, reason: str) -> None:
        """Account for a message that will not be handled; its asker is told."""
        self._dead_letters += 1
        item = entry.item if isinstance(entry, Envelope) else entry
        name = type(entry.message if isinstance(entry, Tick) else entry).__qualname__
        if isinstance(item, Item):
            name = tag_of(item.body)
            if isinstance(entry, Envelope) and item.kind == wire.ASK:
                short = "no such actor" if reason == "stopped" else reason
                sentence = f"{to} did not handle {name}: {reason}"
                self.answer(entry, wire.REFUSED, Refusal(short, sentence))
        self.events.publish(DeadLetter(to=to, message=name, reason=reason))

    def forget(self, cell: Cell) -> None:
        """A cell has ended."""
        self.cells.pop(cell.uid, None)
        self.paths.note(cell.uid, cell.path)
        self._pools.pop(cell.uid, None)
        self.receptionist.forget(cell.uid)

    # -- signals ---------------------------------------------------------------------------------

    def signal(self, to: RefParts, signal: AnySignal) -> None:
        """Send a system signal to an actor, its guardian or a node."""
        self.signals.send(to, signal)

    def signalled(self, peer: NodeId, uid: int, signal: AnySignal) -> None:
        """A signal came from another node."""
        self.signals.received(peer, uid, signal)

    def ended(self, uid: int, reason: str, cause: Cause) -> None:
        """An actor of this node is gone, and why."""
        self.signals.ended(uid, reason, cause)

    def guard(self, signal: AnySignal) -> None:
        """The guardian: a top-level actor that fails is stopped, and the system says why."""
        match signal:
            case Failed(child, failure):
                self.signal(child, Stop())
                self.failures.tell(child[1], failure, "is stopped", final=True)
                if not self.failure.done():
                    self.failure.set_result(failure)
            case Stopped(actor, reason):
                top = self._top.pop(actor[2], None)
                if top is not None:
                    self._names.remove(top.name)
                self.stops.ended(actor[2], reason)
            case Started():
                pass
            case _:
                _log.warning("signal %r is not for a guardian", signal)

    def report(self, source: str, kind: str, fields: dict[str, Any]) -> None:
        """Publish an event here and, on a node with a launcher, there too."""
        event = Custom(source=source, kind=kind, fields=fields)
        self.events.publish(event)
        if self.router.launcher is not None:
            self.router.signal(
                self.router.launcher, NODE_UID, Reported(kind, {"source": source, **fields})
            )

    async def state(self, *, limit: float = LIMIT) -> LiveState:
        """The live state of this node and, on a launcher, of all; see ``Observing.state``."""
        return await self.observing.state(limit)

    async def listen_for_observers(self, address: str) -> str:
        """Let others look on at an address, and nothing else; see ``Observing.listen``."""
        return await self.observing.listen(address)

    def statistics(self, *, actors: bool = True) -> SystemStatistics:
        """The state of the node as a frozen record.

        Args:
            actors: whether to include the actors, of which there may be many.
        """
        return SystemStatistics(
            self.name,
            self.node.incarnation,
            tuple(cell.statistics() for cell in self.cells.values()) if actors else (),
            len(self.asks),
            self._dead_letters,
            self.router.endpoint.statistics(),
            self.observing.guests,
            self.asks.late,
            self.abandoned,
        )

    def __repr__(self) -> str:
        state = "closed" if self.closed else "running" if self._started else "new"
        return f"<ActorSystem {self.node} {state} actors={len(self.cells)}>"
