"""Whether a process still answers: heartbeats, silence, and how suspicious a silence is.

A process whose connection is gone is seen to die by other means. What is found here is one that
lives and answers nothing: frozen by a signal, swapped out, or holding the interpreter's lock. Long
computations look the same, so a silence is told, and ends a process only where a limit is set.

Pure: it is told the time and says what it makes of it.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

INTERVAL: Final = 1.0
"""Seconds between two heartbeats: a few bytes each, and how exactly a silence is known."""

STUCK: Final = 5.0
"""Seconds of silence from which on a node is called stuck; an import or a collection of garbage on
a loaded machine has taken 2."""

_WINDOW: Final = 100
_LEAST_DEVIATION: Final = 0.1
"""Seconds: answers that come like clockwork would make the first late one certain death."""


class Liveness:
    """What is known of one incarnation of a node.

    The suspicion is the phi of Hayashibara et al., "The phi accrual failure detector" (SRDS 2004),
    section 4: -log10 of the probability that an answer comes later than now, intervals taken as
    normally distributed. At phi 1 one suspicion of ten is wrong, at 3 one of a thousand.

    Args:
        now: seconds, when the node came up.
    """

    def __init__(self, now: float) -> None:
        self._last = now
        self._intervals: deque[float] = deque([INTERVAL], maxlen=_WINDOW)
        self.stuck = False

    def heard(self, now: float) -> None:
        """An answer came."""
        self._intervals.append(max(0.0, now - self._last))
        self._last = now

    def excuse(self, seconds: float, now: float) -> None:
        """For so long until now no answer was to be expected, as who listens was away himself."""
        # What waited to be read may have been heard already, at the end of that time.
        self._last = min(now, self._last + seconds)

    def silent(self, now: float) -> float:
        """Seconds since the last answer."""
        return max(0.0, now - self._last)

    def phi(self, now: float) -> float:
        """How suspicious the silence is; 0 is not at all, capped at 300."""
        mean = sum(self._intervals) / len(self._intervals)
        variance = sum((i - mean) ** 2 for i in self._intervals) / len(self._intervals)
        deviation = max(math.sqrt(variance), _LEAST_DEVIATION)
        later = 0.5 * math.erfc((self.silent(now) - mean) / (deviation * math.sqrt(2.0)))
        return min(300.0, -math.log10(later)) if later > 0.0 else 300.0

    def __repr__(self) -> str:
        state = "stuck" if self.stuck else "answering"
        return f"<Liveness {state} last={self._last:.3f} of {len(self._intervals)} answers>"
