"""The cell: what keeps an actor alive, its mailbox, its life cycle and its one task."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Iterator
from contextvars import ContextVar, copy_context
from itertools import islice
from typing import TYPE_CHECKING, Any

from actors import ending, reacting
from actors.actor import Actor
from actors.errors import SpawnFailed
from actors.events import ActorFailure
from actors.handlers import handlers_of
from actors.handling import Envelope, Handling
from actors.item import Item
from actors.lifecycle import State
from actors.marks import Marks
from actors.message import Message
from actors.offspring import Offspring
from actors.patience import Patience
from actors.piping import Pipes
from actors.ref import ActorRef
from actors.signals import (
    GUARDIAN_UID,
    AnySignal,
    Cause,
    Failed,
    Failure,
    RefParts,
    Started,
    Terminated,
)
from actors.stash import Stash
from actors.statistics import MOST_CHILDREN, CellStatistics, ChildStatistics
from actors.timers import Tick, Timers
from actors.watching import Watching
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

# Ten thousand idle actors cost their node what each of them holds, in memory and in what the
# garbage collector walks over again and again. What most never use is made when it is first used.
_NO_MAIL: deque[Any] = deque(maxlen=0)
_NOBODY: dict[int, RefParts] = {}


class Cell:
    """One actor of this node. Made by the system; user code sees ``Actor`` and ``ActorRef``.

    It has a task from the first moment on in which there is something to do: a start that waits
    for something, a message, a signal that changes its state. ``reacting`` has what it does about
    signals, ``ending`` how it ends.
    """

    __slots__ = (
        "__weakref__", "_arguments", "_begun", "_children", "_context", "_first_start", "_handling",
        "_marks", "_patience", "_pipes", "_since", "_started", "_stash", "_stopped", "_timers",
        "_wakeup", "_watching", "actor", "bound", "busy", "cls", "failure", "failures", "gone",
        "halt_wanted", "handled", "handlers", "mailbox", "overflow", "parent", "path", "reason",
        "ref", "restart_wanted", "restarts", "skipped", "state", "stop_timeout", "stop_wanted",
        "suspended", "system", "task", "uid", "watchers",
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
        self.system = system
        self.ref = ref
        self.uid = ref.uid
        self.path = ref.path
        self.parent = parent
        self.cls = cls
        self.handlers = handlers_of(cls)
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
        #: Why it is gone, once it is.
        self.gone: str | None = None
        self.actor: Actor | None = None
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
        #: What came of its first start: nothing yet, True, or why there was none.
        self._first_start: bool | SpawnFailed = False
        self._started: asyncio.Future[None] | None = None
        self._stopped: asyncio.Future[str] | None = None
        # That of who makes it, as for a task.
        self._context = copy_context()
        #: When the mailbox, empty until then, got its first message; what came later is in marks.
        self._since = 0.0
        self._marks: Marks | None = None
        self._wakeup: asyncio.Future[None] | None = None
        self._handling: Handling | None = None
        self._timers: Timers | None = None
        self._stash: Stash | None = None
        self._patience: Patience | None = None
        self._children: Offspring | None = None
        self._watching: Watching | None = None
        self._pipes: Pipes | None = None

    # -- what only some actors have --------------------------------------------------------------

    @property
    def timers(self) -> Timers:
        """See ``Actor.timers``."""
        if self._timers is None:
            self._timers = Timers(self.system.world.clock, self.deliver)
        return self._timers

    @property
    def pipes(self) -> Pipes:
        """What it awaits beside its mailbox."""
        if self._pipes is None:
            self._pipes = Pipes(self.path, self.deliver, self._work_failed)
        return self._pipes

    @property
    def children(self) -> Offspring:
        """Its living children."""
        if self._children is None:
            self._children = Offspring(self.system)
        return self._children

    @property
    def watching(self) -> Watching:
        """Whom it watches."""
        if self._watching is None:
            self._watching = Watching()
        return self._watching

    @property
    def patience(self) -> Patience:
        """With what it is at, once it is to stop."""
        if self._patience is None:
            self._patience = Patience(self)
        return self._patience

    @property
    def stash(self) -> Stash:
        """See ``Actor.stash``."""
        if self._stash is None:
            self._stash = Stash(self, (self.actor or self.cls).stash_capacity)
        return self._stash

    def take_stash(self) -> list[Any]:
        """What was put aside, in order; the next instance gets a stash of its own."""
        stash, self._stash = self._stash, None
        return [] if stash is None else stash.take()

    @property
    def has_children(self) -> bool:
        """Whether any of its children lives."""
        return bool(self._children)

    @property
    def watches(self) -> bool:
        """Whether it watches anybody, or did."""
        return self._watching is not None

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

    @property
    def handling(self) -> Handling:
        """What handles its messages."""
        if self._handling is None:
            self._handling = Handling(self, self.handlers)
        return self._handling

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
        if self._wakeup is not None or self.task is None:
            self.wake()
        elif self.busy and len(mailbox) == 1:
            # Who is woken reads the clock itself; a flood of messages never comes here.
            self._since = self.system.world.clock.now()

    def understands(self, kind: type[Message[Any]]) -> bool:
        """Whether its class has a handler for that type."""
        return kind in self.handlers.by_type

    def put_back(self, entries: list[Any]) -> None:
        """Have these handled next: they were taken out of the mailbox before."""
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
        starting = self._construct()
        if starting is not None or self.mailbox or self.stop_wanted or self.halt_wanted:
            self._live(starting)
        elif self.task is None:
            self.system.idling.begin()

    def _live(self, starting: Awaitable[None] | None = None) -> None:
        """Give it its task."""
        if self.mailbox is _NO_MAIL:
            self.mailbox = deque()
        if self.task is None and self.gone is None:
            loop, name = asyncio.get_running_loop(), f"actor {self.path}"
            self.task = loop.create_task(self._run(starting), name=name, context=self._context)

    def wake(self) -> None:
        """There is something to do."""
        waiter, self._wakeup = self._wakeup, None
        if waiter is not None:
            if not waiter.done():
                waiter.set_result(None)
        elif self.task is None and self._begun:
            self._live()

    @property
    def started(self) -> asyncio.Future[None]:
        """Resolved by its first start, or by what prevents it.

        Raises:
            SpawnFailed: what its constructor or ``on_start`` raised, or that it was stopped before.
        """
        if self._started is None:
            self._started = asyncio.get_running_loop().create_future()
            self._started.add_done_callback(_retrieved)
            self._resolve_started()
        return self._started

    @property
    def has_started(self) -> bool:
        """Whether it has ever started."""
        return self._first_start is True

    def first_start(self, outcome: bool | SpawnFailed) -> None:
        """What came of its first start; nothing where that is known."""
        if self._first_start is False:
            self._first_start = outcome
            self._resolve_started()

    def _resolve_started(self) -> None:
        if self._started is not None and not self._started.done():
            if isinstance(self._first_start, SpawnFailed):
                self._started.set_exception(self._first_start)
            elif self._first_start:
                self._started.set_result(None)

    @property
    def stopped(self) -> asyncio.Future[str]:
        """Resolved when it is gone, with the reason."""
        if self._stopped is None:
            self._stopped = asyncio.get_running_loop().create_future()
            self.resolve_stopped()
        return self._stopped

    def resolve_stopped(self) -> None:
        """Whoever waits until it is gone learns it, if it is."""
        if self._stopped is not None and self.gone is not None and not self._stopped.done():
            self._stopped.set_result(self.gone)

    # -- the loop ------------------------------------------------------------------------------

    async def _run(self, starting: Awaitable[None] | None) -> None:
        reason: str | None = None
        try:
            now = self.system.world.clock.now
            if starting is None:
                self._since = now()
            else:
                await self._await_start(starting)
            mailbox, handling, running = self.mailbox, self.handling, State.RUNNING
            waiter = asyncio.get_running_loop().create_future
            turn, began = 0, now()
            while not self.stop_wanted:
                if mailbox and self.state is running:
                    rest = handling.handle(mailbox, _TURN - turn % _TURN)
                    turn += handling.taken
                    if rest is not None:
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
                    again = self._construct()
                    if again is not None:
                        await self._await_start(again)
                else:
                    turn, empty = 0, not mailbox
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
            self._publish(self.failure)
        finally:
            ending.finish(self, reason)

    def _construct(self) -> Awaitable[None] | None:
        """A fresh instance; what is left to wait for until it has started, if anything."""
        self.state = State.STARTING
        self.reason = None
        try:
            actor = self.cls.__new__(self.cls)
            actor._cell = self  # noqa: SLF001  (the cell and its actor are one unit)
            construct: Any = self.cls.__init__
            construct(actor, **self._arguments)
            self.actor = actor
            if getattr(actor.on_start, "__func__", None) is not Actor.on_start:
                self.busy = True
                starting: Any = actor.on_start()
                if starting is not None:  # a plain def is as good as an async one
                    return starting  # type: ignore[no-any-return]  # whatever it is, it is awaited
        except BaseException as error:  # noqa: BLE001  (whatever user code raises fails the actor)
            self._start_failed(error)
        else:
            self._has_started()
        return None

    async def _await_start(self, starting: Awaitable[None]) -> None:
        try:
            await starting
        except BaseException as error:  # noqa: BLE001  (whatever user code raises fails the actor)
            self._start_failed(error)
        else:
            self._has_started()

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
        """The actor failed: suspended until its supervisor's verdict."""
        if self.state is State.FAILED:
            return
        self.failures += 1
        if self.stop_wanted:  # nothing is decided about it any more
            self._publish(failure)
            return
        halting = self.state is State.HALTING  # which is to be renewed as it is
        if not halting:
            self.state, self.failure = State.FAILED, failure
        self.cancel_work()
        self._publish(failure)
        if not self.has_started:
            text = f"{self.path} did not start: {failure}"
            self.first_start(SpawnFailed(text, failure.traceback))
        if not halting:
            self.system.signal(self.parent, Failed(self.ref.parts, failure))

    def _publish(self, failure: Failure) -> None:
        self.system.events.publish(
            ActorFailure(
                path=self.path,
                node=self.system.node.name,
                error=str(failure),
                traceback=failure.traceback,
                kinds=failure.kinds,
            )
        )

    def _work_failed(self, failure: Failure) -> None:
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


def _retrieved(future: asyncio.Future[None]) -> None:
    """Nobody may be waiting for a start that failed; the failure is an event anyway."""
    if not future.cancelled():
        future.exception()
