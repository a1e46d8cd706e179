"""A clock that is ahead of the others, or behind, as those of different machines are."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from actors.faults.kinds import Skew
from actors.faults.moment import Moments
from transports import Clock, LoopClock, Timer


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


class ResetClock:
    """A clock whose time of day is set forward and back, as a plan says.

    Args:
        clock: that it is otherwise.
        skews: of the plan, those with a time of their own.
        until: the end of the plan.
        began: when the launcher started, by ``clock``.
        moments: those of the plan that have come.
        counts: how often each kind took effect.
    """

    def __init__(  # noqa: PLR0917  (all of them are what it is made of)
        self,
        clock: Clock,
        skews: Sequence[Skew],
        until: float,
        began: float,
        moments: Moments,
        counts: Counter[str],
    ) -> None:
        self._clock = clock
        self._skews = skews
        self._until = until
        self._began = began
        self._moments = moments
        self._counts = counts
        self._told: set[int] = set()

    def now(self) -> float:
        """See ``Clock.now``."""
        return self._clock.now()

    def now_ns(self) -> int:
        """See ``Clock.now_ns``."""
        return self._clock.now_ns()

    def wall(self) -> float:
        """See ``Clock.wall``; a skew counts as one that took effect when it is first seen here."""
        seconds = self._clock.now() - self._began
        ahead = 0.0
        for place, skew in enumerate(self._skews):
            if skew.holds(seconds, self._until, self._moments):
                ahead += skew.seconds
                self._counts["skew"] += place not in self._told
                self._told.add(place)
        return self._clock.wall() + ahead

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        """See ``Clock.call_later``."""
        return self._clock.call_later(delay, callback, *args)

    async def sleep(self, seconds: float) -> None:
        """See ``Clock.sleep``."""
        await self._clock.sleep(seconds)

    def __repr__(self) -> str:
        return f"<ResetClock over {self._clock!r}>"
