"""Who of the roster computes a clock: drawn from (seed of the run, clock, roster, examples) alone.

So whoever happens to be alive, slow or killed changes nothing: an aggregator that was restarted
draws the same workers again, and waits for them.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import math
from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from actorfl.defined import Abstract
from actorfl.errors import Misfit, WrongValue
from actorfl.ranges import check_count, check_number, check_word
from actorfl.seeds import seed_for
from actorfl.topology import WORKERS_MAX

_BITS = 128


class Selection(Abstract):
    """Base of all selections: frozen dataclasses of pure functions.

    Who is not selected for a clock is told to wait, and counts neither as late nor as silent.
    """

    @abstractmethod
    def size(self, workers: int) -> int:
        """How many workers of so many compute a clock, 1 to ``workers``.

        Raises:
            ConfigError: there are too few.
        """

    def least(self, workers: int) -> int:
        """How many workers of so many compute a clock at the least."""
        return self.size(workers)

    def draw_at(
        self, clock: int, roster: Sequence[str], examples: Mapping[str, int], seed: int
    ) -> Collection[str]:
        """Draw the workers of one clock; to be overridden where which clock it is matters.

        Args:
            clock: from 0.
            roster: as for ``draw``.
            examples: as for ``draw``.
            seed: as for ``draw``.
        """
        return self.draw(roster, examples, seed)

    @abstractmethod
    def draw(
        self, roster: Sequence[str], examples: Mapping[str, int], seed: int
    ) -> Collection[str]:
        """Draw the workers of one clock; the same arguments must give the same workers.

        Args:
            roster: names of all workers, in the order of the topology.
            examples: training examples by worker, >= 0.
            seed: of this clock, in [0, 2^63).

        Returns:
            ``size(len(roster))`` names of the roster, each once, in any order.
        """


@dataclass(frozen=True)
class Sample(Selection):
    """A part of the workers, drawn anew for each clock, without replacement.

    McMahan et al., "Communication-Efficient Learning of Deep Networks from Decentralized Data",
    AISTATS 2017, Algorithm 1 (its C is ``fraction``). By examples, the next worker is drawn in
    proportion to its number of examples among those that are left: the draws of Efraimidis and
    Spirakis, "Weighted random sampling with a reservoir", Information Processing Letters 97(5),
    2006, in whole numbers, so that they are the same on every machine. Workers without examples
    come last. An algorithm weighs what it merges as it does otherwise.

    Args:
        fraction: of the workers, above 0 and at most 1; rounded up to whole workers.
        count: workers, 1 to as many as there are. Give this or ``fraction``.
        by: "uniform" draws all with the same probability, "examples" in proportion to examples.

    Raises:
        WrongType: a value is no number.
        WrongValue: a value is out of range, or not exactly one of the two is given.
    """

    fraction: float | None = None
    count: int | None = None
    by: Literal["uniform", "examples"] = "uniform"

    def __post_init__(self) -> None:
        if (self.fraction is None) == (self.count is None):
            both = f"fraction={self.fraction} and count={self.count}"
            raise WrongValue(
                f"the size of {type(self).__name__}", "given as fraction or as count", both
            )
        if self.fraction is not None:
            check_number(self, "fraction", "above 0 and at most 1", lambda x: 0 < x <= 1)
        if self.count is not None:
            check_count(self, "count", 1, WORKERS_MAX)
        check_word(self, "by", ("uniform", "examples"))

    def size(self, workers: int) -> int:
        """The count, or the fraction of the workers, rounded up."""
        if self.count is None:
            assert self.fraction is not None
            return max(1, math.ceil(round(self.fraction * workers, 9)))
        if self.count > workers:
            raise WrongValue(
                f"`count` of {type(self).__name__}", f"at most {workers}, the workers", self.count
            )
        return self.count

    def draw(
        self, roster: Sequence[str], examples: Mapping[str, int], seed: int
    ) -> Collection[str]:
        """Draw one after the other, each among those that are left."""
        size = self.size(len(roster))
        if size == len(roster):
            return roster
        weights = [examples[name] if self.by == "examples" else 1 for name in roster]
        return [roster[index] for index in drawn(weights, size, seed)]


def selected(
    selection: Selection,
    roster: Sequence[str],
    examples: Mapping[str, int],
    run_seed: int,
    clock: int,
) -> frozenset[str]:
    """Who computes a clock.

    Args:
        selection: draws them.
        roster: names of all workers, in the order of the topology.
        examples: training examples by worker.
        run_seed: of the run.
        clock: from 0.

    Raises:
        Misfit: a selection of somebody's own drew nobody, more than it said, or one who is not in
            the roster.
    """
    seed = seed_for(run_seed, "", clock, "select")
    found = frozenset(selection.draw_at(clock, roster, examples, seed))
    name, most = type(selection).__name__, selection.size(len(roster))
    strangers = sorted(found.difference(roster))
    if strangers:
        raise Misfit(f"{name} drew {strangers[0]}, who is not in the roster; draw from `roster`")
    if not 1 <= len(found) <= most:
        raise Misfit(
            f"{name} drew {len(found)} workers for clock {clock}; draw {most}, as its `size` says"
        )
    return found


def drawn(weights: Sequence[int], size: int, seed: int) -> list[int]:
    """Draw indices without replacement, each in proportion to its weight among those left.

    Args:
        weights: whole numbers >= 0; what weighs nothing comes last, each with the same probability.
        size: how many, 0 to as many as there are weights.
        seed: of the draws.

    Returns:
        The indices in the order in which they were drawn.
    """
    draws = _draws(seed)
    left = [index for index, weight in enumerate(weights) if weight > 0]
    nothing = [index for index, weight in enumerate(weights) if weight <= 0]
    order: list[int] = []
    for pool, of in ((left, weights), (nothing, [1] * len(weights))):
        remaining = pool
        while remaining and len(order) < size:
            ends = list(itertools.accumulate(of[index] for index in remaining))
            # Whom the draw hits again is drawn anew, until half of the weight is gone: so what is
            # left is looked at few times, and each draw succeeds at least every second time.
            gone: set[int] = set()
            lost = 0
            while len(order) < size and 2 * lost < ends[-1] and len(gone) < len(remaining):
                index = remaining[bisect.bisect_right(ends, _below(ends[-1], draws))]
                if index not in gone:
                    gone.add(index)
                    lost += of[index]
                    order.append(index)
            remaining = [index for index in remaining if index not in gone]
    return order


def _below(bound: int, draws: Iterator[int]) -> int:
    """An integer in [0, bound), each with the same probability."""
    limit = (1 << _BITS) - (1 << _BITS) % bound
    return next(draw for draw in draws if draw < limit) % bound


def _draws(seed: int) -> Iterator[int]:
    """Integers in [0, 2^128) from a seed, the same on every platform and version."""
    for number in itertools.count():
        text = f"actorfl-draw-1 {seed} {number}"
        yield int.from_bytes(hashlib.sha256(text.encode()).digest()[: _BITS // 8], "big")
