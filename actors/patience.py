"""How long what an actor is at may go on once it is to stop; then it is cancelled."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from transports import Timer

if TYPE_CHECKING:
    from actors.cell import Cell

_log = logging.getLogger("actors.patience")

AGAIN: Final = 1.0
"""Seconds after which what caught its cancellation is cancelled again."""
_CANCELLATIONS: Final = 5
"""Who catches so many will catch all; it is left, so that the others can stop."""


class Patience:
    """Of one cell, with whatever its task is at.

    Attributes:
        interrupted: it ran out, and the task was cancelled for that.
    """

    __slots__ = ("_cancellations", "_cell", "_timer", "interrupted")

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._timer: Timer | None = None
        self._cancellations = 0
        self.interrupted = False

    def begin(self, seconds: float, *, anew: bool = False) -> None:
        """Give it so many seconds from now; ``anew`` where it is at something else now."""
        self.end()
        if anew:
            self._cancellations = 0
        self._timer = self._cell.system.world.clock.call_later(seconds, self._over)

    def end(self) -> None:
        """It has come to its end."""
        if self._timer is not None:
            self._timer.cancel()

    def forget(self) -> None:
        """What one instance needed is no business of the next."""
        if self.interrupted:
            self.interrupted = False
            self._cell.uncancel()

    def _over(self) -> None:
        """It has had its time; again and again, for one that catches its cancellation."""
        cell = self._cell
        if not cell.busy or cell.gone is not None or cell.task is None:
            return
        if self._cancellations == _CANCELLATIONS:
            why = f"it caught {_CANCELLATIONS} cancellations"
            _log.error("%s: %s and is left", cell.path, why)
            cell.abandon(why)
            return
        self._cancellations += 1
        self.interrupted = True
        cell.task.cancel()
        self.begin(AGAIN)

    def __repr__(self) -> str:
        return f"<Patience with {self._cell.path}, {self._cancellations} cancellations>"
