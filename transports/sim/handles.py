"""The handles of a simulated loop: asyncio's, made by C, since each message takes several."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any

import msgspec


class SimHandle(msgspec.Struct, eq=False):
    """What ``asyncio.Handle`` is to those who call a loop; see there.

    Attributes are named as asyncio's, since a loop in debug mode makes those.
    """

    _context: Context
    _callback: Callable[..., object] | None
    _args: tuple[Any, ...] | None
    _loop: asyncio.AbstractEventLoop
    _cancelled: bool = False

    def cancel(self) -> None:
        """Never call it, if it was not called yet."""
        self._cancelled = True
        self._callback = self._args = None  # as asyncio does: who holds it holds nothing else

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._cancelled

    def __repr__(self) -> str:
        if self._callback is None:
            return f"<{type(self).__name__} cancelled>"
        return repr(asyncio.Handle(self._callback, self._args or (), self._loop, self._context))


class SimTimerHandle(msgspec.Struct, eq=False):
    """What ``asyncio.TimerHandle`` is to those who call a loop; see ``SimHandle``."""

    _context: Context
    _callback: Callable[..., object] | None
    _args: tuple[Any, ...] | None
    _loop: Any
    _ns: int
    _cancelled: bool = False
    _scheduled: bool = True

    def cancel(self) -> None:
        """Never call it, if it was not called yet."""
        if not self._cancelled:
            self._cancelled = True
            self._callback = self._args = None
            self._loop._timer_handle_cancelled(self)  # noqa: SLF001  (as asyncio does)

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._cancelled

    def when(self) -> float:
        """The time of its loop at which it is called, in seconds."""
        return self._ns / 1_000_000_000

    def __repr__(self) -> str:
        if self._callback is None:
            return f"<{type(self).__name__} cancelled when={self.when():.9g}>"
        made = asyncio.TimerHandle(
            self.when(), self._callback, self._args or (), self._loop, self._context
        )
        return repr(made)
