"""Selection among those who are there: devices that charge at night, sites that are often away."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from actorfl.errors import WrongType, WrongValue
from actorfl.ranges import check_count, check_number
from actorfl.sampling import Sample, drawn
from actorfl.until import MOST

_BITS = 128
# Each is looked at for each worker and clock until one matches.
_MOST_RULES = 256


@dataclass(frozen=True)
class Presence:
    """When workers are there, in clocks: in a window that comes again, or by chance, or both.

    Args:
        workers: their name, or a pattern such as ``phone*`` (``*``, ``?``, ``[...]``).
        share: of the clocks of the window in which each of them is there, 0 to 1, drawn for each
            worker and clock from the seed of the run.
        period: clocks after which the window comes again, 1 to 10^9; None: all clocks are in it.
        begin: the first clock of a window, from 0; 0 where there is none.
        length: clocks of the window, 1 to ``period``; to be given with it.

    Raises:
        WrongType: a value has another type.
        WrongValue: a value is out of range, only one of ``period`` and ``length`` is given, or
            ``begin`` without them.
    """

    workers: str
    share: float = 1.0
    period: int | None = None
    begin: int = 0
    length: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.workers, str):
            raise WrongType("`workers` of Presence", "a name or a pattern", self.workers)
        check_number(self, "share", "from 0 to 1", lambda x: 0 <= x <= 1)
        check_count(self, "begin", 0, MOST)
        if (self.period is None) != (self.length is None):
            both = f"period={self.period} and length={self.length}"
            raise WrongValue("the window of Presence", "given as period and length", both)
        if self.begin and self.period is None:
            need = "0 where there is no window; give period and length, too"
            raise WrongValue("`begin` of Presence", need, self.begin)
        if self.period is not None:
            check_count(self, "period", 1, MOST)
            check_count(self, "length", 1, self.period)

    @property
    def always(self) -> bool:
        """Whether those that it speaks of are always there, as whoever no rule fits."""
        return self.share == 1.0 and (self.period is None or self.length == self.period)

    def holds(self, worker: str, clock: int, seed: int) -> bool:
        """Whether a worker that it speaks of is there.

        Args:
            worker: its name.
            clock: from 0.
            seed: of this clock.
        """
        if self.period is not None:
            assert self.length is not None
            if (clock - self.begin) % self.period >= self.length:
                return False
        text = f"actorfl-available-1 {seed} {worker}".encode()
        number = int.from_bytes(hashlib.sha256(text).digest()[: _BITS // 8], "big")
        # Scaling by a power of two is exact, so the comparison is the same on every machine.
        return number < int(self.share * float(1 << _BITS))


@dataclass(frozen=True)
class Available(Sample):
    """As ``Sample``, among the workers that are available in a clock.

    Who is there is a pure function of (seed of the run, clock, worker), so whoever is killed
    changes nothing. Where fewer are there than are to be drawn, all of them compute the clock;
    where nobody is, one is drawn from all. Bonawitz et al., "Towards Federated Learning at Scale:
    System Design", MLSys 2019, section 2, tell of devices that are there at night: a model that is
    only ever trained by some leans towards their data.

    Args:
        fraction: of all workers, as in ``Sample``.
        count: workers, as in ``Sample``.
        by: as in ``Sample``.
        when: rules, 1 to 256; the first whose pattern fits a worker decides, and whoever fits none
            is always there. Each must decide about some worker.

    Raises:
        WrongType: a value has another type.
        WrongValue: a value is out of range.
    """

    when: tuple[Presence, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        given: object = self.when
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise WrongType("`when` of Available", "a list of Presence", given)
        object.__setattr__(self, "when", tuple(self.when))
        for rule in self.when:
            if not isinstance(rule, Presence):
                raise WrongType("a rule in `when` of Available", "a Presence", rule)
        if not 1 <= len(self.when) <= _MOST_RULES:
            need = f"from 1 to {_MOST_RULES}"
            raise WrongValue("the number of rules in `when` of Available", need, len(self.when))

    def least(self, workers: int) -> int:
        """One: all others may be away."""
        return 1

    def draw_at(
        self, clock: int, roster: Sequence[str], examples: Mapping[str, int], seed: int
    ) -> Collection[str]:
        """Draw one after the other, each among those that are there and left."""
        here = [name for name in roster if self.is_there(name, clock, seed)]
        size = min(self.size(len(roster)), len(here)) if here else 1
        pool = here or list(roster)
        if size == len(pool):
            return pool
        weights = [examples[name] if self.by == "examples" else 1 for name in pool]
        return [pool[index] for index in drawn(weights, size, seed)]

    def is_there(self, worker: str, clock: int, seed: int) -> bool:
        """Whether a worker is available.

        Args:
            worker: its name.
            clock: from 0.
            seed: of this clock.
        """
        rule = next((one for one in self.when if fnmatchcase(worker, one.workers)), None)
        return rule is None or rule.holds(worker, clock, seed)
