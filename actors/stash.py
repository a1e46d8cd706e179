"""The stash: messages that an actor puts aside until it can handle them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from actors.errors import StashFull, UsageError
from actors.given import check_message
from actors.handling import Envelope
from actors.message import Message
from actors.quantities import is_count
from actors.signals import Terminated
from transports import Link

if TYPE_CHECKING:
    from actors.cell import Cell
    from actors.item import Item

R = TypeVar("R")


class Stash:
    """Messages put aside by one actor, in the order in which they came; bounded.

    An ask stays unanswered in it and its deadline goes on; one whose asker no longer waits is
    dropped. Before a restart everything goes back into the mailbox, ahead of what waits there; at
    a stop it becomes dead letters, and askers are told.

    Attributes:
        capacity: messages that fit; the actor's ``stash_capacity`` when it first used its stash.
    """

    def __init__(self, cell: Cell, capacity: int) -> None:
        if not is_count(capacity, 1):
            msg = f"{cell.path} has stash_capacity={capacity!r}; a stash takes 1 message or more"
            raise UsageError(msg)
        self.capacity = capacity
        self._cell = cell
        self._entries: list[Any] = []
        #: What the handler that runs has put aside.
        self._of_turn: list[Any] = []
        self._turn = -1

    def stash(self, message: Message[R]) -> R:
        """Put the message that is being handled aside.

        Written as ``return self.stash.stash(message)``: what it returns, and what the handler
        does, is no answer. Other messages may be stashed too, as if they had been told.

        Raises:
            StashFull: there is no room; it fails the actor unless the handler catches it.
            UsageError: that message is in the stash already, or is none.
        """
        check_message("stash", message)
        current = self._cell.current
        entry: Any = message
        if current is not None and current.message is message:
            entry = current
        turn = self._cell.handled + self._cell.skipped  # the same until the handler has ended
        if turn != self._turn:
            self._turn, self._of_turn = turn, []
        if any(one is entry for one in self._of_turn):
            name = type(message).__name__
            msg = f"{self._cell.path} has stashed this {name} already; stash a message once"
            raise UsageError(msg)
        if len(self._entries) >= self.capacity:
            self._drop(lambda one: one.given_up(self._cell.system.world.clock.now()))
        if len(self._entries) >= self.capacity:
            msg = (
                f"the stash of {self._cell.path} holds {self.capacity} messages already; unstash "
                "earlier, answer that it is busy, or raise stash_capacity"
            )
            raise StashFull(msg)
        self._entries.append(entry)
        self._of_turn.append(entry)
        if entry is current:
            current.stashed = True
        elif isinstance(message, Terminated):
            self._cell.told_again(message)
        self._cell.handled -= 1  # counted when it is
        self._cell.skipped += 1
        # What is returned goes nowhere: an ask that is in the stash is not answered.
        return cast("R", None)

    def unstash_all(self) -> None:
        """Have all that was put aside handled next, in order, before what is in the mailbox."""
        self._cell.put_back(self.take())

    def take(self) -> list[Any]:
        """Empty it; its entries in order."""
        entries, self._entries = self._entries, []
        return entries

    def cancel(self, ask: int, link: Link[Item]) -> bool:
        """An asker no longer waits: drop its ask; whether it was here."""
        before = len(self._entries)
        self._drop(lambda one: one.item.ask == ask and one.link is link)
        return len(self._entries) < before

    def withdraw(self, envelope: Envelope) -> None:
        """The handler that has stashed it did not end well: it is not handled again."""
        self._entries = [entry for entry in self._entries if entry is not envelope]
        self._cell.handled += 1
        self._cell.skipped -= 1
        envelope.cancelled = True  # it may be back in the mailbox

    def _drop(self, unwanted: Callable[[Envelope], bool]) -> None:
        kept = []
        for entry in self._entries:
            if isinstance(entry, Envelope) and unwanted(entry):
                self._cell.system.dead_letter(self._cell.path, entry, "the asker gave up")
            else:
                kept.append(entry)
        self._entries = kept

    @property
    def is_full(self) -> bool:
        """Whether ``stash`` would raise, unless an ask in it was given up meanwhile."""
        return len(self._entries) >= self.capacity

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<Stash of {self._cell.path} {len(self._entries)}/{self.capacity}>"
