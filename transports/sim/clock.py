"""The clock of a simulated node: virtual time, and clocks that disagree like real ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from transports.clock import Timer
from transports.sim.loop import SimLoop
from transports.sim.units import SECOND, USUAL, nanoseconds

EPOCH: Final = 1_700_000_000.0
"""``wall()`` at virtual time 0, in seconds since 1970: the same for every simulation, so that
records of two runs can be compared byte by byte."""


class SimClock:
    """A ``Clock`` over a simulated loop.

    Args:
        loop: whose time it tells.
        skew: seconds by which this node's clock is ahead (negative: behind). Clocks of different
            machines never agree, and what compares their times finds it out here.
    """

    __slots__ = ("_loop", "_skew_ns", "again")

    def __init__(self, loop: SimLoop, *, skew: float = 0.0) -> None:
        self._loop = loop
        self._skew_ns = round(skew * SECOND)
        #: Calls what a timer of ``call_later`` called that has just come due once more, in so many
        #: of what ``interval`` gives; gives the timer that can be cancelled, mostly the same: ten
        #: thousand that were made anew would cost more to look after than to make.
        self.again: Callable[[Timer, int], Timer] = loop.again_in_ns

    def now(self) -> float:
        """Virtual seconds since the loop was made, plus the skew."""
        return (self._loop.now_ns + self._skew_ns) / SECOND

    def now_ns(self) -> int:
        """Virtual nanoseconds since the loop was made, plus the skew."""
        return self._loop.now_ns + self._skew_ns

    @staticmethod
    def interval(seconds: float) -> int:
        """Seconds above 0 as ``again`` takes them: at least one nanosecond."""
        return nanoseconds(seconds) or 1

    def wall(self) -> float:
        """``EPOCH`` plus ``now()``."""
        return EPOCH + self.now()

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Call ``callback(*args)`` after ``delay`` virtual seconds."""
        loop = self._loop
        if 0.0 < delay < USUAL:
            return loop.call_at_ns(loop.now_ns + (round(delay * SECOND) or 1), callback, *args)
        return loop.call_later(max(0.0, delay), callback, *args)

    async def sleep(self, seconds: float) -> None:
        """Suspend the calling task for ``seconds`` of virtual time."""
        await asyncio.sleep(max(0.0, seconds))

    def __repr__(self) -> str:
        return f"<SimClock {self.now():.9g} s skew={self._skew_ns / SECOND:g}>"
