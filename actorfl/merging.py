"""Merging the terms of one clock: checked first, then added exactly; refused by name and reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from actorfl.errors import ActorflError
from actorfl.exact import ExactSum, NonFinite, Overflow, Overweight
from actorfl.grid import Grid
from actorfl.layout import Layout, Vector
from actorfl.mean import Mean
from actorfl.terms import (
    MAX_CONTRIBUTORS,
    Array,
    Contribution,
    PartialSum,
    Sum,
    Terms,
    listed_workers,
)

_FLOAT32 = np.dtype(np.float32)
_INT64 = np.dtype(np.int64)

Reason: TypeAlias = Literal[
    "overlap",  # a contribution is in the sums already
    "clock",  # it belongs to another clock
    "keys",  # a part, term or buffer is missing or unknown
    "shape",  # a part, vector or buffer has another shape
    "dtype",  # a vector is not float32, or a buffer has another dtype
    "no-examples",  # nothing was trained on
    "weight",  # a weight is no whole number, or more came than the roster announced
    "non-finite",  # NaN or an infinity
    "overflow",  # a value is beyond the grid: ask for the clock again with a wider one
    "grid",  # a partial sum was made on another grid
    "payload",  # a compressed vector is none that its compressor makes
]


class Refused(ActorflError):  # noqa: N818  (the sentence is the name, as in the field's APIs)
    """Terms that were not merged; the sums are as they were before.

    Attributes:
        reason: one of the words of ``Reason``.
        contributions: what was refused, sorted.
        what: what is wrong, without the names.
    """

    def __init__(self, reason: Reason, contributions: Iterable[Contribution], what: str) -> None:
        self.reason: Reason = reason
        self.contributions = tuple(sorted(contributions))
        self.what = what
        who = listed_workers(self.contributions) or "nobody"
        super().__init__(f"the update of {who} was refused ({reason}): {what}")

    @property
    def wants_wider_grid(self) -> bool:
        """Whether the same clock on ``grid.wider()`` would help."""
        return self.reason == "overflow"


class MergerStatistics(NamedTuple):
    """What a merger has done in its clock.

    Attributes:
        clock: the clock that it merges.
        updates: terms folded.
        contributions: workers in the sums.
        examples: training examples behind them.
        rounded: values that were rounded to the grid.
        refused: refusals by reason.
    """

    clock: int
    updates: int
    contributions: int
    examples: int
    rounded: int
    refused: Mapping[Reason, int]


class Merged:
    """What an algorithm closes a clock with; false when nobody contributed.

    ``merged["model"].mean()`` and ``.sum()`` are float32 vectors, ``.weight`` the total weight. It
    reads the merger's memory: use it before the merger is started again.

    Attributes:
        sums: exact sums by name.
        counts: exact counts by name.
        means: metrics by name.
        contributions: who is in it, sorted.
        examples: training examples behind it.
        integers: integer buffers, the maximum of each element, dtypes kept.
        layout: of the model.
        models: the vectors of each term as they came, in the order of their workers' names; only
            for algorithms with ``reduce = "all"``, which have no sums.
    """

    def __init__(
        self,
        *,
        sums: Mapping[str, ExactSum],
        counts: Mapping[str, int],
        means: Mapping[str, Mean],
        contributions: Iterable[Contribution],
        examples: int,
        integers: Mapping[str, Array],
        layout: Layout,
    ) -> None:
        self.layout = layout
        self.models: Mapping[str, tuple[Vector, ...]] = {}
        self.sums = dict(sums)
        self.counts = dict(counts)
        self.means = dict(means)
        self.contributions = tuple(sorted(contributions))
        self.examples = examples
        self.integers = dict(integers)

    def __getitem__(self, name: str) -> ExactSum:
        try:
            return self.sums[name]
        except KeyError:
            raise KeyError(f"no term {name!r} went up; there are {sorted(self.sums)}") from None

    def __contains__(self, name: object) -> bool:
        return name in self.sums

    def __iter__(self) -> Iterator[str]:
        return iter(self.sums)

    def __bool__(self) -> bool:
        return bool(self.contributions)

    def __repr__(self) -> str:
        names = ", ".join([*self.sums, *self.counts, *self.means]) or "empty"
        return f"<Merged {names} of {len(self.contributions)} examples={self.examples}>"


class Merger:
    """The accumulator of one clock.

    Its memory is 8 bytes per element and term, whatever the number of workers; ``restart`` keeps it
    for the next clock. The first terms folded fix the names of the vectors.

    Args:
        layout: of the model.
        grid: of the clock.
        clock: contributions of other clocks are refused.
    """

    def __init__(self, layout: Layout, grid: Grid, clock: int) -> None:
        self.layout = layout
        # What each update is compared with, read once.
        self._shapes = layout.shapes
        self._shape = (layout.size,)
        self._memory: dict[str, ExactSum] = {}
        self.restart(grid, clock)

    def restart(self, grid: Grid, clock: int) -> None:
        """Forget everything and begin another clock, or the same one on another grid.

        Raises:
            LayoutError: the grid is one of another layout.
        """
        grid.check(self.layout)
        self.grid = grid
        self.clock = clock
        self._names: tuple[str, ...] | None = None
        self._sums: dict[str, ExactSum] = {}
        self._counts: dict[str, int] = {}
        self._means: dict[str, Mean] = {}
        self._contributions: set[Contribution] = set()
        self._examples = 0
        self._integers: dict[str, Array] = {}
        self._updates = 0
        self._refused: dict[Reason, int] = {}

    @property
    def contributions(self) -> frozenset[Contribution]:
        """Who is in the sums."""
        return frozenset(self._contributions)

    def fold(self, terms: Terms) -> int:
        """Add terms, all of them or nothing.

        Args:
            terms: of one worker (float32) or of several (int64 sums on this grid); what is kept of
                them is copied.

        Returns:
            How many of their values were rounded to the grid.

        Raises:
            Refused: with the reason; nothing was added.
        """
        try:
            rounded = self._fold(terms)
        except Refused as refusal:
            self._refused[refusal.reason] = self._refused.get(refusal.reason, 0) + 1
            raise
        self._updates += 1
        return rounded

    def merged(self) -> Merged:
        """What was merged so far, for the algorithm to close the clock with."""
        return Merged(
            sums=self._sums,
            counts=self._counts,
            means=self._means,
            contributions=self._contributions,
            examples=self._examples,
            integers=self._integers,
            layout=self.layout,
        )

    def partial(self) -> Terms:
        """What was merged so far as terms for the level above; arrays are fresh.

        A single contribution goes up as the float32 vector that it came as.

        Raises:
            ValueError: nothing was merged.
        """
        if not self._contributions:
            raise ValueError("nothing was merged in this clock: there is nothing to send up")
        terms = Terms()
        for name, total in self._sums.items():
            single = total.single
            if single is not None:
                terms.sums[name] = Sum(single.copy(), total.weight)
            else:
                terms.sums[name] = PartialSum(
                    total.units(), total.weight, total.count, total.rounded
                )
                terms.grid = self.grid
        terms.counts = dict(self._counts)
        terms.means = dict(self._means)
        terms.contributions = self.contributions
        terms.examples = self._examples
        terms.integers = {name: array.copy() for name, array in self._integers.items()}
        terms.shapes = self.layout.shapes
        return terms

    def statistics(self) -> MergerStatistics:
        """A frozen record of this clock."""
        return MergerStatistics(
            self.clock,
            self._updates,
            len(self._contributions),
            self._examples,
            sum(total.rounded for total in self._sums.values()),
            dict(self._refused),
        )

    def __repr__(self) -> str:
        return (
            f"<Merger clock={self.clock} contributions={len(self._contributions)} "
            f"examples={self._examples} refused={sum(self._refused.values())}>"
        )

    def _fold(self, terms: Terms) -> int:
        self._check_contributions(terms)
        self._check_keys(terms)
        self._check_integers(terms)
        if terms.examples < 1:
            raise Refused("no-examples", terms.contributions, "it was trained on 0 examples")
        rounded = self._take(terms)
        self._names = (*terms.sums, *terms.whole)
        for name, count in terms.counts.items():
            self._counts[name] = self._counts.get(name, 0) + count
        for name, mean in terms.means.items():
            self._means[name] = self._means.get(name, Mean()) + mean
        for name, array in terms.integers.items():
            known = self._integers.get(name)
            # asarray: numpy's maximum of 0-d arrays is a scalar
            self._integers[name] = (
                array.copy() if known is None else np.asarray(np.maximum(known, array))
            )
        self._contributions |= terms.contributions
        self._examples += terms.examples
        return rounded

    def _take(self, terms: Terms) -> int:
        """Take up the vectors of terms whose keys are checked, all of them or none."""
        # Made afresh only when the terms turn out good: a refused first update fixes no names.
        sums = {name: self._sum_for(name) for name in terms.sums}
        if len(sums) > 1:  # one sum is checked while it is added; of several, all come first
            for name, term in terms.sums.items():
                self._add(terms, sums[name], name, term, only_check=True)
        rounded = sum(self._add(terms, sums[name], name, term) for name, term in terms.sums.items())
        self._sums = sums
        self._memory.update(sums)
        return rounded

    def _sum_for(self, name: str) -> ExactSum:
        if name in self._sums:
            return self._sums[name]
        total = self._memory.get(name)
        if total is None:
            return ExactSum(self.layout, self.grid)
        total.restart(self.grid)
        return total

    def _check_contributions(self, terms: Terms) -> None:
        theirs = terms.contributions
        if not theirs:
            raise Refused("keys", theirs, "it does not say whose it is")
        other = sorted(c.clock for c in theirs if c.clock != self.clock)
        if other:
            raise Refused(
                "clock", theirs, f"it is of round {other[0] + 1}, this is {self.clock + 1}"
            )
        twice = theirs & self._contributions
        if twice:
            raise Refused(
                "overlap", theirs, f"{listed_workers(twice)} is already in round {self.clock + 1}"
            )
        if len(theirs) + len(self._contributions) > MAX_CONTRIBUTORS:
            raise Refused("weight", theirs, f"a round holds {MAX_CONTRIBUTORS} contributions")

    def _check_keys(self, terms: Terms) -> None:
        theirs = terms.contributions
        if terms.shapes != self._shapes:
            difference = self.layout.difference(terms.shapes)
            if difference is not None:
                raise Refused(difference[0], theirs, difference[1])
        if terms.packed:
            raise Refused("payload", theirs, f"its terms {sorted(terms.packed)} are compressed")
        self._check_whole(terms)
        names = terms.sums.keys() | terms.whole.keys()
        if self._names is not None and set(self._names) != names:
            raise Refused(
                "keys",
                theirs,
                f"its terms are {sorted(names)}, those of this round {sorted(self._names)}",
            )
        for name, term in terms.sums.items():
            array, dtype = (term.array, _FLOAT32) if isinstance(term, Sum) else (term.units, _INT64)
            # By the name in whatever byte order; numpy takes long to say it.
            if array.dtype != dtype and array.dtype.name != dtype.name:
                raise Refused("dtype", theirs, f"term {name!r} is {array.dtype}, expected {dtype}")
            if array.shape != self._shape:
                raise Refused(
                    "shape",
                    theirs,
                    f"term {name!r} has shape {array.shape}, expected ({self.layout.size},)",
                )
            if isinstance(term, PartialSum) and terms.grid != self.grid:
                raise Refused("grid", theirs, f"term {name!r} was summed on another grid")

    def _check_whole(self, terms: Terms) -> None:
        """Refuse vectors that are forwarded whole; a sum is what is wanted."""
        if terms.whole:
            what = f"its terms {sorted(terms.whole)} are not added up"
            raise Refused("payload", terms.contributions, what)

    def _check_integers(self, terms: Terms) -> None:
        theirs = terms.contributions
        expected = {buffer.name: buffer for buffer in self.layout.integers}
        for name in sorted(expected.keys() ^ terms.integers.keys()):
            wrong = "is missing" if name in expected else "is not part of the model"
            raise Refused("keys", theirs, f"integer buffer {name!r} {wrong}")
        for name, buffer in expected.items():
            array = terms.integers[name]
            if array.dtype.name != buffer.dtype:
                raise Refused(
                    "dtype",
                    theirs,
                    f"integer buffer {name!r} is {array.dtype}, expected {buffer.dtype}",
                )
            if array.shape != buffer.shape:
                raise Refused(
                    "shape",
                    theirs,
                    f"integer buffer {name!r} has shape {array.shape}, expected {buffer.shape}",
                )

    def _add(
        self,
        terms: Terms,
        total: ExactSum,
        name: str,
        term: Sum | PartialSum,
        *,
        only_check: bool = False,
    ) -> int:
        """Add one term, or only check it; whatever is wrong becomes a refusal."""
        theirs = terms.contributions
        if term.weight == 0:
            raise Refused("no-examples", theirs, f"term {name!r} has weight 0")
        try:
            if isinstance(term, Sum):
                add = total.check if only_check else total.add
                return add(term.array, term.weight)
            add_units = total.check_units if only_check else total.add_units
            add_units(term.units, term.weight, term.count, term.rounded)
        except NonFinite as wrong:
            advice = "lower the learning rate if training diverged, else look at the data"
            raise Refused("non-finite", theirs, f"term {name!r}: {wrong}; {advice}") from None
        except Overflow as wrong:
            advice = "training diverged, lower the learning rate"
            raise Refused("overflow", theirs, f"term {name!r}: {wrong}; {advice}") from None
        except (Overweight, ValueError) as wrong:
            raise Refused("weight", theirs, f"term {name!r}: {wrong}") from None
        return term.rounded
