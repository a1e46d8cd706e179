"""Slows a process down from outside: it is stopped for a part of each slice of time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

LONGEST_REST: Final = 0.5
"""Seconds: a slow node is to answer now and then, one that hangs is another fault."""

SLICE: Final = 0.02
"""Seconds: short against all that a node is waited for, long against what a signal costs."""


class DutyCycle:
    """Stops and starts, again and again.

    Args:
        stop: stops the process; whether there still is one.
        go: lets it go on.
    """

    def __init__(self, stop: Callable[[], bool], go: Callable[[], bool]) -> None:
        self._stop = stop
        self._go = go
        self._factor = 1.0
        self._working_since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def set(self, factor: float) -> None:
        """Let it have one part in ``factor`` of the time; 1 for all of it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._go()
        self._factor = factor
        if factor > 1.0:
            self._working_since = asyncio.get_running_loop().time() - SLICE / factor
            self._rest()

    def end(self) -> None:
        """The process is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _rest(self) -> None:
        loop = asyncio.get_running_loop()
        if self._stop():
            # For what it has worked: a timer of a busy launcher comes late.
            worked = loop.time() - self._working_since
            seconds = min(worked * (self._factor - 1.0), LONGEST_REST)
            self._timer = loop.call_later(seconds, self._work)
        else:
            self._timer = None

    def _work(self) -> None:
        loop = asyncio.get_running_loop()
        self._go()
        self._working_since = loop.time()
        self._timer = loop.call_later(SLICE / self._factor, self._rest)

    def __repr__(self) -> str:
        return f"<DutyCycle 1/{self._factor:g}>"
