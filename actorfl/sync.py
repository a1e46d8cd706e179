"""When a worker may go on, and when an aggregator closes what is open: two pure functions.

Clocks are counted from 0. The *clock of a worker* is the one that it computes now or would compute
next: the number of clocks that it has completed.
"""

from __future__ import annotations

import math
import statistics
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from actorfl.defined import Abstract
from actorfl.errors import WrongValue
from actorfl.ranges import check_count, check_number
from actorfl.until import MOST, Progress

# Of a bound that is mistyped; nothing that runs comes near it.
_MOST_CLOCKS = 1_000_000_000
_MOST_INNER = 1_000_000

REMEMBERED: Final = 20
"""Rounds whose durations an adaptive deadline is made from."""

_ENOUGH: Final = 5
"""Rounds before which nothing is made from them."""

_TO_SD: Final = 1.4826
"""A median absolute deviation times this estimates a normal distribution's standard deviation."""


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


class Sync(Abstract):
    """Base of all policies: frozen dataclasses of pure functions; time comes in as an argument."""

    @property
    def buffer(self) -> int:
        """How many updates are gathered before the model moves, where there is no barrier."""
        return 1

    @property
    def inner(self) -> int:
        """Rounds of an aggregator that is not the root in one round of the level above."""
        return 1

    @property
    def barrier(self) -> bool:
        """Whether all workers compute a clock together, from one version of the model.

        Else each goes on from the newest version, and each update moves the model by itself.
        """
        return True

    def now(self, progress: Progress, metrics: Mapping[str, float | None]) -> Sync:
        """What admits workers now: itself, unless it is a ``Switch``."""
        return self

    @property
    def partial(self) -> bool:
        """Whether a clock may close without some of its workers."""
        return False

    def least(self, parts: int) -> int:
        """How many of so many parts are merged at once, at the least."""
        return parts if self.barrier else min(self.buffer, parts)

    @property
    def shares(self) -> bool:
        """Whether an update counts by its worker's share of all workers.

        Else by its share of what is merged with it. Only asked where there is no barrier.
        """
        return False

    @property
    def family(self) -> str:
        """The name under which algorithms say that they can go with it."""
        return "BSP" if self.barrier else "ASP"

    @abstractmethod
    def admits(self, clock: int, clocks: Mapping[str, int]) -> bool:
        """Say whether a worker may start a clock.

        Args:
            clock: the clock that it wants to start.
            clocks: the clock of every worker of the roster, the asking one too; not empty.
        """

    @abstractmethod
    def closes(
        self,
        arrived: Collection[str],
        expected: AbstractSet[str],
        now: float,
        durations: Sequence[float] = (),
    ) -> bool:
        """Say whether an aggregator closes what is open.

        Args:
            arrived: workers whose terms are in, once for each.
            expected: workers selected for this clock.
            now: seconds since it was opened.
            durations: seconds of the last closed rounds, at most ``REMEMBERED``, oldest first.
        """

    def due(self, durations: Sequence[float]) -> float | None:
        """Say when ``closes`` is to be asked again though nothing came; None: never.

        Args:
            durations: as for ``closes``.

        Returns:
            Seconds since it was opened.
        """
        return None


@dataclass(frozen=True)
class BSP(Sync):
    """Bulk-synchronous: all of clock c before anyone starts c + 1 (Valiant, CACM 33(8), 1990).

    It is SSP with a staleness of 0, and the policy under which faults leave the bits alone.

    Args:
        rounds: at an aggregator of a tree that is not its root: rounds with those below in one
            round of the level above, 1 to 10^6 (the kappa_2 of hierarchical federated averaging).

    Raises:
        WrongType: it is no whole number.
        WrongValue: it is out of range.
    """

    rounds: int = 1

    def __post_init__(self) -> None:
        check_count(self, "rounds", 1, _MOST_INNER)

    @property
    def inner(self) -> int:
        """It is ``rounds``."""
        return self.rounds

    def admits(self, clock: int, clocks: Mapping[str, int]) -> bool:
        """Nobody is behind the clock that is asked for."""
        return within(clock, clocks, 0)

    def closes(
        self,
        arrived: Collection[str],
        expected: AbstractSet[str],
        now: float,
        durations: Sequence[float] = (),
    ) -> bool:
        """Everyone selected is in."""
        return len(arrived) >= len(expected) and all(name in arrived for name in expected)


