"""When a run is over."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields

from actorfl.ranges import check_count

# Clocks travel as 64-bit integers; a mistyped bound should be refused long before that.
MOST = 1_000_000_000


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        rounds: clocks that the root has closed; without a barrier, updates divided by the number of
            workers, rounded down.
        clocks: clocks that the slowest worker has completed.
        versions: how often the model has moved.
        updates: parts of workers that were taken, or refused.
    """

    rounds: int
    clocks: int
    versions: int
    updates: int


class Until(ABC):
    """Base of all ends: frozen dataclasses of pure functions of the progress."""

    @property
    def last(self) -> int | None:
        """How many clocks each worker computes at the most; None: as many as it can."""
        return None

    @abstractmethod
    def reached(self, progress: Progress) -> bool:
        """Say whether the run is over."""

    @abstractmethod
    def extends(self, earlier: Until) -> bool:
        """Say whether a run that was to end at `earlier` can be resumed to end here.

        It can when every run that follows the earlier end is a beginning of one that follows this.
        """


@dataclass(frozen=True)
class _Count(Until):
    """After a number of something; a run to one number is the beginning of one to a larger."""

    def __post_init__(self) -> None:
        (field,) = fields(self)
        check_count(self, field.name, 1, MOST)

    @property
    def number(self) -> int:
        """How many."""
        (field,) = fields(self)
        number: int = getattr(self, field.name)
        return number

    def extends(self, earlier: Until) -> bool:
        """At least as many of the same."""
        return isinstance(earlier, type(self)) and self.number >= earlier.number


@dataclass(frozen=True)
class Rounds(_Count):
    """After a number of rounds; a round is a clock of the root.

    Without a barrier it is as many updates as there are workers, whoever they come from: so runs
    under different policies end after the same work.

    Args:
        rounds: 1 to 10^9.

    Raises:
        WrongType: no whole number.
        WrongValue: a number out of range.
    """

    rounds: int

    def reached(self, progress: Progress) -> bool:
        """That many rounds are closed."""
        return progress.rounds >= self.rounds


@dataclass(frozen=True)
class Clocks(_Count):
    """After each worker has computed a number of clocks; who has, waits for the others.

    Under a policy with a barrier a clock is a round.

    Args:
        clocks: 1 to 10^9.

    Raises:
        WrongType: no whole number.
        WrongValue: a number out of range.
    """

    clocks: int

    @property
    def last(self) -> int:
        """That many."""
        return self.clocks

    def reached(self, progress: Progress) -> bool:
        """The slowest worker has computed that many clocks."""
        return progress.clocks >= self.clocks


@dataclass(frozen=True)
class Versions(_Count):
    """After the model has moved a number of times: once a round, buffer or update.

    Args:
        versions: 1 to 10^9.

    Raises:
        WrongType: no whole number.
        WrongValue: a number out of range.
    """

    versions: int

    def reached(self, progress: Progress) -> bool:
        """The model has moved that often."""
        return progress.versions >= self.versions


@dataclass(frozen=True)
class Updates(_Count):
    """After a number of updates of workers were taken, or refused.

    A round under a policy with a barrier takes as many as it has; the run ends with the round in
    which the number is reached.

    Args:
        updates: 1 to 10^9.

    Raises:
        WrongType: no whole number.
        WrongValue: a number out of range.
    """

    updates: int

    def reached(self, progress: Progress) -> bool:
        """That many have come."""
        return progress.updates >= self.updates
