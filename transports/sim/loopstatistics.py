"""What a simulated loop tells of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoopStatistics:
    """What a simulated loop did.

    Attributes:
        seconds: virtual time, from 0.
        steps: callbacks run.
        timers: timers that were set.
        fired: timers that came due and were not cancelled.
        jumps: times that nothing was ready and virtual time moved on.
        ready: callbacks that wait for their turn now.
        held: callbacks that wait because their node is frozen.
        waiting: timers that are set now.
    """

    seconds: float
    steps: int
    timers: int
    fired: int
    jumps: int
    ready: int
    held: int
    waiting: int
