"""What an actor is made of at a moment, asked across nodes by whoever looks for a fault."""

from __future__ import annotations

import asyncio
import reprlib
from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

from actors.errors import NoSuchActor, Unreachable
from actors.handling import Envelope
from actors.item import Item, tag_of
from actors.ref import ActorRef
from actors.signals import ActorState, Inspect, Resume, Suspend
from actors.timers import Tick

if TYPE_CHECKING:
    from actors.cell import Cell
    from actors.system import ActorSystem

#: Messages that are named, attributes that are shown and characters of each: enough for a screen,
#: little enough for a signal.
_MESSAGES = 100
_ATTRIBUTES = 100
_CHARACTERS = 500


class _Short(reprlib.Repr):
    """Shortens containers rather than writing out a million items first."""

    def __init__(self) -> None:
        super().__init__()
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = 20
        self.maxdeque = self.maxarray = 20
        self.maxstring = self.maxother = self.maxlong = _CHARACTERS

    def repr_instance(self, x: Any, level: int) -> str:
        try:
            return super().repr_instance(x, level)
        except Exception as error:  # noqa: BLE001  (a repr is user code)
            return f"<its repr() raised {type(error).__name__}>"


_short = _Short()


def state_of(cell: Cell, mailbox: Iterable[Any], handling: str) -> ActorState:
    """What this cell's actor is made of now."""
    private = vars(cell.actor) if cell.actor is not None else {}
    attributes = {
        name: _repr(value)
        for name, value in islice(private.items(), _ATTRIBUTES)
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


def _repr(value: Any) -> str:
    try:
        return _short.repr(value)[:_CHARACTERS]
    except Exception as error:  # noqa: BLE001  (a repr is user code)
        return f"<its repr() raised {type(error).__name__}>"


def _name(entry: Any) -> str:
    if isinstance(entry, Tick):
        return type(entry.message).__name__
    item = entry.item if isinstance(entry, Envelope) else entry
    return tag_of(item.body) if isinstance(item, Item) else type(entry).__name__


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
        self._system.signal(ref.parts, Suspend())

    def resume(self, ref: ActorRef) -> None:
        """Have an actor go on that was suspended."""
        self._system.signal(ref.parts, Resume())

    async def get_state(self, ref: ActorRef, *, timeout: float = 5.0) -> ActorState:
        """What an actor is made of at this moment, even in the middle of a message.

        Args:
            ref: the actor, on any node.
            timeout: seconds that its node may take to answer.

        Raises:
            NoSuchActor: it is gone.
            Unreachable: its node does not answer; it may be blocked or frozen.
        """
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
