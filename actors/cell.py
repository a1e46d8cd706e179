"""The cell: what keeps an actor alive, its mailbox, its life cycle and its one task."""

from __future__ import annotations

import asyncio
import enum
import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from itertools import islice
from typing import TYPE_CHECKING, Any

from actors.actor import Actor
from actors.debugging import state_of
from actors.errors import SpawnFailed, UsageError
from actors.events import ActorFailure, ActorStopped
from actors.handlers import handlers_of
from actors.handling import Envelope, Handling
from actors.item import Item
from actors.marks import Marks
from actors.message import Message
from actors.offspring import Offspring
from actors.patience import AGAIN, Patience
from actors.piping import Pipes
from actors.ref import ActorRef
from actors.signals import (
    AnySignal,
    Cause,
    Failed,
    Failure,
    Halt,
    Halted,
    Inspect,
    Inspected,
    RefParts,
    Restart,
    Resume,
    Started,
    Stop,
    Stopped,
    Suspend,
    Terminated,
    Unwatch,
    Watch,
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


class State(enum.Enum):
    """Where an actor is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    SUSPENDED = "suspended"
    FAILED = "failed"
    HALTING = "halting"
    HALTED = "halted"
    STOPPING = "stopping"
    STOPPED = "stopped"


class Cell:
    """One actor of this node. Made by the system; user code sees ``Actor`` and ``ActorRef``."""

    __slots__ = (
        "__weakref__", "_factory", "_failure", "_halt_wanted", "_handling",
        "_mailbox", "_marks", "_restart_wanted", "_since", "_stash", "_stop_wanted", "_suspended",
        "_wakeup", "_watchers", "_watching", "actor", "bound", "busy", "children", "cls",
        "failures", "handled", "overflow", "parent", "path", "patience", "pipes", "reason",
        "ref", "restarts", "skipped", "started", "state", "stop_timeout", "stopped", "system",
        "task", "timers", "uid",
    )  # fmt: skip

    def __init__(
        self,
        system: ActorSystem,
        ref: ActorRef,
        parent: RefParts,
        cls: type[Actor],
        factory: Callable[[Actor], None],
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
        self.timers = Timers(system.world.clock, self.deliver)
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[None] = loop.create_future()
        self.started.add_done_callback(_retrieved)
        self.stopped: asyncio.Future[str] = loop.create_future()
        self._handling = Handling(self, handlers_of(cls))
        self._factory = factory
        self.actor: Actor | None = None
        self._mailbox: deque[Any] = deque()
        #: When the mailbox, empty until then, got its first message; what came later is in marks.
        self._since = system.world.clock.now()
        self._marks: Marks | None = None
        self._stash: Stash | None = None
        self._wakeup: asyncio.Future[None] | None = None
        self._stop_wanted = False
        self._halt_wanted = False
        self._restart_wanted = False
        #: Somebody looks for a fault; instances that come meanwhile wait, too.
        self._suspended = False
        #: What it failed of, while it waits for the verdict.
        self._failure: Failure | None = None
        #: With what it is at, once it is to stop.
        self.patience = Patience(self)
        self.busy = False
        self.children = Offspring(system)
        self._watchers: dict[int, RefParts] = {}
        self._watching = Watching()
        self.pipes = Pipes(self.path, self.deliver, self._work_failed)
        self.task = loop.create_task(self._run(), name=f"actor {self.path}")

    @property
    def chain(self) -> tuple[int, ...]:
        """The actors that wait for what is being handled."""
        current = self._handling.current
        return current.item.chain if current is not None else ()

    @property
    def current(self) -> Envelope | None:
        """What is being handled, where it came with arrays or wants a reply."""
        return self._handling.current

    def answer(self, envelope: Envelope, result: Any) -> None:
        """See ``Handling.answer``."""
        self._handling.answer(envelope, result)

    @property
    def stash(self) -> Stash:
        """See ``Actor.stash``."""
        if self._stash is None:
            capacity = (self.actor or self.cls).stash_capacity
            self._stash = Stash(self, capacity)
        return self._stash

    # -- mailbox -------------------------------------------------------------------------------

    def deliver(self, entry: Any) -> None:
        """Put an ``Item``, an ``Envelope``, a ``Tick`` or a local ``Message`` into the mailbox."""
        mailbox = self._mailbox
        if len(mailbox) >= self.bound and not self._make_room(entry):
            return
        mailbox.append(entry)
        if self._wakeup is not None:
            self._wake()
        elif self.busy and len(mailbox) == 1:
            # Who is woken reads the clock itself; a flood of messages never comes here.
            self._since = self.system.world.clock.now()

    def understands(self, kind: type[Message[Any]]) -> bool:
        """Whether its class has a handler for that type."""
        return self._handling.understands(kind)

    def put_back(self, entries: list[Any]) -> None:
        """Have these handled next: they were taken out of the mailbox before."""
        self._mailbox.extendleft(reversed(entries))
        self.skipped -= len(entries)
        self._wake()

    def _make_room(self, entry: Any) -> bool:
        if isinstance(entry, Terminated):
            return True  # it is told but once, and there are no more of them than watches
        if self.overflow == "drop_oldest":
            for index, oldest in enumerate(self._mailbox):
                if not isinstance(oldest, Terminated):
                    del self._mailbox[index]
                    self._refuse(oldest, "mailbox full")
                    self.skipped += 1
                    return True
        self._refuse(entry, "mailbox full")
        return False

    def _refuse(self, entry: Any, reason: str) -> None:
        """Account for a message that will not be handled."""
        if isinstance(entry, Tick):
            return
        self.system.dead_letter(self.path, entry, reason)

    def cancel_ask(self, ask: int, link: Link[Item]) -> bool:
        """The asker no longer waits: drop the message, or cancel its handler; if it is here."""
        current = self._handling.current
        if current is not None and current.item.ask == ask and current.link is link:
            current.cancelled = True
            if self.busy:
                self.task.cancel()
            return True
        for entry in self._mailbox:
            if isinstance(entry, Envelope) and entry.item.ask == ask and entry.link is link:
                entry.cancelled = True
                return True
        return self._stash is not None and self._stash.cancel(ask, link)

    # -- the loop ------------------------------------------------------------------------------

    async def _run(self) -> None:
        CURRENT.set(self)
        reason: str | None = None
        try:
            await self._start()
            mailbox = self._mailbox
            running, now = State.RUNNING, self.system.world.clock.now
            handling, waiter = self._handling, asyncio.get_running_loop().create_future
            turn, began = 0, now()
            while not self._stop_wanted:
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
                elif self._halt_wanted:
                    self._halt_wanted = False
                    await self._halt()
                elif self._restart_wanted:
                    self._restart_wanted = False
                    self.restarts += 1
                    await self._start()
                else:
                    turn, empty = 0, not mailbox
                    self._wakeup = waiter()
                    await self._wakeup
                    began = now()
                    if empty:
                        self._since = began
            if not self.stopped.done():
                await self._shut_down()
            reason = self.reason
        except asyncio.CancelledError:
            reason = "the node's loop was ended"
            raise
        except Exception as error:  # noqa: BLE001  (ours: what users raise never gets so far)
            _log.exception("%s: the runtime failed", self.path)
            self._failure = Failure.of(error, "runtime")
            self._publish(self._failure)
        finally:
            self._finish(reason)

    async def _start(self) -> None:
        self.state = State.STARTING
        self.reason = None
        try:
            actor = self.cls.__new__(self.cls)
            actor._cell = self  # noqa: SLF001  (the cell and its actor are one unit)
            self._factory(actor)
            self.actor = actor
            self.busy = True
            starting: Any = actor.on_start()
            if starting is not None:  # a plain def is as good as an async one
                await starting
        except BaseException as error:  # noqa: BLE001  (whatever user code raises fails the actor)
            self.busy = False
            if self.ended_by(error):
                return
            self.fail(Failure.of(error, "start"))
            return
        self.busy = False
        if self._stop_wanted or self.state is not State.STARTING:
            return
        self._failure = None
        self.state = State.SUSPENDED if self._suspended else State.RUNNING
        if self._halt_wanted:
            self.state = State.HALTING
        if not self.started.done():
            self.started.set_result(None)
        self.system.signal(self.parent, Started(self.ref.parts))

    def uncancelled(self, error: BaseException) -> bool:
        """Whether the handler was cancelled; that is over now."""
        if isinstance(error, asyncio.CancelledError) and self.task.cancelling():
            self.task.uncancel()
            return True
        return False

    def ended_by(self, error: BaseException) -> bool:
        """Whether a stop ran out of patience; another cancellation ends the loop and is raised."""
        if not isinstance(error, asyncio.CancelledError) or not self.task.cancelling():
            return False
        if self.patience.interrupted:
            self.patience.uncancel()
            _log.warning(
                "%s was still busy %.3g s after stop; cancelled", self.path, self.stop_timeout
            )
            return True
        raise error

    # -- failure and restart --------------------------------------------------------------------

    def fail(self, failure: Failure) -> None:
        """The actor failed: suspended until its supervisor's verdict."""
        if self.state is State.FAILED:
            return
        self.failures += 1
        if self._stop_wanted:  # nothing is decided about it any more
            self._publish(failure)
            return
        halting = self.state is State.HALTING  # which is to be renewed as it is
        if not halting:
            self.state, self._failure = State.FAILED, failure
        self.timers.cancel_all()
        self.pipes.cancel_all()
        self._publish(failure)
        if not self.started.done():
            text = f"{self.path} did not start: {failure}"
            self.started.set_exception(SpawnFailed(text, failure.traceback))
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

    async def _halt(self) -> None:
        """End the instance, whether it failed or not; the next one finds the mailbox."""
        self.state = State.HALTING
        self.timers.cancel_all()
        self.pipes.cancel_all()
        await self.children.stop()
        if not self._stop_wanted:
            await self._stop_hook()
        if self._stop_wanted:
            return
        self.patience.forget()
        # What the last of its code has started meanwhile (on_stop, a handler whose child failed).
        self.timers.cancel_all()
        self.pipes.cancel_all()
        if self._stash is not None:
            self.put_back(self._stash.take())
            self._stash = None
        self._failure = None
        self.state = State.HALTED
        self.system.signal(self.parent, Halted(self.ref.parts))

    async def _stop_hook(self) -> None:
        actor, self.actor = self.actor, None
        if actor is None:
            return
        # What was left was for a message; this has a limit of its own.
        self.patience.begin(self.stop_timeout + AGAIN, anew=True)
        self.busy = True
        try:
            async with asyncio.timeout(self.stop_timeout):
                stopping: Any = actor.on_stop()
                if stopping is not None:
                    await stopping
        except TimeoutError:
            _log.warning("%s hung in on_stop for %.3g s; left", self.path, self.stop_timeout)
        except BaseException as error:  # noqa: BLE001  (whatever user code raises fails the actor)
            if not self.ended_by(error):
                failure = Failure.of(error, "stop")
                self.system.events.publish(
                    ActorFailure(
                        path=self.path,
                        node=self.system.node.name,
                        error=f"on_stop raised {failure}",
                        traceback=failure.traceback,
                    )
                )
        finally:
            self.busy = False
            self.patience.end()

    # -- stopping ------------------------------------------------------------------------------

    @property
    def stopping(self) -> bool:
        """Whether it has been asked to stop."""
        return self._stop_wanted

    def _want_stop(self) -> None:
        if self._stop_wanted:
            return
        self._stop_wanted = True
        self._hurry()

    def _want_halt(self) -> None:
        if self._halt_wanted or self.state in (State.HALTING, State.HALTED):
            return
        self._halt_wanted = True
        if self.state in (State.RUNNING, State.SUSPENDED):
            self.state = State.HALTING
        self._hurry()

    def _hurry(self) -> None:
        """What it does is given its time, and the instance is told."""
        self._wake()
        if self.busy:
            self.patience.begin(self.stop_timeout)
        if self.actor is not None:
            try:
                self.actor.stop_wanted()
            except Exception:  # noqa: BLE001  (it is user code; it stops all the same)
                _log.exception("%s: stop_wanted raised", self.path)

    def abandon(self, why: str) -> None:
        """It does not end: whoever waits for it learns so, and its task is left."""
        self._stop_wanted = True  # whatever it comes back from, it does nothing more
        self._handling.given_up(f"{why} and is left")
        self.reason = f"abandoned: {why}"
        self._finish(self.reason)

    def _wake(self) -> None:
        waiter, self._wakeup = self._wakeup, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def _shut_down(self) -> None:
        self.state = State.STOPPING
        self.timers.cancel_all()
        self.pipes.cancel_all()
        await self.children.stop()
        if not self.stopped.done():
            await self._stop_hook()

    def _finish(self, reason: str | None) -> None:
        """It is gone: say so to all whom it concerns.

        Args:
            reason: why, where it is not that it was told to.
        """
        cause: Cause = "stopped"
        if reason is None:
            reason = "stopped"
            if self._failure is not None:
                reason, cause = f"failed: {self._failure}", "failed"
        elif reason == self.reason:
            cause = "failed"
        if self.stopped.done():  # it was left, and has ended by itself after all
            return
        self.patience.end()
        self.state = State.STOPPED
        self.timers.cancel_all()
        self.pipes.cancel_all()
        self.system.forget(self)
        while self._mailbox:
            self._refuse(self._mailbox.popleft(), "stopped")
        if self._stash is not None:
            for entry in self._stash.take():
                self._refuse(entry, "stopped")
        for target in self._watching:
            self.system.signal(target.parts, Unwatch(self.ref.parts))
        self._watching.clear()
        if not self.started.done():
            self.started.set_exception(
                SpawnFailed(f"{self.path} was stopped before it had started")
            )
        self.system.ended(self.uid, reason, cause)
        gone = Stopped(self.ref.parts, reason, cause)
        for watcher in self._watchers.values():
            self.system.signal(watcher, gone)
        if self.parent[2] not in self._watchers:
            self.system.signal(self.parent, gone)
        self.system.events.publish(
            ActorStopped(path=self.path, node=self.system.node.name, reason=reason)
        )
        if not self.stopped.done():
            self.stopped.set_result(reason)

    # -- signals -------------------------------------------------------------------------------

    def signal(self, signal: AnySignal) -> None:
        """A system signal: taken at once, whatever the mailbox holds."""
        match signal:
            case Stop():
                self._want_stop()
            case Halt():
                self._want_halt()
            case Restart():
                if self.state is State.HALTED:
                    self._restart_wanted = True
                    self._wake()
            case Watch(watcher):
                self._watchers[watcher[2]] = watcher
            case Unwatch(watcher):
                self._watchers.pop(watcher[2], None)
            case Failed(child, failure):
                self._child_failed(self.system.ref(child), failure)
            case Started(child):
                self._child(lambda a: a.child_started(self.system.ref(child)))
            case Halted(child):
                self._child(lambda a: a.child_halted(self.system.ref(child)))
            case Stopped(actor, reason, cause):
                self._stopped(self.system.ref(actor), reason, cause)
            case Suspend():
                self._suspended = True
                if self.state is State.RUNNING:
                    self.state = State.SUSPENDED
            case Resume():
                self._suspended = False
                if self.state is State.SUSPENDED:
                    self.state = State.RUNNING
                    self._wake()
            case Inspect(number, asker):
                answer = Inspected(number, state_of(self, self._mailbox, self._handling.handles))
                self.system.signal((asker, "/", 0), answer)
            case _:
                _log.warning("%s: signal %r is not for an actor", self.path, signal)

    def _child(self, react: Callable[[Actor], None]) -> None:
        """Let the actor react to a child's news; with no instance (restarting) there is nobody."""
        actor = self.actor
        if actor is None or self.state in (State.STOPPING, State.HALTING):
            return
        try:
            react(actor)
        except Exception as error:  # noqa: BLE001  (the reaction is user code)
            if self.state in (State.RUNNING, State.SUSPENDED, State.STARTING):
                self.fail(Failure.of(error, "supervision"))

    def _child_failed(self, child: ActorRef, failure: Failure) -> None:
        self._child(lambda actor: actor.child_failed(child, failure))

    def _stopped(self, actor: ActorRef, reason: str, cause: Cause) -> None:
        child = self.children.gone(actor.uid)
        if child is not None:
            self._child(lambda a: a.child_stopped(child, reason, cause))
        self._terminated(actor.uid, reason, cause)

    def _terminated(self, uid: int, reason: str, cause: Cause) -> None:
        watched = self._watching.gone(uid)
        if watched is not None:  # whose node may know no more of it than its uid
            self.deliver(Terminated(watched.path, watched.uid, reason, cause))

    def told_again(self, terminated: Terminated) -> None:
        """It was put aside: it will be told once more."""
        self._watching.again(terminated.uid)

    def takes(self, terminated: Terminated) -> bool:
        """Whether that is still wanted; it is told now."""
        return self._watching.told(terminated.uid, self.system.world.clock.now())

    def node_died(self, node: str, reason: str, cause: Cause, *, outside: bool, lines: str) -> None:
        """The process of some children, watched actors or watchers is gone."""
        for uid in [w[2] for w in self._watchers.values() if w[0] == node]:
            del self._watchers[uid]
        failure = Failure("NodeDied", reason, lines, "process", "", outside=outside)
        for child in [c for c in self.children if c.node == node]:
            if self.state in (State.STOPPING, State.HALTING):
                self._stopped(child, reason, cause)
            else:
                self._child_failed(child, failure)
        for target in [w for w in self._watching if w.node == node]:
            self._terminated(target.uid, reason, cause)

    # -- what the actor may do -------------------------------------------------------------------

    def watch(self, ref: ActorRef) -> None:
        """See ``Actor.watch``."""
        if not self._handling.understands(Terminated):
            msg = (
                f"{self.cls.__qualname__} watches {ref.path} but has no handler for Terminated; "
                "add `async def gone(self, message: Terminated) -> None`"
            )
            raise UsageError(msg)
        clock = self.system.world.clock
        delay = self._watching.watch(ref, clock.now())
        if delay is None:
            return
        if delay > 0:
            clock.call_later(delay, self._ask_after, ref)
        else:
            self._ask_after(ref)

    def _ask_after(self, ref: ActorRef) -> None:
        if ref.uid in self._watching:
            self.system.signal(ref.parts, Watch(self.ref.parts))

    def unwatch(self, ref: ActorRef) -> None:
        """See ``Actor.unwatch``."""
        if self._watching.unwatch(ref.uid):
            self.system.signal(ref.parts, Unwatch(self.ref.parts))

    # -- what is told about it -------------------------------------------------------------------

    @property
    def _left(self) -> int:
        """Messages that have left the mailbox: what is being handled has, too."""
        return self.handled + self.skipped + (self.busy and self.state is State.RUNNING)

    def _mark(self, now: float) -> None:
        if self._marks is None:
            self._marks = Marks()
        self._marks.add(now, self._left + len(self._mailbox))

    def _oldest(self) -> float | None:
        """Seconds for which the oldest waiting message has waited, see ``CellStatistics``."""
        if not self._mailbox:
            return None
        now, since = self.system.world.clock.now(), self._since
        if self._marks is not None:
            since = self._marks.since(self._left, since)
        self._mark(now)
        return max(0.0, now - since)

    def _noted(self) -> Iterator[ChildStatistics]:
        here, actor = self.system.name, self.actor
        for child in self.children:
            restarts = 0 if actor is None else actor.child_restarts(child)
            if restarts or child.node != here:
                yield ChildStatistics(child.path, child.node, restarts)

    def statistics(self) -> CellStatistics:
        """Its state as a frozen record."""
        return CellStatistics(
            self.path, self.cls.__qualname__, self.state.value, len(self._mailbox), self.bound,
            self.handled, self.restarts, self.failures, len(self.children), len(self._watchers),
            self._oldest(), tuple(islice(self._noted(), MOST_CHILDREN)),
            len(self._stash) if self._stash is not None else 0,
        )  # fmt: skip

    def __repr__(self) -> str:
        return (
            f"<Cell {self.path} {self.state.value} mailbox={len(self._mailbox)}/{self.bound} "
            f"restarts={self.restarts}>"
        )


def _retrieved(future: asyncio.Future[None]) -> None:
    """Nobody may be waiting for a start that failed; the failure is an event anyway."""
    if not future.cancelled():
        future.exception()
