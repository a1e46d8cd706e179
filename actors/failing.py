"""What happens when an actor fails: it is suspended, and those who are to know are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.errors import SpawnFailed
from actors.events import ActorFailure
from actors.lifecycle import State
from actors.signals import Failed, Failure

if TYPE_CHECKING:
    from actors.cell import Cell


def fail(cell: Cell, failure: Failure) -> None:
    """The actor failed: suspended until its supervisor's verdict."""
    if cell.state is State.FAILED:
        return
    cell.failures += 1
    if cell.stop_wanted:  # nothing is decided about it any more
        cell.system.failures.tell(cell.path, failure, "stops anyway")
        publish(cell, failure)
        return
    halting = cell.state is State.HALTING  # which is to be renewed as it is
    if not halting:
        cell.state, cell.failure = State.FAILED, failure
    cell.cancel_work()
    publish(cell, failure)
    if not cell.has_started:
        text = f"{cell.path} did not start: {failure}"
        cell.first_start(SpawnFailed(text, failure.traceback))
    if not halting:
        cell.system.signal(cell.parent, Failed(cell.ref.parts, failure))


def publish(cell: Cell, failure: Failure, error: str = "") -> None:
    """Tell the event stream; `error` is what to call the failure, if not as it says itself."""
    cell.system.events.publish(
        ActorFailure(
            path=cell.path,
            node=cell.system.node.name,
            error=error or str(failure),
            traceback=failure.traceback,
            kinds=failure.kinds,
        )
    )
