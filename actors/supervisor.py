"""Supervisors: actors that start, restart and stop others, and do nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from actors.actor import Actor
from actors.children import (
    MAX_CHILDREN,
    ChildRecord,
    RestartChild,
    StartAnswer,
    StartChild,
    TerminateChild,
    WhichChildren,
)
from actors.errors import GaveUp, NodeError, UsageError
from actors.events import ActorFailure, ActorRestarted, ChildGivenUp, SupervisorGaveUp
from actors.family import Effect, End, Escalate, Family, Halt, Make, Renew, Stage, Wait
from actors.message import Message
from actors.ref import ActorRef
from actors.signals import ActorSpec, Cause, Failure, Restart, kinds_of
from actors.signals import Halt as HaltSignal
from actors.supervision import RestartType, Strategy
from transports import LinkFull

R = TypeVar("R")

#: Seconds beyond its own limit that a child on another node is given to end, for the way there and
#: back, before its process is killed.
GRACE = 2.0


#: Seconds after which a start that is not through is told of, again and again; importing torch on a
#: busy machine takes longer.
_STARTING = 30.0
#: Of those that have not started, how many are named.
_NAMED = 10
_log = logging.getLogger("actors.supervisor")


@dataclass(frozen=True)
class Child:
    """A child as its supervisor knows it.

    Attributes:
        ref: its reference, the same over all its restarts.
        start: makes it on this node, where it lives here.
        spec: how its node makes it, where it lives elsewhere.
        restart: permanent children are always restarted, transient ones when they failed,
            temporary ones never.
        stop_timeout: seconds that it may take to end; beyond, one on another node loses its
            process.
        kind: name of its class.
    """

    ref: ActorRef
    start: Callable[[ActorRef], None] | None = None
    spec: ActorSpec | None = None
    restart: RestartType = "permanent"
    stop_timeout: float = 5.0
    kind: str = ""


class Progressed(Message[None]):
    """Tells a supervisor that a child (0: all of them) got something done: its budget is reset."""

    uid: int = 0


def _nobody() -> Sequence[Child]:
    return ()


class Supervisor(Actor):
    """Starts its children in order, restarts what fails as its strategy says, else fails itself.

    Made by an ``ActorGraph``, or spawned without children, which are then started through
    ``Children``. Its own restart starts the children that it was declared with anew.

    Args:
        strategy: what it does about failures.
        children: called once the supervisor runs; whom it supervises.
    """

    def __init__(
        self, strategy: Strategy, children: Callable[[], Sequence[Child]] = _nobody
    ) -> None:
        self._strategy = strategy
        self._make_children = children
        self._family = Family(strategy, self.clock.now, lambda: self.rng.uniform(0.0, 1.0))
        self._known: dict[int, Child] = {}
        #: Those who wait until a child is up, or gone: by its uid.
        self._first: dict[int, asyncio.Future[str]] = {}
        self._gone: dict[int, list[asyncio.Future[None]]] = {}
        #: The end of each child on another node that has a limit: which, for there may be others.
        self._ending: dict[int, object] = {}
        #: The latest start of each child that waits for its process.
        self._making: dict[int, object] = {}
        self._settled: asyncio.Future[None] | None = None
        self._at_end = False

    async def on_start(self) -> None:
        """Start the children in order, and wait until all are up."""
        children = list(self._make_children())
        for child in children:
            self._know(child)
        for effect in self._family.add([_entry(child) for child in children]):
            if isinstance(effect, Make):
                await self._make(self._known[effect.child])
        if not self._family.settled and not self._at_end:
            self._settled = asyncio.get_running_loop().create_future()
            while not self._settled.done():
                await asyncio.wait({self._settled}, timeout=_STARTING)
                self._say_who_is_missing()
            self._settled.result()

    def _say_who_is_missing(self) -> None:
        missing = [uid for uid in self._family if self._family.stage(uid) is not Stage.UP]
        if missing and self._settled is not None and not self._settled.done():
            names = ", ".join(self._known[uid].ref.path for uid in missing[:_NAMED])
            more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
            _log.warning("%s still waits for %s%s to start", self.ref.path, names, more)

    def stop_wanted(self) -> None:
        """Nobody is waited for any more."""
        if self._settled is not None and not self._settled.done():
            self._settled.set_result(None)
        for up in self._first.values():
            if not up.done():
                up.set_result("its supervisor stops")
        for waiting in self._gone.values():
            for gone in waiting:
                if not gone.done():
                    gone.set_result(None)

    def _know(self, child: Child) -> None:
        self._known[child.ref.uid] = child
        self._cell.children.adopt(child.ref, child.stop_timeout + GRACE)

    # -- what children do ------------------------------------------------------------------------

    def progressed(self, message: Progressed) -> None:
        """A child got something done."""
        for uid in [message.uid] if message.uid else list(self._known):
            self._family.progressed(uid)

    def child_started(self, child: ActorRef) -> None:
        """It is up; if this was a restart, say so."""
        self._ending.pop(child.uid, None)
        self._first_is(child.uid, "")
        why, effects = self._family.started(child.uid)
        if why is not None:
            self.system.events.publish(
                ActorRestarted(
                    path=child.path,
                    node=child.node,
                    restarts=self._family.restarts(child.uid),
                    error=str(why) if why.kind != "Sibling" else why.message,
                    outside=why.during == "process",
                )
            )
        self._carry_out(effects)

    def child_failed(self, child: ActorRef, failure: Failure) -> None:
        """Decide."""
        known = self._known.get(child.uid)
        if known is None or child.uid not in self._family:
            child.stop()
            return
        self._making.pop(child.uid, None)
        if failure.during in ("process", "make"):
            self._ending.pop(child.uid, None)
        if child.node != self.system.name:
            self.system.events.publish(
                ActorFailure(
                    path=child.path,
                    node=child.node,
                    error=str(failure),
                    traceback=failure.traceback,
                    outside=failure.during == "process",
                    kinds=failure.kinds,
                )
            )
        if self._at_end or self.system.stopping:
            return
        gone = failure.during in ("process", "make")
        # Who asked for it is told, and there is nothing to restart.
        if self._first_is(child.uid, str(failure)):
            self.system.failures.tell(child.path, failure, "is not started", final=True)
            self._carry_out(self._family.terminate(child.uid, gone=gone))
            self._forget(child.uid)
            return
        restarts = self._family.restarts(child.uid)
        effects = self._family.failed(child.uid, failure, gone=gone)
        if not any(isinstance(effect, Escalate) for effect in effects):  # who is above tells of it
            kept = child.uid in self._family and self._family.stage(child.uid) is not Stage.ENDING
            verdict = "is restarted" if kept else "is stopped"
            self.system.failures.tell(child.path, failure, verdict, final=not kept)
            if not kept:
                self.system.events.publish(
                    ChildGivenUp(
                        supervisor=self.ref.path,
                        child=child.path,
                        restarts=restarts,
                        error=str(failure),
                    )
                )
        self._carry_out(effects)
        self._forget(child.uid)

    def child_halted(self, child: ActorRef) -> None:
        """Its instance has ended, as it was told to."""
        self._ending.pop(child.uid, None)
        self._carry_out(self._family.halted(child.uid))

    def child_stopped(self, child: ActorRef, reason: str, cause: Cause) -> None:
        """It is gone: a permanent one that stopped by itself is started again."""
        self._ending.pop(child.uid, None)
        first = self._first_is(child.uid, f"it is gone ({reason})")
        known = self._known.get(child.uid)
        if known is None or self._at_end or self.system.stopping:
            return
        if first:
            effects = self._family.terminate(child.uid, gone=True)
        else:
            effects = self._family.stopped(child.uid, reason, cause)
        if child.uid in self._family:
            self._cell.children.adopt(child, known.stop_timeout + GRACE)
            self._cell.children.reorder(self._family)
        self._carry_out(effects)
        self._forget(child.uid)

    def _first_is(self, uid: int, trouble: str) -> bool:
        """A first start is through, or (``trouble``) failed; whether anybody waits for it."""
        first = self._first.pop(uid, None)
        if first is not None and not first.done():
            first.set_result(trouble)
        return first is not None

    def _forget(self, uid: int) -> None:
        """Where the family has lost a member, so does everybody else."""
        if uid in self._family:
            return
        self._known.pop(uid, None)
        self._making.pop(uid, None)
        self._cell.children.gone(uid)
        for waiting in self._gone.pop(uid, ()):
            if not waiting.done():
                waiting.set_result(None)

    # -- what is done about it -------------------------------------------------------------------

    def _carry_out(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Make(uid):
                    self._cell.pipes.run(self._make(self._known[uid]))
                case Renew(uid):
                    self.system.signal(self._known[uid].ref.parts, Restart())
                case Halt(uid):
                    self.system.signal(self._known[uid].ref.parts, HaltSignal())
                    self._limit(self._known[uid], Stage.HALTING)
                case End(uid):
                    self._known[uid].ref.stop()
                    self._limit(self._known[uid], Stage.ENDING)
                case Wait(number, delay):
                    self._cell.pipes.run(self._wait(number, delay))
                case Escalate():
                    self._give_up(effect)
                    return
        settled = self._settled
        if settled is not None and not settled.done() and self._family.settled:
            settled.set_result(None)

    async def _make(self, child: Child) -> None:
        ref = child.ref
        self._making[ref.uid] = this = object()
        try:
            if ref.node != self.system.name and self.system.ensure_node is not None:
                await self.system.ensure_node(ref.node)
        except NodeError as error:
            # Where the process died meanwhile, that was told before this, and counts once.
            if ref.uid in self._family and self._making.get(ref.uid) is this:
                failure = Failure("NodeStartFailed", str(error), "", "process", outside=True)
                self.child_failed(ref, failure)
            return
        if ref.uid not in self._family or self._family.stage(ref.uid) is not Stage.STARTING:
            return  # it was terminated meanwhile
        if child.start is not None:
            child.start(self.ref)
        else:
            assert child.spec is not None
            self.system.spawn_at(ref, child.spec, self.ref)

    async def _wait(self, number: int, delay: float) -> None:
        await self.clock.sleep(delay)
        self._carry_out(self._family.due(number))

    def _limit(self, child: Child, stage: Stage) -> None:
        """One on another node that does not end in time loses its process.

        One on this node sees to that itself: what it runs is cancelled.
        """
        if child.ref.node != self.system.name:
            self._ending[child.ref.uid] = this = object()
            self._cell.pipes.run(self._overdue(child, stage, this))

    async def _overdue(self, child: Child, stage: Stage, this: object) -> None:
        limit = child.stop_timeout + GRACE
        await self.clock.sleep(limit)
        uid = child.ref.uid
        if self._ending.get(uid) is not this:
            return
        if uid in self._family and self._family.stage(uid) is stage:
            self.system.peers.kill_node(
                child.ref.node, f"{child.ref.path} did not end within {limit:g} s"
            )

    def _give_up(self, decided: Escalate) -> None:
        child, restarts = self._known[decided.child].ref, decided.restarts
        failure = decided.failure
        kinds = (*kinds_of(GaveUp), *failure.kinds)
        if failure.kind == GaveUp.__name__ and decided.beyond_help:
            # A supervisor below is at its end and has said so: passed on as it is.
            self._escalate(failure)
            return
        if decided.beyond_help:
            sentence = f"{child.path} failed beyond help: {failure}"
        else:
            again = said_of(restarts, self._strategy, outside=failure.outside)
            sentence = f"{child.path} {again}, {self.ref.path} gives up: {failure}"
        self.system.events.publish(
            SupervisorGaveUp(
                supervisor=self.ref.path,
                child=child.path,
                restarts=restarts,
                error=str(failure),
                kinds=failure.kinds,
            )
        )
        self._escalate(
            Failure(
                GaveUp.__name__,
                sentence,
                failure.traceback,
                handling=failure.handling,
                kinds=kinds,
                child=child.path,
                restarts=restarts,
            )
        )

    def child_restarts(self, child: ActorRef) -> int:
        """Those of its code and of its process together."""
        return self._family.restarts(child.uid) if child.uid in self._family else 0

    def _escalate(self, failure: Failure) -> None:
        self._at_end = True
        self._cell.fail(failure)
        self.stop_wanted()

    # -- dynamic children --------------------------------------------------------------------------

    def _named(self, name: str) -> Child | None:
        return next((c for c in self._known.values() if c.ref.name == name), None)

    def _later(self, answer: Coroutine[Any, Any, R]) -> R:
        """Answer what is being handled later, and handle others meanwhile."""
        envelope = self._cell.current
        if envelope is not None:
            envelope.later = True

        async def wait() -> None:
            found = await answer
            if envelope is not None and not envelope.cancelled:
                with contextlib.suppress(LinkFull):  # then its deadline tells it
                    self._cell.answer(envelope, found)

        self._cell.pipes.run(wait(), answer.close)
        return cast("R", None)

    def start_child(self, message: StartChild) -> StartAnswer:
        """Start a child beside the others; answered when it is up."""
        return self._later(self._start_child(message))

    async def _start_child(self, message: StartChild) -> StartAnswer:
        spec = message.spec
        if self._named(spec.name) is not None:
            return _refused(
                f"{self.ref.path} has a child named {spec.name!r} already; choose another name"
            )
        if len(self._known) >= MAX_CHILDREN:
            return _refused(
                f"{self.ref.path} has {MAX_CHILDREN} children already; terminate some first"
            )
        node = message.node or self.system.name
        try:
            ref = self.system.new_ref(spec.name, node, self.ref.path)
            if node != self.system.name:
                if self.system.ensure_node is None:
                    return _refused(f"{self.system.name} has no processes to place it in")
                await self.system.ensure_node(node)
        except (UsageError, NodeError) as error:
            return _refused(str(error))
        if self._named(spec.name) is not None:  # somebody was faster while the process started
            return _refused(f"{ref.path} exists already; choose another name")
        kind = spec.code.rpartition(":")[2]
        child = Child(ref, None, spec, message.restart, spec.stop_timeout, kind)
        up: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._first[ref.uid] = up
        self._know(child)
        self._carry_out(self._family.add([_entry(child)]))
        trouble = await up
        if trouble:
            await self._until_gone(child)
        return _refused(f"{ref.path} did not start: {trouble}") if trouble else StartAnswer(ref)

    def terminate_child(self, message: TerminateChild) -> bool:
        """Stop a child for good; answered when it is gone, False where there is none."""
        return self._later(self._terminate_child(message))

    async def _terminate_child(self, message: TerminateChild) -> bool:
        child = self._named(message.name)
        if child is None:
            return False
        self._first_is(child.ref.uid, "it was terminated")
        self._carry_out(self._family.terminate(child.ref.uid))
        self._forget(child.ref.uid)
        await self._until_gone(child)
        return True

    async def _until_gone(self, child: Child) -> None:
        if child.ref.uid in self._known:
            gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._gone.setdefault(child.ref.uid, []).append(gone)
            await gone

    def restart_child(self, message: RestartChild) -> bool:
        """Restart a child, at nobody's expense; False where there is none."""
        child = self._named(message.name)
        if child is None:
            return False
        failure = Failure("Asked", f"{self.ref.path} was asked to restart {message.name}")
        self._carry_out(self._family.restart(child.ref.uid, failure))
        return True

    def which_children(self, message: WhichChildren) -> tuple[ChildRecord, ...]:
        """Whom it supervises, in the order of their start."""
        return tuple(
            ChildRecord(
                child.ref.name,
                child.ref,
                child.kind,
                child.restart,
                self._family.stage(uid).value,
                self._family.restarts(uid),
            )
            for uid in self._family
            for child in [self._known[uid]]
        )


def said_of(restarts: int, strategy: Strategy, *, outside: bool) -> str:
    """What a child did that may not be restarted (again)."""
    limit = f"outside={strategy.outside}" if outside else f"intensity={strategy.intensity}"
    if not restarts:
        return f"failed and may not be restarted ({limit})"
    times = "1 restart" if restarts == 1 else f"{restarts} restarts"
    if strategy.until_progress and not outside:
        return f"failed again after {times}, and got nothing done between them ({limit})"
    return f"failed again after {times} within {strategy.per:g} s ({limit})"


def _refused(why: str) -> StartAnswer:
    return StartAnswer(None, why)


def _entry(child: Child) -> tuple[int, str, RestartType]:
    return child.ref.uid, child.ref.name, child.restart
