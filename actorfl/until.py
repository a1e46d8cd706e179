"""When a run is over."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from actorfl.errors import WrongValue

# Clocks travel as 64-bit integers; a mistyped bound should be refused long before that.
ROUNDS_MAX = 1_000_000_000


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        clocks: how many clocks the root has closed.
    """

    clocks: int


class Until(ABC):
    """Base of all ends: frozen dataclasses of pure functions of the progress."""

    @abstractmethod
    def reached(self, progress: Progress) -> bool:
        """Say whether the run is over."""

    @abstractmethod
    def extends(self, earlier: Until) -> bool:
        """Say whether a run that was to end at `earlier` can be resumed to end here.

        It can when every run that follows the earlier end is a beginning of one that follows this.
        """


@dataclass(frozen=True)
class Rounds(Until):
    """After a number of rounds; a round is a clock of the root.

    Args:
        rounds: 1 to 10^9.

    Raises:
        WrongValue: a number out of range.
    """

    rounds: int

    def __post_init__(self) -> None:
        if not 1 <= self.rounds <= ROUNDS_MAX:
            raise WrongValue("rounds", f"from 1 to {ROUNDS_MAX}", self.rounds)

    def reached(self, progress: Progress) -> bool:
        """That many clocks are closed."""
        return progress.clocks >= self.rounds

    def extends(self, earlier: Until) -> bool:
        """At least as many rounds."""
        return isinstance(earlier, Rounds) and self.rounds >= earlier.rounds