@dataclass(frozen=True)
class SSP(Sync):
    """Stale-synchronous: a worker may be ahead of the slowest by a bounded number of clocks.

    Ho et al., "More Effective Distributed ML via a Stale Synchronous Parallel Parameter Server",
    NeurIPS 2013: a worker starts clock c only if c - min <= staleness, min being the clock of the
    slowest. What it reads holds every update of clocks up to c - staleness - 1, its own ones, and
    whatever else has come. A worker that has completed its clock and waits may show staleness + 1.

    Updates are merged as they come: each moves the model by the share of its worker, see
    ``docs/synchronisation.md``. Degenerate values: 0 is BSP, bit for bit; a very large one is ASP.

    Args:
        staleness: clocks, 0 to 10^9.

    Raises:
        WrongType: it is no whole number.
        WrongValue: it is out of range.
    """

    staleness: int

    def __post_init__(self) -> None:
        check_count(self, "staleness", 0, _MOST_CLOCKS)

    @property
    def barrier(self) -> bool:
        """Only at a staleness of 0."""
        return self.staleness == 0

    @property
    def shares(self) -> bool:
        """By the share of all workers."""
        return True

    @property
    def family(self) -> str:
        """BSP at a staleness of 0."""
        return "BSP" if self.staleness == 0 else "SSP"

    def admits(self, clock: int, clocks: Mapping[str, int]) -> bool:
        """The slowest is no more than ``staleness`` behind."""
        return within(clock, clocks, self.staleness)

    def closes(
        self,
        arrived: Collection[str],
        expected: AbstractSet[str],
        now: float,
        durations: Sequence[float] = (),
    ) -> bool:
        """At once; at a staleness of 0 as BSP."""
        if self.staleness == 0:
            return BSP().closes(arrived, expected, now)
        return len(arrived) > 0


class Free(Sync):
    """Base of policies without a barrier: the model moves as soon as enough updates are there."""

    @property
    def barrier(self) -> bool:
        """None."""
        return False

    @property
    def shares(self) -> bool:
        """By the share of all workers."""
        return True

    def admits(self, clock: int, clocks: Mapping[str, int]) -> bool:
        """Always."""
        return True

    def closes(
        self,
        arrived: Collection[str],
        expected: AbstractSet[str],
        now: float,
        durations: Sequence[float] = (),
    ) -> bool:
        """At once, or when the buffer is full."""
        return len(arrived) >= self.buffer


@dataclass(frozen=True)
class ASP(Free):
    """Asynchronous: nobody waits for anybody; it is SSP without a bound.

    Workers that are faster take part more often, so the model leans towards their data.
    """


@dataclass(frozen=True)
class Buffered(Free):
    """Buffered asynchronous: nobody waits, and the model moves with every k-th update.

    Nguyen et al., "Federated Learning with Buffered Asynchronous Aggregation", AISTATS 2022. The
    updates of a buffer are merged as those of a round are, in place of one round's workers; a fast
    worker may be in it more than once. Degenerate value: k = 1 is one update at a time.

    Args:
        k: updates, 1 to 1,024; each takes the memory of a model until the buffer is full.

    Raises:
        WrongType: it is no whole number.
        WrongValue: it is out of range.
    """

    k: int = 10

    def __post_init__(self) -> None:
        check_count(self, "k", 1, 1024)

    @property
    def buffer(self) -> int:
        """It is k."""
        return self.k

    @property
    def shares(self) -> bool:
        """By the share of the buffer."""
        return False

    @property
    def family(self) -> str:
        """Its own."""
        return "Buffered"


