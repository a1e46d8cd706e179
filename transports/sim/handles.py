"""The handles of a simulated loop: asyncio's, made without the calls that cost most."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any


class SimHandle(asyncio.Handle):
    """As ``asyncio.Handle`` of a loop that is not in debug mode, whose making takes twice as long.

    Args:
        callback: what is to be called.
        args: with what.
        loop: of which.
        context: in which; None is a copy of the current one.
    """

    __slots__ = ()

    _context: Context

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: Context | None,
    ) -> None:
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = self._source_traceback = None


class SimTimerHandle(asyncio.TimerHandle):
    """As ``asyncio.TimerHandle``, scheduled; see ``SimHandle``."""

    __slots__ = ()

    _context: Context

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: Context | None,
    ) -> None:
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = self._source_traceback = None
        self._when = when
        self._scheduled = True
