"""How an actor ends: one instance of it before a restart, or the actor itself at a stop."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from actors import failing
from actors.actor import Actor
from actors.errors import SpawnFailed
from actors.events import ActorStopped
from actors.lifecycle import State
from actors.patience import AGAIN
from actors.signals import Cause, Failure, Halted, Stopped, Unwatch

if TYPE_CHECKING:
    from actors.cell import Cell

_log = logging.getLogger("actors.ending")

LOOP_ENDED: Final = "the node's loop was ended"
"""Why an actor is gone whose task was cancelled by somebody else."""


def want_stop(cell: Cell) -> None:
    """Have the actor stop when it is done with what it is at."""
    if not cell.stop_wanted:
        cell.stop_wanted = True
        _hurry(cell)


def want_halt(cell: Cell) -> None:
    """Have the instance end when it is done with what it is at; a restart may follow."""
    if cell.halt_wanted or cell.state in (State.HALTING, State.HALTED):
        return
    cell.halt_wanted = True
    if cell.state in (State.RUNNING, State.SUSPENDED):
        cell.state = State.HALTING
    _hurry(cell)


def _hurry(cell: Cell) -> None:
    """What it does is given its time, and the instance is told."""
    cell.wake()
    if cell.busy:
        cell.patience.begin(cell.stop_timeout)
    if cell.actor is not None:
        try:
            cell.actor.stop_wanted()
        except Exception:  # noqa: BLE001  (it is user code; it stops all the same)
            _log.exception("%s: stop_wanted raised", cell.path)


async def halt(cell: Cell) -> None:
    """End the instance, whether it failed or not; the next one finds the mailbox."""
    cell.state = State.HALTING
    cell.cancel_work()
    if cell.has_children:
        await cell.children.stop()
    if not cell.stop_wanted:
        await _stop_hook(cell)
    if cell.stop_wanted:
        return
    cell.patience.forget()
    # What the last of its code has started meanwhile (on_stop, a handler whose child failed).
    cell.cancel_work()
    cell.put_back(cell.take_stash())
    cell.failure = None
    cell.state = State.HALTED
    cell.system.signal(cell.parent, Halted(cell.ref.parts))


async def shut_down(cell: Cell) -> None:
    """End the instance for good."""
    cell.state = State.STOPPING
    cell.cancel_work()
    if cell.has_children:
        await cell.children.stop()
    if cell.gone is None:
        await _stop_hook(cell)


async def _stop_hook(cell: Cell) -> None:
    actor, cell.actor = cell.actor, None
    if actor is None or getattr(actor.on_stop, "__func__", None) is Actor.on_stop:
        return
    # What was left was for a message; this has a limit of its own.
    cell.patience.begin(cell.stop_timeout + AGAIN, anew=True)
    cell.busy = True
    try:
        async with asyncio.timeout(cell.stop_timeout):
            stopping: Any = actor.on_stop()
            if stopping is not None:
                await stopping
    except TimeoutError:
        _log.warning("%s hung in on_stop for %.3g s; left", cell.path, cell.stop_timeout)
    except BaseException as error:  # noqa: BLE001  (whatever user code raises fails the actor)
        if not cell.ended_by(error):
            failure = Failure.of(error, "stop")
            cell.system.failures.tell(cell.path, failure, "ends all the same")
            failing.publish(cell, failure, f"on_stop raised {failure}")
    finally:
        cell.busy = False
        cell.patience.end()


def finish(cell: Cell, reason: str | None) -> None:
    """It is gone: say so to all whom it concerns.

    Args:
        cell: of the actor.
        reason: why, where it is not that it was told to.
    """
    cause: Cause = "stopped"
    if reason is None:
        reason = "stopped"
        if cell.failure is not None:
            reason, cause = f"failed: {cell.failure}", "failed"
    elif reason == cell.reason:
        cause = "failed"
    if cell.gone is not None:  # it was left, and has ended by itself after all
        return
    cell.gone = reason
    cell.patience.end()
    cell.state = State.STOPPED
    cell.cancel_work()
    system, me = cell.system, cell.ref.parts
    system.forget(cell)
    while cell.mailbox:
        cell.refuse(cell.mailbox.popleft(), "stopped")
    for entry in cell.take_stash():
        cell.refuse(entry, "stopped")
    if cell.watches:
        for target in cell.watching:
            system.signal(target.parts, Unwatch(me))
        cell.watching.clear()
    cell.first_start(SpawnFailed(f"{cell.path} was stopped before it had started"))
    system.ended(cell.uid, reason, cause)
    gone = Stopped(me, reason, cause)
    for watcher in cell.watchers.values():
        system.signal(watcher, gone)
    if cell.parent[2] not in cell.watchers:
        system.signal(cell.parent, gone)
    system.events.publish(ActorStopped(path=cell.path, node=system.node.name, reason=reason))
    cell.resolve_stopped()
