"""What an actor is made of at a moment, asked across nodes by whoever looks for a fault."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

from actors.errors import NoSuchActor, Unreachable
from actors.given import check_ref, check_timeout
from actors.handling import Envelope
from actors.item import Item, tag_of
from actors.ref import ActorRef
from actors.shortened import encodable, shortened
from actors.signals import ActorState, Inspect, Resume, Suspend
from actors.timers import Tick

if TYPE_CHECKING:
    from actors.cell import Cell
    from actors.system import ActorSystem

#: Messages that are named, attributes that are shown and characters of each and of its name:
#: enough for a screen, little enough for a signal.
_MESSAGES = 100
_ATTRIBUTES = 100
_CHARACTERS = 500
_NAME = 200


def state_of(cell: Cell, mailbox: Iterable[Any], handling: str) -> ActorState:
    """What this cell's actor is made of now."""
    # A copy, since an actor's thread may set attributes meanwhile.
    private = tuple(vars(cell.actor).items()) if cell.actor is not None else ()
    attributes = {
        encodable(str(name), _NAME): shortened(value, _CHARACTERS)
        for name, value in private[:_ATTRIBUTES]
        if name != "_cell"
    }
    return ActorState(
        cell.path,
        cell.cls.__qualname__,
        cell.state.value,
        handling,
        tuple(_name(entry) for entry in islice(mailbox, _MESSAGES)),
        attributes,
    )


def _name(entry: Any) -> str:
    if isinstance(entry, Tick):
        return type(entry.message).__qualname__
    item = entry.item if isinstance(entry, Envelope) else entry
    return tag_of(item.body) if isinstance(item, Item) else type(entry).__qualname__


class Debugger:
    """Looks into actors of any node and holds them; for whoever looks for a fault.

    Args:
        system: that the questions leave from.
    """

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._next = 0
        self._open: dict[int, asyncio.Future[ActorState | None]] = {}

    def suspend(self, ref: ActorRef) -> None:
        """Have an actor handle no message until ``resume``.

        Signals reach it all the same: it can be stopped, and its children's failures be decided.
        """
        check_ref("suspend", ref)
        self._system.signal(ref.parts, Suspend())

    def resume(self, ref: ActorRef) -> None:
        """Have an actor go on that was suspended."""
        check_ref("resume", ref)
        self._system.signal(ref.parts, Resume())

    async def get_state(self, ref: ActorRef, *, timeout: float = 5.0) -> ActorState:
        """What an actor is made of at this moment, even in the middle of a message.

        Args:
            ref: the actor, on any node.
            timeout: seconds that its node may take to answer.

        Raises:
            NoSuchActor: it is gone.
            Unreachable: its node does not answer; it may be blocked or frozen.
            UsageError: no reference, or no seconds from 0.
        """
        check_ref("get_state", ref)
        check_timeout("get_state", timeout)
        self._next += 1
        number = self._next
        answer: asyncio.Future[ActorState | None] = asyncio.get_running_loop().create_future()
        self._open[number] = answer
        try:
            self._system.signal(ref.parts, Inspect(number, self._system.name))
            async with asyncio.timeout(timeout):
                state = await answer
        except TimeoutError:
            msg = f"node {ref.node} did not tell the state of {ref.path} within {timeout:g} s"
            raise Unreachable(msg) from None
        finally:
            del self._open[number]
        if state is None:
            msg = f"there is no {ref.path} on {ref.node} any more"
            raise NoSuchActor(msg)
        return state

    def answered(self, number: int, state: ActorState | None) -> None:
        """The answer came; a late one finds nobody."""
        future = self._open.get(number)
        if future is not None and not future.done():
            future.set_result(state)

    def __repr__(self) -> str:
        return f"<Debugger of {self._system.name}, {len(self._open)} questions open>"
