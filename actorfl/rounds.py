"""Who is in the open clock of an aggregator: a pure state machine, events in, answers out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from actorfl.roster import Answer, Phase, Roster, Verdict


@dataclass
class Rounds(Roster):
    """A clock that all compute together: it closes, and then the next one opens.

    Attributes:
        asked: who was told of the open clock, or heard of since it was opened.
    """

    asked: set[str] = field(default_factory=set)

    def clock_of(self, worker: str) -> int:
        """The clock that a worker computes next."""
        return self.clock

    def ready(self, worker: str, incarnation: int, examples: int) -> Answer:
        """A worker asks for a clock; which one it believes to be next does not matter."""
        known = self._asked(worker, incarnation, examples)
        if known is not None:
            return known
        self.asked.add(worker)
        if self.phase is Phase.CLOSING or worker in self.arrived or worker in self.refused:
            self.waiting.add(worker)
            return Answer.WAIT
        return Answer.GO

    def put(self, worker: str, incarnation: int, clock: int, version: int) -> Verdict:
        """A worker puts its part of a clock, made from a version (equal to the clock under BSP)."""
        known = self._heard(worker, incarnation)
        if known is not None:
            return known
        self.asked.add(worker)
        if clock < self.clock or self.phase is Phase.FINISHED:
            missed = self.sync.partial and self.since(worker) <= clock < self.clock
            return self._drop(Verdict.LATE if missed else Verdict.AGAIN, "late")
        if clock > self.clock or version != clock or self.phase is Phase.GATHERING:
            return self._drop(Verdict.EARLY, "early")
        if worker in self.arrived or worker in self.refused:
            return self._drop(Verdict.AGAIN, "duplicate")
        if self.phase is Phase.CLOSING:  # it closes without this one
            return self._drop(Verdict.LATE if self.sync.partial else Verdict.AGAIN, "late")
        return Verdict.FOLD

    def open(self, clock: int) -> tuple[str, ...]:
        """Open a clock; nobody is in it.

        Returns:
            Who waits for it, in the order of the roster. The others ask when they have heard of
            their last part, or retry: telling them now would send the model twice.
        """
        self.clock = clock
        self.phase = Phase.OPEN
        self.arrived.clear()
        self.refused.clear()
        told = tuple(name for name in self.roster if name in self.waiting)
        self.waiting.clear()
        self.asked = set(told)
        return told

    def complete(self, now: float = 0.0, durations: Sequence[float] = ()) -> bool:
        """Whether the open clock closes: everyone is in or was refused, or enough are.

        Args:
            now: seconds since it was opened.
            durations: seconds of the last closed rounds, oldest first.
        """
        here = self.arrived | self.refused.keys() if self.refused else self.arrived
        return self.phase is Phase.OPEN and self.sync.closes(here, self._expected, now, durations)

    def merged(self) -> None:
        """The parts that are in the open clock are merged, and others no longer can be."""
        for name in self.roster:
            if name in self.arrived:
                self.took(name, self.clock)
            else:
                self.passed(name, self.clock)

    def absent(self) -> dict[str, str]:
        """Who is not in the open clock, in the order of the roster, and why.

        Returns:
            "late": it knew of the clock, and did not end its part; "silent": it was not heard of,
            so it still computes an earlier clock, or is dead.
        """
        return {
            name: "late" if name in self.asked else "silent"
            for name in self.roster
            if name not in self.arrived and name not in self.refused
        }
