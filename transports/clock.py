"""Time as an argument: what reads a clock or sets a timer is given a ``Clock``, real or virtual."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Protocol


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Withdraw the call; harmless when it has already run or was withdrawn."""
        ...


class Clock(Protocol):
    """Where the time comes from. Intervals use ``now``; only records for people use ``wall``."""

    def now(self) -> float:
        """Monotonic seconds from an arbitrary start."""
        ...

    def now_ns(self) -> int:
        """Monotonic nanoseconds from the same start as ``now``."""
        ...

    def wall(self) -> float:
        """Seconds since 1970-01-01 UTC; may jump, so never subtract two of them."""
        ...

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Call ``callback(*args)`` on the loop's thread.

        Args:
            delay: seconds from now; zero or negative means as soon as the loop gets to it.
            callback: what to call.
            *args: its positional arguments.

        Returns:
            A timer that can be cancelled.
        """
        ...

    async def sleep(self, seconds: float) -> None:
        """Suspend the calling task for ``seconds``; zero or less yields to the loop once."""
        ...


class LoopClock:
    """The real clock: the monotonic clock of the machine and the timers of the running loop."""

    __slots__ = ()

    #: Monotonic seconds; the function itself, since every message asks for the time.
    now = staticmethod(time.monotonic)

    def now_ns(self) -> int:
        """Monotonic nanoseconds, see ``time.monotonic_ns``."""
        return time.monotonic_ns()

    def wall(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return time.time()

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Call ``callback(*args)`` after ``delay`` seconds on the running loop.

        Raises:
            RuntimeError: no event loop runs in this thread.
        """
        return asyncio.get_running_loop().call_later(max(0.0, delay), callback, *args)

    async def sleep(self, seconds: float) -> None:
        """Suspend the calling task for ``seconds``."""
        await asyncio.sleep(max(0.0, seconds))

    def __repr__(self) -> str:
        return "<LoopClock>"
