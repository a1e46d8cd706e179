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
    _loop: Any
    _cancelled: bool = False

    def cancel(self) -> None:
        """Never call it, if it was not called yet."""
        if not self._cancelled:
            self._cancelled = True
            self._callback = self._args = None  # as asyncio does: who holds it holds nothing else

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._cancelled

    def __repr__(self) -> str:
        if self._callback is None:
            return f"<{type(self).__name__} cancelled>"
        what = self._callback, self._args or (), self._loop, self._context
        return repr(asyncio.Handle(*what))


class SimTimer:
    """What ``asyncio.TimerHandle`` is to those who call a loop; see there.

    It is set anew far more often than it is made, and what C makes is written to more slowly.
    """

    __slots__ = ("_args", "_callback", "_cancelled", "_context", "_loop", "_ns", "_scheduled")

    def __init__(
        self,
        ns: int,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: Any,
        context: Context,
    ) -> None:
        #: The time at which it is called, and whether it is yet to come due.
        self._ns = ns
        self._scheduled = True
        self._callback: Callable[..., object] | None = callback
        self._args: tuple[Any, ...] | None = args
        self._loop = loop
        self._context = context
        self._cancelled = False

    def cancel(self) -> None:
        """Never call it, if it was not called yet."""
        if not self._cancelled:
            self._cancelled = True
            self._callback = self._args = None  # as SimHandle
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
        what = self._callback, self._args or (), self._loop, self._context
        return repr(asyncio.TimerHandle(self.when(), *what))
