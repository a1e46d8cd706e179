"""Who is in the open clock of an aggregator: a pure state machine, events in, answers out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from actorfl.roster import Answer, Phase, Roster, Verdict


@dataclass
class Rounds(Roster):
    """A clock that all compute together: it closes, and then the next one opens.

    Attributes:
        asked: who was told of the open clock, or heard of since it was opened.
        select: who computes a clock, by the clock, its members and the examples of the roster;
            None: all members.
        expected: who computes the open clock.
    """

    asked: set[str] = field(default_factory=set)
    select: Callable[[int, Sequence[str], Mapping[str, int]], frozenset[str]] | None = None
    expected: frozenset[str] = field(init=False)
    _members: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.enter(self.clock)
        self.expected = frozenset(self._members)

    @property
    def members(self) -> tuple[str, ...]:
        """Who is of the run in the open clock, in the order of the roster."""
        return self._members

    def enter(self, clock: int) -> None:
        """The clock that is to be opened is this: from here on its members count."""
        self._members = self.roster
        if self.stays or self.gone:
            self._members = tuple(name for name in self.roster if self.is_in(name, clock))

    def clock_of(self, worker: str) -> int:
        """The clock that a worker computes next."""
        return self.clock

    def ready(self, worker: str, incarnation: int, examples: int) -> Answer:
        """A worker asks for a clock; which one it believes to be next does not matter."""
        known = self._asked(worker, incarnation, examples)
        if known is not None:
            return known
        if self.has_left(worker, self.clock):
            return Answer.DONE
        self.asked.add(worker)
        here = worker in self.arrived or worker in self.refused
        if self.phase is Phase.CLOSING or here or worker not in self.expected:
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
        if worker not in self.expected:
            return self._drop(Verdict.UNSELECTED, "unselected")
        if clock > self.clock or version != clock or self.phase is Phase.GATHERING:
            return self._drop(Verdict.EARLY, "early")
        if worker in self.arrived or worker in self.refused:
            return self._drop(Verdict.AGAIN, "duplicate")
        if self.phase is Phase.CLOSING:  # it closes without this one
            return self._drop(Verdict.LATE if self.sync.partial else Verdict.AGAIN, "late")
        return Verdict.FOLD

    def open(self, clock: int, *, everybody: bool = False) -> tuple[str, ...]:
        """Open a clock; nobody is in it.

        Args:
            clock: which.
            everybody: whether all members are in it, whoever is selected.

        Returns:
            Who is to compute it and waits for it, in the order of the roster. The others ask when
            they have heard of their last part, or retry: telling them now would send the model
            twice.
        """
        self.enter(clock)
        same = self._members is self.roster
        self.expected = self._expected if same else frozenset(self._members)
        if self.select is not None and not everybody:
            self.expected = self.select(clock, self._members, self.examples)
        self.clock = clock
        self.phase = Phase.OPEN
        self.arrived.clear()
        self.refused.clear()
        waiting = self.waiting & self.expected
        told = tuple(name for name in self.roster if name in waiting)
        self.asked = set(told)
        self.waiting -= self.asked
        return told

    def complete(self, now: float = 0.0, durations: Sequence[float] = ()) -> bool:
        """Whether the open clock closes: all who compute it are in or were refused, or enough.

        Args:
            now: seconds since it was opened.
            durations: seconds of the last closed rounds, oldest first.
        """
        here = self.arrived | self.refused.keys() if self.refused else self.arrived
        expected = self.expected
        if "no-examples" in self.refused.values():  # they answer first of all, and have nothing
            empty = {name for name, why in self.refused.items() if why == "no-examples"}
            here, expected = here - empty, expected - empty
        if self.gone:  # who is gone is waited for no longer; its part counts if it is in
            expected = frozenset(each for each in expected if each in here or each not in self.gone)
        return self.phase is Phase.OPEN and self.sync.closes(here, expected, now, durations)

    def joined(self) -> list[str]:
        """Who is of the run from the open clock on."""
        if self.clock == 0:
            return []
        stays = self.stays
        return [each for each in self._members if each in stays and stays[each].join == self.clock]

    def left(self) -> list[str]:
        """Who is no longer of the run from the open clock on, or has gone in it."""
        return [
            name
            for name in self.roster
            if self.gone.get(name) == self.clock
            or (name in self.stays and self.stays[name].leave == self.clock)
        ]

    def merged(self) -> None:
        """The parts that are in the open clock are merged, and others no longer can be."""
        for name in self.roster:
            if name in self.arrived:
                self.took(name, self.clock)
            elif name in self.expected:
                self.passed(name, self.clock)

    def merged_below(self, workers: Iterable[str], inside: Collection[str]) -> None:
        """The same for workers below the aggregators of the roster.

        Args:
            workers: all of them.
            inside: whose parts are in the open clock.
        """
        for name in workers:
            if name not in inside:
                self.missed_below.setdefault(name, self.clock)
            else:
                self.missed_below.pop(name, None)

    def absent(self) -> dict[str, str]:
        """Who was to compute the open clock and is not in it, in the order of the roster, and why.

        Returns:
            "dead": nobody restarts it any more; "late": it knew of the clock, and did not end its
            part; "silent": it was not heard of, so it still computes an earlier clock, or is dead
            and not up again.
        """
        return {
            name: "dead" if name in self.gone else "late" if name in self.asked else "silent"
            for name in self.roster
            if name in self.expected and name not in self.arrived and name not in self.refused
        }
