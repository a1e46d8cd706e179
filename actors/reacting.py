"""What an actor's cell does about system signals: those to itself, and news of other actors."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from actors import ending
from actors.actor import Actor
from actors.debugging import state_of
from actors.errors import UsageError
from actors.lifecycle import State
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

if TYPE_CHECKING:
    from actors.cell import Cell

_log = logging.getLogger("actors.reacting")


def take(cell: Cell, signal: AnySignal) -> None:
    """A signal came."""
    system = cell.system
    match signal:
        case Stop():
            ending.want_stop(cell)
        case Halt():
            ending.want_halt(cell)
        case Restart():
            if cell.state is State.HALTED:
                cell.restart_wanted = True
                cell.wake()
        case Watch(watcher):
            cell.add_watcher(watcher)
        case Unwatch(watcher):
            cell.watchers.pop(watcher[2], None)
        case Failed(child, failure):
            _child_failed(cell, system.ref(child), failure)
        case Started(child):
            _child(cell, lambda a: a.child_started(system.ref(child)))
        case Halted(child):
            _child(cell, lambda a: a.child_halted(system.ref(child)))
        case Stopped(actor, reason, cause):
            _stopped(cell, system.ref(actor), reason, cause)
        case Suspend():
            cell.suspended = True
            if cell.state is State.RUNNING:
                cell.state = State.SUSPENDED
        case Resume():
            cell.suspended = False
            if cell.state is State.SUSPENDED:
                cell.state = State.RUNNING
                cell.wake()
        case Inspect(number, asker):
            answer = Inspected(number, state_of(cell, cell.mailbox, cell.handles))
            system.signal((asker, "/", 0), answer)
        case _:
            _log.warning("%s: signal %r is not for an actor", cell.path, signal)


def _child(cell: Cell, react: Callable[[Actor], None]) -> None:
    """Let the actor react to a child's news; with no instance (restarting) there is nobody."""
    actor = cell.actor
    if actor is None or cell.state in (State.STOPPING, State.HALTING):
        return
    try:
        react(actor)
    except Exception as error:  # noqa: BLE001  (the reaction is user code)
        if cell.state in (State.RUNNING, State.SUSPENDED, State.STARTING):
            cell.fail(Failure.of(error, "supervision"))


def _child_failed(cell: Cell, child: ActorRef, failure: Failure) -> None:
    _child(cell, lambda actor: actor.child_failed(child, failure))


def _stopped(cell: Cell, actor: ActorRef, reason: str, cause: Cause) -> None:
    child = cell.children.gone(actor.uid) if cell.has_children else None
    if child is not None:
        _child(cell, lambda a: a.child_stopped(child, reason, cause))
    _terminated(cell, actor.uid, reason, cause)


def _terminated(cell: Cell, uid: int, reason: str, cause: Cause) -> None:
    watched = cell.watching.gone(uid) if cell.watches else None
    if watched is not None:  # whose node may know no more of it than its uid
        cell.deliver(Terminated(watched.path, watched.uid, reason, cause))


def node_died(
    cell: Cell, node: str, reason: str, cause: Cause, *, outside: bool, lines: str
) -> None:
    """The process of some children, watched actors or watchers is gone."""
    for uid in [w[2] for w in cell.watchers.values() if w[0] == node]:
        del cell.watchers[uid]
    if cell.has_children:
        failure = Failure("NodeDied", reason, lines, "process", "", outside=outside)
        for child in [c for c in cell.children if c.node == node]:
            if cell.state in (State.STOPPING, State.HALTING):
                _stopped(cell, child, reason, cause)
            else:
                _child_failed(cell, child, failure)
    if cell.watches:
        for target in [w for w in cell.watching if w.node == node]:
            _terminated(cell, target.uid, reason, cause)


def watch(cell: Cell, ref: ActorRef) -> None:
    """See ``Actor.watch``."""
    if not cell.understands(Terminated):
        msg = (
            f"{cell.cls.__qualname__} watches {ref.path} but has no handler for Terminated; "
            "add `async def gone(self, message: Terminated) -> None`"
        )
        raise UsageError(msg)
    clock = cell.system.world.clock
    delay = cell.watching.watch(ref, clock.now())
    if delay is None:
        return
    if delay > 0:
        clock.call_later(delay, _ask_after, cell, ref)
    else:
        _ask_after(cell, ref)


def _ask_after(cell: Cell, ref: ActorRef) -> None:
    if ref.uid in cell.watching:
        cell.system.signal(ref.parts, Watch(cell.ref.parts))


def unwatch(cell: Cell, ref: ActorRef) -> None:
    """See ``Actor.unwatch``."""
    if cell.watches and cell.watching.unwatch(ref.uid):
        cell.system.signal(ref.parts, Unwatch(cell.ref.parts))
