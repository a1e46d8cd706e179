"""A clock that is ahead of the others, or behind, as those of different machines are."""

from __future__ import annotations

import time

from transports import LoopClock


class SkewedClock(LoopClock):
    """The real clock, moved.

    Args:
        skew: seconds by which it is ahead; negative for behind.
    """

    __slots__ = ("_skew",)

    def __init__(self, skew: float) -> None:
        self._skew = skew

    def now(self) -> float:
        """Monotonic seconds from another start than that of the other nodes."""
        return time.monotonic() + self._skew

    def now_ns(self) -> int:
        """Monotonic nanoseconds from the same start as ``now``."""
        return time.monotonic_ns() + round(self._skew * 1e9)

    def wall(self) -> float:
        """Seconds since 1970-01-01 UTC, by a clock that is wrong."""
        return time.time() + self._skew

    def __repr__(self) -> str:
        return f"<SkewedClock {self._skew:+g} s>"
