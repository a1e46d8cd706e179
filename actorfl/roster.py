"""Who belongs to an aggregator, and what was heard of them: what all its state machines share."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from actorfl.grid import check_total
from actorfl.stay import Stay
from actorfl.sync import Sync
from actorfl.until import MOST


class Answer(enum.Enum):
    """What a worker that asks is told."""

    GATHER = "its examples are noted; others are still missing"
    GO = "compute the open clock"
    WAIT = "its part is in, or the clock is closing, or others compute it, or it is to join later"
    DONE = "the run is over, for all or for this one"
    FENCED = "a later incarnation of it has been heard of"
    UNKNOWN = "it is not in the roster"


class Verdict(enum.Enum):
    """What becomes of a part that was put."""

    FOLD = "to be checked and added"
    AGAIN = "added, refused or merged before: acknowledge it once more"
    EARLY = "of a clock that is not open here: tell the current one"
    LATE = "of a clock that has closed without it: tell so"
    UNSELECTED = "from somebody who was not selected for the clock: tell so"
    HELD = "it is here, and not durable yet: tell to wait"
    FENCED = "from an incarnation that has been replaced"
    UNKNOWN = "from somebody who is not in the roster"


class Phase(enum.Enum):
    """Where the aggregator is."""

    GATHERING = "waiting for the roster"
    OPEN = "a clock is open"
    CLOSING = "all parts are in"
    FINISHED = "the run is over"


@dataclass
class Roster(ABC):
    """The workers of an aggregator.

    Attributes:
        roster: names of all workers.
        sync: when a worker may go on, and when what is open closes.
        examples: training examples by worker, as far as they are known.
        incarnations: the latest one heard of, by worker.
        arrived: whose part of what is open is in.
        refused: whose part was refused since the last row, and why.
        missed: the first of its clocks whose parts were not taken, by worker, where its last one
            was not: what an algorithm keeps at it goes on from there.
        missed_below: the same of workers below the aggregators of the roster, where the root has to
            tell these.
        waiting: who has asked and was told to wait; told when it may go on.
        dropped: messages that changed nothing, by reason.
        phase: see ``Phase``.
        clock: what is open; its version has the same number.
        stays: from when to when a worker is of the run, by name; whoever has none always is.
        gone: who is no longer of it because nobody restarts it any more, and what was open then.
    """

    roster: tuple[str, ...]
    sync: Sync
    clock: int = 0
    examples: dict[str, int] = field(default_factory=dict)
    incarnations: dict[str, int] = field(default_factory=dict)
    arrived: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    missed: dict[str, int] = field(default_factory=dict)
    missed_below: dict[str, int] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    dropped: Counter[str] = field(default_factory=Counter)
    phase: Phase = Phase.GATHERING
    stays: Mapping[str, Stay] = field(default_factory=dict)
    gone: dict[str, int] = field(default_factory=dict)
    # Each message asks whether its sender is of the roster: a look, not a search of thousands.
    _expected: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._expected = frozenset(self.roster)

    @property
    @abstractmethod
    def members(self) -> tuple[str, ...]:
        """Who is of the run in what is open, in the order of the roster."""

    @abstractmethod
    def enter(self, clock: int) -> None:
        """What is to be opened is this: from here on its members count."""

    def leave(self, worker: str) -> bool:
        """A worker is gone for good; whether that is news."""
        if worker not in self._expected or worker in self.gone:
            return False
        self.gone[worker] = self.clock
        self.waiting.discard(worker)
        self.enter(self.clock)
        return True

    def is_in(self, worker: str, clock: int) -> bool:
        """Whether a worker is of the run in a clock of its own."""
        stay = self.stays.get(worker)
        return worker not in self.gone and (stay is None or stay.holds(clock))

    def has_left(self, worker: str, clock: int) -> bool:
        """Whether a worker was of the run only before a clock of its own."""
        stay = self.stays.get(worker)
        return worker in self.gone or (stay is not None and stay.over(clock))

    @abstractmethod
    def clock_of(self, worker: str) -> int:
        """The clock that a worker computes next."""

    def since(self, worker: str) -> int:
        """The clock from whose state a worker starts its next one.

        It is another than the next where the parts of those between were not taken.
        """
        return min(self.missed.get(worker, MOST), self.clock_of(worker))

    def took(self, worker: str, clock: int) -> None:
        """A worker's part of a clock was taken."""
        if self.missed.get(worker, MOST) <= clock:
            del self.missed[worker]

    def passed(self, worker: str, clock: int) -> None:
        """A clock is over without the part of a worker."""
        self.missed.setdefault(worker, clock)

    @abstractmethod
    def ready(self, worker: str, incarnation: int, examples: int) -> Answer:
        """A worker asks for a clock; which one it believes to be next does not matter."""

    @abstractmethod
    def put(self, worker: str, incarnation: int, clock: int, version: int) -> Verdict:
        """A worker puts its part of a clock, made from a version of the model."""

    @abstractmethod
    def open(self, clock: int) -> tuple[str, ...]:
        """Open a clock, or a version.

        Returns:
            Who waits for it and is to be told, in the order of the roster.
        """

    def _asked(self, worker: str, incarnation: int, examples: int) -> Answer | None:
        """What is to be answered whatever is open; None: it depends on that."""
        known = self._heard(worker, incarnation)
        if known is not None:
            return Answer.UNKNOWN if known is Verdict.UNKNOWN else Answer.FENCED
        self.examples.setdefault(worker, examples)
        if self.phase is Phase.FINISHED:
            return Answer.DONE
        if self.phase is Phase.GATHERING:
            self.waiting.add(worker)
            return Answer.GATHER
        return None

    def _heard(self, worker: str, incarnation: int) -> Verdict | None:
        if worker not in self._expected:
            return self._drop(Verdict.UNKNOWN, "foreign")
        latest = self.incarnations.get(worker, -1)
        if incarnation < latest:
            return self._drop(Verdict.FENCED, "fenced")
        self.incarnations[worker] = incarnation
        return None

    def _drop(self, verdict: Verdict, reason: str) -> Verdict:
        self.dropped[reason] += 1
        return verdict

    @property
    def gathered(self) -> bool:
        """Whether the examples of all members are known."""
        known, members = self.examples, self.members
        return len(known) >= len(members) and all(name in known for name in members)

    @property
    def total(self) -> int:
        """Examples of the members; at least one each, so that terms of weight 1 fit the grid.

        Raises:
            WrongValue: there are more than an exact sum can weigh.
        """
        return check_total("the workers", sum(max(1, self.examples[name]) for name in self.members))

    @property
    def held(self) -> int:
        """Entries of the largest table of workers; never more than the roster has."""
        tables = (value for value in vars(self).values() if isinstance(value, (dict, set)))
        # Counted by reason, not by worker.
        return max(len(table) for table in tables if table is not self.dropped)
