"""The handles of a simulated loop: asyncio's, made by C, since each message takes several."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any

import msgspec


class SimHandle(msgspec.Struct, eq=False):
    """What ``asyncio.Handle`` and ``asyncio.TimerHandle`` are to those who call a loop; see there.

    Attributes are named as asyncio's, since a loop in debug mode makes those. It is one class,
    because Python finds the attributes of objects of one class faster.
    """

    _context: Context
    _callback: Callable[..., object] | None
    _args: tuple[Any, ...] | None
    _loop: Any
    _cancelled: bool = False
    #: Of a timer: the time at which it is called, and whether it is yet to come due.
    _ns: int = -1
    _scheduled: bool = False

    def cancel(self) -> None:
        """Never call it, if it was not called yet."""
        if not self._cancelled:
            self._cancelled = True
            self._callback = self._args = None  # as asyncio does: who holds it holds nothing else
            if self._ns >= 0:
                self._loop._timer_handle_cancelled(self)  # noqa: SLF001  (as asyncio does)

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._cancelled

    def when(self) -> float:
        """Of a timer: the time of its loop at which it is called, in seconds."""
        return self._ns / 1_000_000_000

    def __repr__(self) -> str:
        if self._callback is None:
            when = f" when={self.when():.9g}" if self._ns >= 0 else ""
            return f"<{type(self).__name__} cancelled{when}>"
        what = self._callback, self._args or (), self._loop, self._context
        return repr(
            asyncio.TimerHandle(self.when(), *what) if self._ns >= 0 else asyncio.Handle(*what)
        )
