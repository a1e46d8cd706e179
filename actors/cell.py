"""The cell: what keeps an actor alive, its mailbox, its life cycle and its one task."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextvars import ContextVar, copy_context
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from actors import ending, failing, reacting
from actors.actor import Actor
from actors.handling import Envelope, handle_one
from actors.item import Item
from actors.lifecycle import State
from actors.marks import Marks
from actors.message import Message
from actors.parts import Parts
from actors.ref import ActorRef
from actors.runs import items_of
from actors.signals import (
    GUARDIAN_UID,
    AnySignal,
    Cause,
    Failure,
    RefParts,
    Started,
    Terminated,
)
from actors.statistics import MOST_CHILDREN, CellStatistics, ChildStatistics
from actors.timers import Tick
from transports import Link

if TYPE_CHECKING:
    from actors.system import ActorSystem

_log = logging.getLogger("actors.cell")

#: The cell whose code is running, for the sender of a message and the chain of an ask.
CURRENT: ContextVar[Cell | None] = ContextVar("actors_current_cell", default=None)

#: Messages handled before others get a turn where they took more than that share of a second;
#: messages at most. Enough to be cheap, few enough to be fair.
_TURN = 64
_SHARE = 0.001
_LONGEST = 512

#: Times that the mailbox became empty and no handler had waited, until the task is given up.
_CALM: Final = 4

_RUNNING: Final = State.RUNNING

# What all actors share that have no use for one of their own; see ``Parts``.
_NO_MAIL: deque[Any] = deque(maxlen=0)
_NOBODY: dict[int, RefParts] = {}


class Cell(Parts):
    """One actor of this node. Made by the system; user code sees ``Actor`` and ``ActorRef``.

    It gets a task when it has something to wait for: in its start, in a handler, for its end. What
    waits for nothing is done in a turn of the loop, which costs half of that; so the task ends
    where for some messages there was nothing to wait for.
    ``parts`` has what it consists of beside its mailbox, ``reacting`` what it does about signals,
    ``failing`` what follows from a failure, ``ending`` how it ends.
    """

    __slots__ = (
        "__weakref__", "_arguments", "_begun", "_context", "_marks", "_since", "_take_turn",
        "_turning", "_wakeup", "bound", "busy", "failure", "failures", "halt_wanted", "handled",
        "mailbox", "overflow", "parent", "reason", "ref", "restart_wanted", "restarts",
        "skipped", "state", "stop_timeout", "stop_wanted", "suspended", "task", "uid",
        "watchers",
    )  # fmt: skip

    def __init__(
        self,
        system: ActorSystem,
        ref: ActorRef,
        parent: RefParts,
        cls: type[Actor],
        arguments: dict[str, Any],
        *,
        bound: int,
        overflow: str,
        stop_timeout: float,
    ) -> None:
        super().__init__(system, ref.path, cls)
        self.ref = ref
        self.uid = ref.uid
        self.parent = parent
        self.bound = bound
        self.overflow = overflow
        self.stop_timeout = stop_timeout
        self.state = State.STARTING
        self.handled = 0
        #: Messages that were taken from the mailbox and not handled.
        self.skipped = 0
        self.restarts = 0
        self.failures = 0
        #: Why it was given up, where its end is no stop like others.
        self.reason: str | None = None
        self.mailbox = _NO_MAIL
        self.stop_wanted = False
        self.halt_wanted = False
        self.restart_wanted = False
        #: Somebody looks for a fault; instances that come meanwhile wait, too.
        self.suspended = False
        #: What it failed of, while it waits for the verdict.
        self.failure: Failure | None = None
        self.busy = False
        self.watchers = _NOBODY
        self.task: asyncio.Task[None] | None = None
        self._arguments = arguments
        self._begun = False
        #: Its code runs, and whoever runs it looks afterwards what there is to do.
        self._turning = False
        # That of who makes it, as for a task.
        self._context = copy_context()
        #: Has its next turn come, on a loop that prepares such calls.
        self._take_turn: Callable[[], None] | None = None
        #: When the mailbox, empty until then, got its first message; what came later is in marks.
        self._since = 0.0
        self._marks: Marks | None = None
        self._wakeup: asyncio.Future[None] | None = None

    # -- what is being handled -------------------------------------------------------------------

    @property
    def chain(self) -> tuple[int, ...]:
        """The actors that wait for what is being handled."""
        current = self.current
        return current.item.chain if current is not None else ()

    @property
    def current(self) -> Envelope | None:
        """What is being handled, where it came with arrays or wants a reply."""
        return None if self._handling is None else self._handling.current

    def answer(self, envelope: Envelope, result: Any) -> None:
        """See ``Handling.answer``."""
        self.handling.answer(envelope, result)

    # -- mailbox -------------------------------------------------------------------------------

    def deliver(self, entry: Any) -> None:
        """Put an ``Item``, an ``Envelope``, a ``Tick`` or a local ``Message`` into the mailbox."""
        mailbox = self.mailbox
        if len(mailbox) >= self.bound and not self._make_room(entry):
            return
        if mailbox is _NO_MAIL:
            mailbox = self.mailbox = deque()
        mailbox.append(entry)
        if self._wakeup is not None:
            self.wake()
        elif len(mailbox) == 1:
            # Who is woken reads the clock itself; a flood of messages never comes here.
            now, take_turn = self.system.now, self._take_turn
            self._since = now()
            if self.task is None and self._begun:
                if take_turn is not None:
                    take_turn()
                else:
                    self._turn_soon()

    def handle_now(self, entry: Item | Tick) -> bool:
        """Handle what would have to be delivered, unless it has to wait; whether that was done.

        For callbacks of a simulated loop that run no actor's code: a turn more keeps nobody there
        from waiting, and costs more than all about the mailbox.
        """
        if (
            self.mailbox or self.task is not None or self._turning or self.stop_wanted
            or self.state is not _RUNNING
        ):  # fmt: skip
            return False
        handling, context = self._handling or self.handling, self._context
        rest: Coroutine[Any, Any, None] | None = None
        self._turning = True
        try:
            rest = context.run(handle_one, handling, entry)
        except Exception as error:  # noqa: BLE001  (ours: what users raise never gets so far)
            rest = _raised(error)
        finally:
            self._turning = False
        if rest is not None or self.mailbox or self.stop_wanted or self.halt_wanted:
            context.run(self._go_on, rest)
        return True

    def _go_on(self, rest: Coroutine[Any, Any, None] | None) -> None:
        """Do what ``handle_now`` has left to be done."""
        if rest is not None:
            self._live(rest=rest)
        elif self.mailbox and self.state is _RUNNING:
            self._turn()
        elif self.stop_wanted or self.halt_wanted or self.mailbox:
            self._live()

    def _turn_soon(self) -> None:
        system = self.system
        if system.prepared is not None:
            self._take_turn = system.prepared(self._turn, self._context)
            self._take_turn()
        else:
            system.call_soon(self._turn, context=self._context)

    def deliver_run(self, run: Item) -> None:
        """Put the messages of an item of kind ``TELLS`` into the mailbox."""
        messages = self.handling.read(run)
        if messages is None or len(self.mailbox) + len(messages) > self.bound:
            for item in items_of(run):
                self.deliver(item)
            return
        self.deliver(messages[0])  # which wakes it
        self.mailbox.extend(messages[1:])

    def understands(self, kind: type[Message[Any]]) -> bool:
        """Whether its class has a handler for that type."""
        return kind in self.handlers.by_type

    def put_back(self, entries: list[Any]) -> None:
        """Have these handled next: they were taken out of the mailbox before."""
        if entries and not self.mailbox:
            self._since = self.system.now()
            if self.mailbox is _NO_MAIL:
                self.mailbox = deque()
        self.mailbox.extendleft(reversed(entries))
        self.skipped -= len(entries)
        self.wake()

    def _make_room(self, entry: Any) -> bool:
        if isinstance(entry, Terminated):
            return True  # it is told but once, and there are no more of them than watches
        if self.overflow == "drop_oldest":
            for index, oldest in enumerate(self.mailbox):
                if not isinstance(oldest, Terminated):
                    del self.mailbox[index]
                    self.refuse(oldest, "mailbox full")
                    self.skipped += 1
                    return True
        self.refuse(entry, "mailbox full")
        return False

    def refuse(self, entry: Any, reason: str) -> None:
        """Account for a message that will not be handled."""
        if isinstance(entry, Tick):
            return
        self.system.dead_letter(self.path, entry, reason)

    def cancel_ask(self, ask: int, link: Link[Item]) -> bool:
        """The asker no longer waits: drop the message, or cancel its handler; if it is here."""
        current = self.current
        if current is not None and current.item.ask == ask and current.link is link:
            current.cancelled = True
            if self.busy and self.task is not None:
                self.task.cancel()
            return True
        for entry in self.mailbox:
            if isinstance(entry, Envelope) and entry.item.ask == ask and entry.link is link:
                entry.cancelled = True
                return True
        return self._stash is not None and self._stash.cancel(ask, link)

    # -- starting --------------------------------------------------------------------------------

    def begin(self) -> None:
        """Make the instance and start it; nothing where that was done.

        What takes no time is done now, without a task: the constructor and, unless it is
        overridden, ``on_start``.
        """
        if not self._begun and self.gone is None:
            self._begun = True
            self._context.run(self._begin)

    def _begin(self) -> None:
        CURRENT.set(self)
        self._turning = True
        try:
            waits = self._construct()
        finally:
            self._turning = False
        if waits:
            self._live(self._await_start)
        elif self.mailbox or self.stop_wanted or self.halt_wanted:
            self._live()
        else:
            self.system.idling.begin()

    def _turn(self) -> None:
        """Handle messages without a task, as long as no handler waits for anything."""
        if self.task is not None or self.state is not _RUNNING:
            return
        rest: Coroutine[Any, Any, None] | None = None
        self._turning = True
        try:
            rest = (self._handling or self.handling).handle(self.mailbox, _TURN)
        except Exception as error:  # noqa: BLE001  (ours: what users raise never gets so far)
            rest = _raised(error)
        finally:
            self._turning = False
        if rest is not None:
            self._live(rest=rest)
        elif self.stop_wanted or self.halt_wanted or self.mailbox:
            self._live()

    def _live(
        self,
        first: Callable[[], Awaitable[None]] | None = None,
        rest: Coroutine[Any, Any, None] | None = None,
    ) -> None:
        """Give it its task; ``first`` says what that awaits before all else, if not a handler."""
        if self.mailbox is _NO_MAIL:
            self.mailbox = deque()
        if self.task is None and self.gone is None:
            loop, name = asyncio.get_running_loop(), f"actor {self.path}"
            work = self._run(first or rest)
            self.task = loop.create_task(work, name=name, context=self._context)
            self.task.add_done_callback(partial(self._over, rest))

    def _over(self, rest: Coroutine[Any, Any, None] | None, task: asyncio.Task[None]) -> None:
        """Its task has ended; one that was cancelled before its first step has done nothing."""
        if self.gone is None and self.task is task:
            if rest is not None:
                self.handling.never_awaited(rest)
            ending.finish(self, ending.LOOP_ENDED)

    def wake(self) -> None:
        """There is something to do."""
        waiter, self._wakeup = self._wakeup, None
        if waiter is not None:
            if not waiter.done():
                waiter.set_result(None)
        elif self.task is None and self._begun and not self._turning:
            self._live()

    # -- the loop ------------------------------------------------------------------------------

    async def _run(self, first: Callable[[], Awaitable[None]] | Awaitable[None] | None) -> None:
        reason: str | None = None
        try:
            if first is not None:
                await (first() if callable(first) else first)
            mailbox, handling, running = self.mailbox, self.handling, State.RUNNING
            now, waiter = self.system.world.clock.now, asyncio.get_running_loop().create_future
            turn, began, calm = 0, now(), 0
            if mailbox:
                self._mark(began)
            while not self.stop_wanted:
                if mailbox and self.state is running:
                    rest = handling.handle(mailbox, _TURN - turn % _TURN)
                    turn += handling.taken
                    if rest is not None:
                        calm = 0
                        await rest
                    if turn % _TURN == 0 and (turn == _LONGEST or now() - began > _SHARE):
                        await asyncio.sleep(0)
                        turn, began = 0, now()
                        if mailbox:
                            self._mark(began)
                elif self.halt_wanted:
                    self.halt_wanted = False
                    await ending.halt(self)
                elif self.restart_wanted:
                    self.restart_wanted = False
                    self.restarts += 1
                    if self._construct():
                        await self._await_start()
                else:
                    turn, empty, calm = 0, not mailbox, calm + 1
                    if calm > _CALM and empty and self.state is running:
                        self.task = None
                        self.system.idling.begin()
                        return
                    self._wakeup = waiter()
                    await self._wakeup
                    began = now()
                    if empty:
                        self._since = began
            if self.gone is None:
                await ending.shut_down(self)
            reason = self.reason
        except asyncio.CancelledError:
            reason = ending.LOOP_ENDED
            raise
        except Exception as error:  # noqa: BLE001  (ours: what users raise never gets so far)
            _log.exception("%s: the runtime failed", self.path)
            self.failure = Failure.of(error, "runtime")
            failing.publish(self, self.failure)
        finally:
            if self.task is not None:
                ending.finish(self, reason)

    def _construct(self) -> bool:
        """Make a fresh instance; whether its ``on_start`` is still to be called."""
        self.state = State.STARTING
        self.reason = None
        try:
            actor = self.cls.__new__(self.cls)
            actor._cell = self  # noqa: SLF001  (the cell and its actor are one unit)
            construct: Any = self.cls.__init__
            construct(actor, **self._arguments)
            self.actor = actor
            if getattr(actor.on_start, "__func__", None) is not Actor.on_start:
                return True
        except BaseException as error:  # noqa: BLE001  (whatever user code raises fails the actor)
            self._start_failed(error)
        else:
            self._has_started()
        return False

    async def _await_start(self) -> None:
        assert self.actor is not None
        try:
            self.be_busy()
            starting: Any = self.actor.on_start()
            if starting is not None:  # a plain def is as good as an async one
                await starting
        except BaseException as error:  # noqa: BLE001  (whatever user code raises fails the actor)
            self._start_failed(error)
        else:
            self._has_started()

    def be_busy(self) -> None:
        """It begins with what may take long, and has but little time where it is to stop."""
        self.busy = True
        if self.stop_wanted or self.halt_wanted:
            self.patience.begin(self.stop_timeout)

    def _start_failed(self, error: BaseException) -> None:
        self.busy = False
        if not self.ended_by(error):
            self.fail(Failure.of(error, "start"))

    def _has_started(self) -> None:
        self.busy = False
        if self.stop_wanted or self.state is not State.STARTING:
            return
        self.failure = None
        self.state = State.SUSPENDED if self.suspended else State.RUNNING
        if self.halt_wanted:
            self.state = State.HALTING
        self.first_start(True)
        if self.parent[2] != GUARDIAN_UID:  # who has nothing to do about it
            self.system.signal(self.parent, Started(self.ref.parts))

    def uncancel(self) -> None:
        """The cancellations of its task have had their effect."""
        while self.task is not None and self.task.cancelling():
            self.task.uncancel()

    def uncancelled(self, error: BaseException) -> bool:
        """Whether the handler was cancelled; that is over now."""
        if isinstance(error, asyncio.CancelledError) and self.task and self.task.cancelling():
            self.task.uncancel()
            return True
        return False

    def ended_by(self, error: BaseException) -> bool:
        """Whether a stop ran out of patience; another cancellation ends the loop and is raised."""
        if not isinstance(error, asyncio.CancelledError):
            return False
        if self.task is None or not self.task.cancelling():
            return False
        if self.patience.interrupted:
            self.uncancel()
            _log.warning(
                "%s was still busy %.3g s after stop; cancelled", self.path, self.stop_timeout
            )
            return True
        raise error

    # -- failing and ending ----------------------------------------------------------------------

    def fail(self, failure: Failure) -> None:
        """See ``failing.fail``."""
        failing.fail(self, failure)

    def work_failed(self, failure: Failure) -> None:
        """What it awaits beside its mailbox failed."""
        if self.state in (State.RUNNING, State.SUSPENDED, State.STARTING):
            self.fail(failure)

    def cancel_work(self) -> None:
        """The timers of this incarnation end, and what it awaits beside its mailbox."""
        if self._timers is not None:
            self._timers.cancel_all()
        if self._pipes is not None:
            self._pipes.cancel_all()

    def abandon(self, why: str) -> None:
        """It does not end: whoever waits for it learns so, and its task is left."""
        self.stop_wanted = True  # whatever it comes back from, it does nothing more
        self.handling.given_up(f"{why} and is left")
        self.reason = f"abandoned: {why}"
        ending.finish(self, self.reason)

    # -- signals and watching --------------------------------------------------------------------

    def signal(self, signal: AnySignal) -> None:
        """A system signal: taken at once, whatever the mailbox holds."""
        reacting.take(self, signal)

    def node_died(self, node: str, reason: str, cause: Cause, *, outside: bool, lines: str) -> None:
        """The process of some children, watched actors or watchers is gone."""
        reacting.node_died(self, node, reason, cause, outside=outside, lines=lines)

    def watch(self, ref: ActorRef) -> None:
        """See ``Actor.watch``."""
        reacting.watch(self, ref)

    def unwatch(self, ref: ActorRef) -> None:
        """See ``Actor.unwatch``."""
        reacting.unwatch(self, ref)

    def add_watcher(self, watcher: RefParts) -> None:
        """One more is to learn of its end."""
        if self.watchers is _NOBODY:
            self.watchers = {}
        self.watchers[watcher[2]] = watcher

    def takes(self, terminated: Terminated) -> bool:
        """Whether that is still wanted; it is told now."""
        return self.watching.told(terminated.uid, self.system.world.clock.now())

    def told_again(self, terminated: Terminated) -> None:
        """It was put aside: it will be told once more."""
        self.watching.again(terminated.uid)

    # -- what is told about it -------------------------------------------------------------------

    @property
    def handles(self) -> str:
        """Name of the message type whose handler waits for something; else empty."""
        return "" if self._handling is None else self._handling.handles

    @property
    def _left(self) -> int:
        """Messages that have left the mailbox: what is being handled has, too."""
        return self.handled + self.skipped + (self.busy and self.state is State.RUNNING)

    def _mark(self, now: float) -> None:
        if self._marks is None:
            self._marks = Marks()
        self._marks.add(now, self._left + len(self.mailbox))

    def _oldest(self) -> float | None:
        """Seconds for which the oldest waiting message has waited, see ``CellStatistics``."""
        if not self.mailbox:
            return None
        now, since = self.system.world.clock.now(), self._since
        if self._marks is not None:
            since = self._marks.since(self._left, since)
        self._mark(now)
        return max(0.0, now - since)

    def _noted(self) -> Iterator[ChildStatistics]:
        here, actor = self.system.name, self.actor
        for child in self._children or ():
            restarts = 0 if actor is None else actor.child_restarts(child)
            if restarts or child.node != here:
                yield ChildStatistics(child.path, child.node, restarts)

    def statistics(self) -> CellStatistics:
        """Its state as a frozen record."""
        return CellStatistics(
            self.path, self.cls.__qualname__, self.state.value, len(self.mailbox), self.bound,
            self.handled, self.restarts, self.failures, len(self._children or ()),
            len(self.watchers), self._oldest(), tuple(islice(self._noted(), MOST_CHILDREN)),
            len(self._stash) if self._stash is not None else 0,
        )  # fmt: skip

    def __repr__(self) -> str:
        return (
            f"<Cell {self.path} {self.state.value} mailbox={len(self.mailbox)}/{self.bound} "
            f"restarts={self.restarts}>"
        )


async def _raised(error: Exception) -> None:
    raise error
