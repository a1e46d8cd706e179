"""Who may go on where there is no barrier: a pure state machine, events in, answers out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from actorfl.roster import Answer, Phase, Roster, Verdict


@dataclass
class Flow(Roster):
    """Each worker has a clock of its own; each update, or each buffer of them, makes a version.

    Attributes:
        clock: the open version: how often the model has moved.
        clocks: the clock of each worker: how many of its parts were taken or refused.
        updates: parts that were taken or refused, over all workers.
        last: the clock after which a worker computes no more; None: there is none.

    Who is to join does so as soon as it was heard of and the slowest has come to the clock from
    which it is of the run; it starts at the clock of the slowest.
    """

    clocks: dict[str, int] = field(default_factory=dict)
    updates: int = 0
    last: int | None = None
    # Clocks of the members; the same table where all are, so that it costs nothing then.
    _present: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.clocks = dict.fromkeys(self.roster, 0) | self.clocks
        self.enter(self.clock)

    @property
    def members(self) -> tuple[str, ...]:
        """Who is of the run now, in the order of the roster."""
        return self.roster if self._present is self.clocks else tuple(self._present)

    def enter(self, clock: int) -> None:
        """The members follow from the clocks of the workers, whatever the version."""
        self._present = self.clocks
        if self.stays or self.gone:
            self._present = {name: c for name, c in self.clocks.items() if self.is_in(name, c)}
            self._join()

    def _join(self) -> None:
        """Let those join whose time has come, and let go whose time is over."""
        while True:
            slowest = self.slowest
            due = [
                name
                for name, stay in self.stays.items()
                if self.clocks[name] < stay.join <= slowest
                and name in self.examples
                and name not in self.gone
            ]
            for name in due:
                self.clocks[name] = slowest
            # In the order of the roster; who comes only after its end is none of them.
            present = {name: c for name, c in self.clocks.items() if self.is_in(name, c)}
            if present.keys() == self._present.keys():
                return
            self._present = present

    def clock_of(self, worker: str) -> int:
        """The clock that a worker computes next."""
        return self.clocks[worker]

    @property
    def slowest(self) -> int:
        """The clock of the slowest worker."""
        return min(self._present.values(), default=max(self.clocks.values()))

    @property
    def rounds(self) -> int:
        """Rounds' worth of updates: as many as there are workers."""
        return self.updates // len(self.roster)

    def ready(self, worker: str, incarnation: int, examples: int) -> Answer:
        """A worker asks for a clock; which one it believes to be next does not matter."""
        known = self._asked(worker, incarnation, examples)
        if known is not None:
            return known
        if self.stays:
            self._join()
        if self.has_left(worker, self.clocks[worker]):
            return Answer.DONE
        if worker in self.arrived or not self._may(worker):
            self.waiting.add(worker)
            return Answer.WAIT
        return Answer.GO

    def put(self, worker: str, incarnation: int, clock: int, version: int) -> Verdict:
        """A worker puts its part of a clock of its own, made from a version of the model."""
        known = self._heard(worker, incarnation)
        if known is not None:
            return known
        mine = self.clocks.get(worker, 0)
        if clock < mine or self.phase is Phase.FINISHED:
            return self._drop(Verdict.AGAIN, "late")
        closing = self.phase is Phase.CLOSING
        if clock > mine or version > self.clock or self.phase is Phase.GATHERING:
            return self._drop(Verdict.EARLY, "early")
        if closing and version != self.clock:  # trained while the end was reached
            return self._drop(Verdict.AGAIN, "late")
        if worker in self.arrived:
            return self._drop(Verdict.HELD, "duplicate")
        return Verdict.FOLD

    def settled(self, workers: Iterable[str]) -> None:
        """The parts of these workers were taken: their next clocks are open to them."""
        for worker in workers:
            self.took(worker, self.clocks[worker])
            self.ended(worker)

    def ended(self, worker: str) -> None:
        """The clock of a worker is over, whether its part was taken or refused."""
        self.clocks[worker] += 1
        self.updates += 1
        self.arrived.discard(worker)
        if self._present is not self.clocks:
            if worker in self._present:
                self._present[worker] = self.clocks[worker]
            self._join()

    def open(self, clock: int) -> tuple[str, ...]:
        """Open a version.

        Returns:
            Who waits and may go on now, in the order of the roster.
        """
        self.clock = clock
        self.phase = Phase.OPEN
        return self.released()

    def released(self) -> tuple[str, ...]:
        """Who waits and may go on now, in the order of the roster; they wait no longer."""
        if not self.waiting:
            return ()
        free = tuple(name for name in self.roster if name in self.waiting and self._may(name))
        self.waiting.difference_update(free)
        return free

    def close(self) -> tuple[str, ...]:
        """The end is reached, and all are to evaluate the last version.

        Returns:
            Who waits for it, in the order of the roster.
        """
        self.phase = Phase.CLOSING
        self.arrived.clear()
        told = tuple(name for name in self.members if name in self.waiting)
        self.waiting.clear()
        return told

    @property
    def all_evaluated(self) -> bool:
        """Whether everybody's evaluation of the last version is in."""
        if self._present is self.clocks:
            return self.phase is Phase.CLOSING and len(self.arrived) >= len(self.roster)
        return self.phase is Phase.CLOSING and self._present.keys() <= self.arrived

    def holds_back(self, worker: str) -> bool:
        """Whether a worker that waits does so for slower ones, and for nothing else."""
        return (
            self.phase is Phase.OPEN
            and worker not in self.arrived
            and worker in self._present
            and self.clocks[worker] != self.last
        )

    def _may(self, worker: str) -> bool:
        """Whether a worker may start its clock, or evaluate the last version."""
        if worker not in self._present:
            return False
        if self.phase is Phase.CLOSING:
            return worker not in self.arrived
        clock = self.clocks[worker]
        if self.last is not None and clock >= self.last:
            return False
        return self.sync.admits(clock, self._present)
