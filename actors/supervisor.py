"""Supervisors: actors that start, restart and stop others, and do nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from actors.actor import Actor
from actors.errors import GaveUp, NodeError
from actors.events import ActorFailure, ActorRestarted, SupervisorGaveUp
from actors.message import Message
from actors.ref import ActorRef
from actors.signals import ActorSpec, Failure, Restart
from actors.supervision import Budget, Drop, GiveUp, RestartAfter, RestartType, Strategy


@dataclass(frozen=True)
class Child:
    """A child as its supervisor knows it.

    Attributes:
        ref: its reference, the same over all its restarts.
        start: makes it on this node, where it lives here.
        spec: how its node makes it, where it lives elsewhere.
        restart: permanent children are always restarted, transient ones when they failed,
            temporary ones never.
    """

    ref: ActorRef
    start: Callable[[ActorRef], None] | None = None
    spec: ActorSpec | None = None
    restart: RestartType = "permanent"


class Progressed(Message[None]):
    """Tells a supervisor that a child (0: all of them) got something done: its budget is reset."""

    uid: int = 0


class Supervisor(Actor):
    """Starts its children in order, restarts what fails as its strategy says, else fails itself.

    Made by an ``ActorGraph``; ``children`` is called once the supervisor runs, so that its own
    restart starts all of them anew.
    """

    def __init__(self, strategy: Strategy, children: Callable[[], Sequence[Child]]) -> None:
        self._strategy = strategy
        self._budget = Budget(strategy)
        self._make_children = children
        self._known: dict[int, Child] = {}
        self._counts: dict[int, int] = {}
        self._pending: dict[int, str] = {}
        self._outside: set[int] = set()

    async def on_start(self) -> None:
        """Start the children in order."""
        for child in self._make_children():
            self._known[child.ref.uid] = child
            self._cell.adopt(child.ref)
            try:
                await self._start(child)
            except NodeError as error:
                self._cell.deliver(_StartFailed(child.ref, str(error)))

    async def _start(self, child: Child) -> None:
        if child.ref.node != self.system.name and self.system.ensure_node is not None:
            await self.system.ensure_node(child.ref.node)
        if child.start is not None:
            child.start(self.ref)
        else:
            assert child.spec is not None
            self.system.spawn_at(child.ref, child.spec, self.ref)

    def progressed(self, message: Progressed) -> None:
        """A child got something done."""
        for uid in [message.uid] if message.uid else list(self._known):
            self._budget.progressed(uid)

    def child_started(self, child: ActorRef) -> None:
        """A restart went through: say so."""
        error = self._pending.pop(child.uid, None)
        if error is not None:
            outside = child.uid in self._outside
            self._outside.discard(child.uid)
            self.system.events.publish(
                ActorRestarted(
                    path=child.path,
                    node=child.node,
                    restarts=self._counts[child.uid],
                    error=error,
                    outside=outside,
                )
            )

    def child_failed(self, child: ActorRef, failure: Failure) -> None:
        """Decide."""
        known = self._known.get(child.uid)
        if known is None:
            child.stop()
            return
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
        if failure.kind == GaveUp.__name__:
            # A supervisor below is at its end: passed on, so that budgets do not multiply.
            self._escalate(failure)
            return
        self._decide(known, failure)

    def _decide(self, known: Child, failure: Failure) -> None:
        child = known.ref
        if self._strategy.escalates(failure.kinds):
            sentence = f"{child.name} failed beyond help: {failure}"
            self._give_up(child, failure, self._counts.get(child.uid, 0), sentence)
            return
        verdict = self._budget.failed(
            child.uid,
            known.restart,
            self.clock.now(),
            self.rng.uniform(0.0, 1.0),
            outside=failure.outside,
        )
        match verdict:
            case RestartAfter(_, delay):
                self._pending[child.uid] = str(failure)
                if failure.during == "process":
                    self._outside.add(child.uid)
                self._counts[child.uid] = self._counts.get(child.uid, 0) + 1
                self.pipe_to_self(self._restart(known, failure, delay), lambda _: _Done())
            case Drop():
                child.stop()
            case GiveUp(_, restarts):
                what = "restarts" if restarts != 1 else "restart"
                sentence = (
                    f"{child.name} failed again after {restarts} {what} within "
                    f"{self._strategy.per:g} s, {self.ref.path} gives up: {failure}"
                )
                self._give_up(child, failure, restarts, sentence)

    def _give_up(self, child: ActorRef, failure: Failure, restarts: int, sentence: str) -> None:
        self.system.events.publish(
            SupervisorGaveUp(
                supervisor=self.ref.path,
                child=child.path,
                restarts=restarts,
                error=str(failure),
                kinds=failure.kinds,
            )
        )
        self._escalate(Failure(GaveUp.__name__, sentence, failure.traceback))

    async def _restart(self, child: Child, failure: Failure, delay: float) -> None:
        await self.clock.sleep(delay)
        if child.ref.uid not in self._known:
            return
        if failure.during in ("process", "make"):
            try:
                await self._start(child)
            except NodeError as error:
                self._cell.deliver(_StartFailed(child.ref, str(error)))
        else:
            self.system.signal(child.ref.parts, Restart())

    def start_failed(self, message: _StartFailed) -> None:
        """A process did not come up: as if the child had died again."""
        failure = Failure("NodeStartFailed", message.reason, "", "process", "", outside=True)
        self.child_failed(message.child, failure)

    def _escalate(self, failure: Failure) -> None:
        self._cell.fail(failure)

    def child_stopped(self, child: ActorRef, reason: str) -> None:
        """A child stopped by itself: a permanent one is started again."""
        known = self._known.get(child.uid)
        if known is None:
            return
        if known.restart != "permanent" or self._cell.stopping:
            del self._known[child.uid]
            self._budget.forget(child.uid)
            return
        self._cell.adopt(child)
        # Not there any more, so it has to be made anew, within the same budget.
        self._decide(known, Failure("Stopped", f"it stopped by itself ({reason})", during="make"))

    def done(self, message: _Done) -> None:
        """A restart is under way; its success is told by the child."""


class _Done(Message[None]):
    pass


class _StartFailed(Message[None]):
    child: ActorRef
    reason: str