@dataclass(frozen=True)
class Quorum(Sync):
    """A round waits for a part of its workers: all clocks start together, and some may miss one.

    It closes when all are in, or when a fraction of them is and the deadline has passed. Who comes
    later is told that it was late and goes on with the open clock; each line of the metrics names
    the absentees. ``fraction`` is how many of those that were asked are waited for; how many are
    asked is another matter.

    With ``floor`` the deadline adapts: it is the median of the durations of the last 20 closed
    rounds plus ``k`` times 1.4826 times their median absolute deviation (an estimate of the
    standard deviation that stragglers do not spoil), within [floor, deadline]; until 5 rounds are
    closed it is ``deadline``.

    Args:
        fraction: of the workers, above 0 and at most 1; rounded up to whole workers.
        deadline: seconds from the opening of a round after which the fraction suffices, >= 0.
        floor: seconds, the least that an adaptive deadline may be, 0 to `deadline`; None keeps the
            deadline fixed.
        k: estimated standard deviations that a round may take above the median, >= 0.

    Raises:
        WrongType: a value is no number.
        WrongValue: a value is out of range.
    """

    fraction: float = 0.8
    deadline: float = 0.0
    floor: float | None = None
    k: float = 3.0

    def __post_init__(self) -> None:
        check_number(self, "fraction", "above 0 and at most 1", lambda x: 0 < x <= 1)
        check_number(self, "deadline", "finite and at least 0 seconds", lambda x: x >= 0)
        check_number(self, "k", "finite and at least 0", lambda x: x >= 0)
        if self.floor is not None:
            check_number(self, "floor", "finite and at least 0 seconds", lambda x: x >= 0)
            if self.floor > self.deadline:
                raise WrongValue("`floor` of Quorum", f"at most {self.deadline:g}", self.floor)

    @property
    def partial(self) -> bool:
        """It may."""
        return True

    @property
    def family(self) -> str:
        """Its own."""
        return "Quorum"

    def admits(self, clock: int, clocks: Mapping[str, int]) -> bool:
        """Nobody is behind: who missed a clock is no longer asked for it."""
        return within(clock, clocks, 0)

    def closes(
        self,
        arrived: Collection[str],
        expected: AbstractSet[str],
        now: float,
        durations: Sequence[float] = (),
    ) -> bool:
        """All are in, or enough are and the deadline has passed."""
        present = sum(name in expected for name in arrived)
        if present >= len(expected):
            return True
        return present >= self.needed(len(expected)) and now >= self.due(durations)

    def least(self, parts: int) -> int:
        """The quorum."""
        return self.needed(parts)

    def needed(self, workers: int) -> int:
        """How many of so many workers make the quorum; at least one."""
        return max(1, math.ceil(round(self.fraction * workers, 9)))

    def due(self, durations: Sequence[float]) -> float:
        """The deadline, in seconds since the round was opened."""
        if self.floor is None or len(durations) < _ENOUGH:
            return self.deadline
        last = durations[-REMEMBERED:]
        median = statistics.median(last)
        deviation = statistics.median(abs(each - median) for each in last)
        return min(max(median + self.k * _TO_SD * deviation, self.floor), self.deadline)


@dataclass(frozen=True)
class Period(Free):
    """No rounds: each node of a graph acts once in a period of its own clock, at a random phase.

    For `Gossip`. What is sent arrives at most once; nobody waits for anybody. A round in the
    metrics and in ``until=Rounds(...)`` is a period since the run began.

    Args:
        seconds: of the deployment's clock, above 0, at most 10^9.
        transfer: seconds, >= 0, that a message takes to leave its node; if sender or receiver is
            gone by then, it is lost. It comes on top of what the network takes. With 0 it leaves at
            once.
        save: periods between two saves of a node, 1 to 10^6: what a crash costs it at most.

    Raises:
        WrongType: a value is no number.
        WrongValue: a value is out of range.
    """

    seconds: float
    transfer: float = 0.0
    save: int = 10

    def __post_init__(self) -> None:
        check_number(self, "seconds", "above 0 and at most 10^9", lambda x: 0 < x <= MOST)
        check_number(self, "transfer", "from 0 to 10^9 seconds", lambda x: 0 <= x <= MOST)
        check_count(self, "save", 1, _MOST_INNER)

    @property
    def family(self) -> str:
        """Its own."""
        return "Period"
