"""When a worker may go on, and when an aggregator closes its clock: two pure functions.

Clocks are counted from 0. The *clock of a worker* is the one that it computes now or would compute
next: the number of clocks that it has completed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass


def within(clock: int, clocks: Mapping[str, int], bound: float) -> bool:
    """Whether a clock is ahead of the slowest worker by no more than a bound.

    The condition of SSP: nobody starts clock c while c - min > bound (Ho et al., "More Effective
    Distributed ML via a Stale Synchronous Parallel Parameter Server", NeurIPS 2013, section 2).

    Args:
        clock: that somebody wants to start.
        clocks: the clock of every worker of the roster; not empty.
        bound: clocks, >= 0; 0 is BSP, infinity ASP.
    """
    return clock - min(clocks.values()) <= bound


class Sync(ABC):
    """Base of all policies: frozen dataclasses of pure functions; time comes in as an argument."""

    @abstractmethod
    def admits(self, clock: int, clocks: Mapping[str, int]) -> bool:
        """Say whether a worker may start a clock.

        Args:
            clock: the clock that it wants to start.
            clocks: the clock of every worker of the roster, the asking one too; not empty.
        """

    @abstractmethod
    def closes(self, arrived: AbstractSet[str], expected: AbstractSet[str], now: float) -> bool:
        """Say whether an aggregator closes its open clock.

        Args:
            arrived: workers whose terms for this clock are in.
            expected: workers selected for this clock.
            now: seconds since the clock was opened.
        """


@dataclass(frozen=True)
class BSP(Sync):
    """Bulk-synchronous: all of clock c before anyone starts c + 1 (Valiant, CACM 33(8), 1990).

    It is SSP with a staleness of 0, and the policy under which faults leave the bits alone.
    """

    def admits(self, clock: int, clocks: Mapping[str, int]) -> bool:
        """Nobody is behind the clock that is asked for."""
        return within(clock, clocks, 0)

    def closes(self, arrived: AbstractSet[str], expected: AbstractSet[str], now: float) -> bool:
        """Everyone selected is in."""
        return expected <= arrived
