"""Sums and means of float32 vectors that depend on no order, grouping or tree.

Values are rounded once to the grid of the clock and added as int64 multiples of 2^e; the mean is
their quotient, correctly rounded (half to even) to float32 by integer arithmetic. This keeps pace
with a plain running sum because adding the constant 1.5 * 2^(52+e) in float64 rounds y to a
multiple q * 2^e and leaves q in the low bits of the result: read as int64, these are the constant's
bits plus q. They are multiplied by the weight and added with wrap-around; the constant's share is
taken off at the end, all modulo 2^64.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from actorfl.errors import ActorflError
from actorfl.grid import Grid
from actorfl.layout import Layout, LayoutError, Vector
from actorfl.quotient import Quotient, Units

# Elements: what one addition touches, 1 MiB, stays in a second-level cache. Much less is slower by
# the cost of numpy's calls (0.5 us each), more by cache misses.
BLOCK = 1 << 15

# A block with more than a sixteenth of its values near zero (a sparse model) is worked through at
# once: from there on picking values out of it is slower.
_FEW = 16

# Small parts that follow each other are worked through together, with a constant for each element
# (16 bytes): at this size numpy's calls cost as much as what they compute.
_TOGETHER = 1 << 12

_WORD = 1 << 64


class Unfoldable(ActorflError):  # noqa: N818  (the sentence is the name, as in the field's APIs)
    """A vector that cannot be added; the sum is as it was before."""


class NonFinite(Unfoldable):
    """A vector holds NaN or an infinity."""


class Overflow(Unfoldable):
    """A value is too large for the grid: ask for this clock again with a wider one."""


class Overweight(Unfoldable):
    """The weights exceed what the roster announced; a wider grid does not help."""


class _Segment(NamedTuple):
    """A block of one part and the constants of its grid."""

    start: int
    stop: int
    part: int
    exponent: int
    limit: np.float32  # largest magnitude that may be added
    exact: np.float32  # 2^(e+23): every float32 from this magnitude on lies on the grid
    magic: np.float64  # 1.5 * 2^(52+e)
    bits: int  # of magic


class _Stretch(NamedTuple):
    """A segment, or several small ones, that are worked through at once.

    The constants are those of the segments: arrays without dimensions (which numpy takes up faster
    than scalars), or with an element for each of the vector's.
    """

    start: int
    stop: int
    segments: tuple[_Segment, ...]
    limit: Vector
    exact: Vector
    magic: npt.NDArray[np.float64]


class ExactSum:
    """An exact running sum of weighted float32 vectors, in 8 bytes per element.

    A sum of one contribution keeps that vector untouched, in the memory of the accumulator, until a
    second one comes. Not for use by two threads at once.

    Args:
        layout: of the vectors.
        grid: of the clock; all sums that are to be merged share it.

    Attributes:
        weight: sum of the weights added so far.
        count: number of vectors added so far.
        rounded: number of values that were not on the grid and were rounded to it.

    Raises:
        LayoutError: the grid is one of another layout.
    """

    def __init__(self, layout: Layout, grid: Grid) -> None:
        self.layout = layout
        self._units: Units = np.empty(layout.size, dtype=np.int64)
        size = min(BLOCK, layout.size)
        self._wide = np.empty(size, dtype=np.float64)
        self._bits = self._wide.view(np.int64)
        self._narrow = np.empty(size, dtype=np.float32)
        self._flags = np.empty(size, dtype=np.bool_)
        # (magic, values) still to be counted
        self._small: list[tuple[npt.NDArray[np.float64], Vector]] = []
        self._lay_out(grid)
        self._begin()

    def restart(self, grid: Grid) -> None:
        """Forget everything and begin on another grid, in the same memory.

        A fresh 200 MB accumulator per clock would cost more in page faults than the sum itself.

        Raises:
            LayoutError: the grid is one of another layout.
        """
        if grid != self.grid:
            self._lay_out(grid)
        self._begin()

    def _begin(self) -> None:
        self.weight = 0
        self.count = 0
        self.rounded = 0
        self._single = False  # one contribution, kept as float32 in the first half of _units
        self._magic_weight = 0  # how many times the magic bits are in _units

    def _lay_out(self, grid: Grid) -> None:
        grid.check(self.layout)
        self.grid = grid
        self._segments = tuple(_segments(self.layout, grid))
        self._stretches = tuple(_stretches(self._segments))

    def add(self, vector: Vector, weight: int = 1) -> int:
        """Add ``weight * vector``, or nothing at all when it is refused.

        Args:
            vector: float32 of the layout's size; it is copied, never kept.
            weight: a whole number >= 1, such as the number of examples behind the vector.

        Returns:
            How many values were not on the grid and were rounded to it.

        Raises:
            NonFinite: a value is NaN or infinite.
            Overflow: a value is beyond the grid.
            Overweight: the weights exceed the grid's total.
            LayoutError: dtype or shape are not the layout's.
            ValueError: the weight is not a whole number >= 1.
        """
        self._check_weight(weight)
        weight = int(weight)
        if self.count == 0:
            rounded = self.check(vector, weight)
            np.copyto(self._stored, vector)
            self._single = True
        elif self._single:  # the first is kept as it is until the second is known to be good
            rounded = self.check(vector, weight)
            self._unfold_single()
            for stretch in self._stretches:
                self._fold(stretch, vector[stretch.start : stretch.stop], weight)
            self._magic_weight += weight
        else:
            rounded = self._check_and_fold(vector, weight)
        self.weight += weight
        self.count += 1
        self.rounded += rounded
        return rounded

    def check(self, vector: Vector, weight: int = 1) -> int:
        """What ``add`` would return or raise, without adding."""
        self.layout.check(vector)
        self._check_weight(weight)
        self._small.clear()
        rounded = 0
        for stretch in self._stretches:
            rounded += self._inspect(stretch, vector[stretch.start : stretch.stop])
        return rounded + self._count_small()

    def add_units(self, units: Units, weight: int, count: int, rounded: int = 0) -> None:
        """Add a sum that was made elsewhere on the same grid.

        Args:
            units: int64 of the layout's size, multiples of 2^e.
            weight: sum of the weights in it.
            count: number of vectors in it.
            rounded: how many of its values were rounded.

        Raises:
            Overweight: the weights exceed the grid's total, or a sum is larger than such weights
                can make it.
            LayoutError: dtype or shape are not the layout's.
            ValueError: weight or count are not whole numbers >= 1, or rounded is negative.
        """
        self.check_units(units, weight, count, rounded)
        self._unfold_single()
        if self.count:
            np.add(self._units, units, out=self._units)
        else:
            np.copyto(self._units, units)
        self.weight += weight
        self.count += count
        self.rounded += rounded

    def check_units(self, units: Units, weight: int, count: int, rounded: int = 0) -> None:
        """What ``add_units`` would raise, without adding."""
        if units.dtype != np.int64 or units.shape != (self.layout.size,):
            raise LayoutError(
                f"expected an int64 vector of shape ({self.layout.size},), got {units.dtype} of "
                f"shape {units.shape}"
            )
        self._check_weight(weight)
        if not 1 <= count <= weight or rounded < 0:
            raise ValueError(f"{count} vectors with {rounded} rounded values make no sum")
        # The whole stays below 2^63 only if each sum keeps to the share of its weight.
        share = weight * self.grid.units
        if units.size and not (int(units.max()) <= share and int(units.min()) >= -share):
            raise Overweight(f"it is larger than a sum of weight {weight} on this grid can be")

    def __iadd__(self, other: ExactSum) -> Self:
        """Merge a sum over the same grid; ``other`` stays as it is.

        Raises:
            Overweight: the weights exceed the grid's total.
            ValueError: layout or grid differ.
        """
        if other.grid != self.grid or other.layout != self.layout:
            raise ValueError("sums over different grids cannot be merged: make both on one grid")
        single = other.single
        if single is not None:
            self.add(single, other.weight)
        elif other.count:
            self.add_units(other.units(), other.weight, other.count, other.rounded)
        return self

    @property
    def single(self) -> Vector | None:
        """The only contribution, untouched (a view: copy it to keep it), or None."""
        return self._stored if self._single else None

    def units(self) -> Units:
        """The sum as a fresh int64 vector of multiples of 2^e per part; what travels up a tree.

        Raises:
            ValueError: nothing was added.
        """
        self._check_some()
        out = np.empty(self.layout.size, dtype=np.int64)
        with np.errstate(all="ignore"):
            for segment, sums in self._sums():
                out[segment.start : segment.stop] = sums
        return out

    def sum(self) -> Vector:
        """The sum of weight * vector, correctly rounded to float32; a fresh vector.

        Raises:
            ValueError: nothing was added.
        """
        self._check_some()
        return self._divided(1)

    def mean(self, total: int | None = None) -> Vector:
        """The sum divided by a total weight, correctly rounded to float32; a fresh vector.

        Args:
            total: the divisor, 1 to 2^32; by default the weights added. A single contribution
                divided by its own weight comes back with the same bits.

        Raises:
            ValueError: nothing was added, or the total is out of range.
        """
        self._check_some()
        divisor = self.weight if total is None else total
        if not 1 <= divisor <= 1 << 32:
            raise ValueError(f"a mean is divided by 1 to 2^32, not by {divisor}")
        return self._divided(divisor)

    def __array__(
        self, dtype: npt.DTypeLike | None = None, copy: bool | None = None
    ) -> npt.NDArray[np.generic]:
        """The sum as an array, so that ``np.sign(terms["vote"])`` reads as it is meant."""
        if copy is False:
            raise ValueError("an exact sum is rounded into a new array: it cannot be viewed")
        return self.sum() if dtype is None else self.sum().astype(dtype, copy=False)

    def __repr__(self) -> str:
        return (
            f"<ExactSum size={self.layout.size} count={self.count} "
            f"weight={self.weight}/{self.grid.total} rounded={self.rounded}>"
        )

    @property
    def _stored(self) -> Vector:
        return self._units.view(np.float32)[: self.layout.size]

    def _check_some(self) -> None:
        if self.count == 0:
            raise ValueError("nothing was added to this sum: it has no value and no mean")

    def _check_weight(self, weight: int) -> None:
        if isinstance(weight, bool) or not isinstance(weight, (int, np.integer)) or weight < 1:
            raise ValueError(f"a weight is a whole number >= 1, not {weight!r}")
        if self.weight + weight > self.grid.total:
            raise Overweight(
                f"weights of {self.weight} + {weight} exceed the total of {self.grid.total} that "
                "the roster announced"
            )

    def _inspect(self, stretch: _Stretch, block: Vector) -> int:
        """Check a block; how many of its values are not on the grid, unless they are put aside."""
        size = block.size
        magnitudes = np.abs(block, out=self._narrow[:size])
        flags = self._flags[:size]
        # A count is taken faster than a maximum; NaN compares false.
        if np.count_nonzero(np.less_equal(magnitudes, stretch.limit, out=flags)) != size:
            raise self._refusal(stretch, block)
        small = np.less(magnitudes, stretch.exact, out=flags)
        count = int(np.count_nonzero(small))
        if count == 0:
            return 0
        if stretch.magic.ndim == 0 and count < size // _FEW:
            # Put aside, to look at those of all blocks at once: a call of numpy's costs 0.5 us.
            self._small.append((stretch.magic, block[small]))
            return 0
        bits = self._round_to_grid(stretch.magic, block)
        rounded = np.subtract(bits.view(np.float64), stretch.magic, out=self._wide[:size])
        return int(np.count_nonzero(np.not_equal(rounded, block, out=flags)))

    def _count_small(self) -> int:
        """How many of the values that were put aside are not on the grid."""
        if not self._small:
            return 0
        if len(self._small) == 1:
            magics, values = self._small[0]
        else:
            values = np.concatenate([values for _, values in self._small])
            sizes = [values.size for _, values in self._small]
            magics = np.repeat([magic for magic, _ in self._small], sizes)
        self._small.clear()
        rounded = np.add(values, magics, dtype=np.float64)
        np.subtract(rounded, magics, out=rounded)
        return int(np.count_nonzero(rounded != values))

    def _refusal(self, stretch: _Stretch, block: Vector) -> Unfoldable:
        """What is wrong with the first part that does not fit."""
        for segment in stretch.segments:
            values = block[segment.start - stretch.start : segment.stop - stretch.start]
            part = self.layout.parts[segment.part]
            bad = np.flatnonzero(~np.isfinite(values))
            if bad.size:
                at = segment.start - part.offset + int(bad[0])
                return NonFinite(f"part {part.name!r} holds {values[bad[0]]} at element {at}")
            top = np.abs(values).max()
            if top > segment.limit:
                break
        return Overflow(
            f"part {part.name!r} holds {float(top):.3g}, more than the {float(segment.limit):.3g} "
            "that fit"
        )

    def _round_to_grid(self, magic: np.float64 | npt.NDArray[np.float64], block: Vector) -> Units:
        """Scratch with the bits of magic + q for each value of the block."""
        wide = self._wide[: block.size]
        np.copyto(wide, block)  # adding with a cast in one call takes 1.25 times as long
        np.add(wide, magic, out=wide)
        return self._bits[: block.size]

    def _fold(self, stretch: _Stretch, block: Vector, weight: int) -> None:
        bits = self._round_to_grid(stretch.magic, block)
        if weight != 1:
            np.multiply(bits, weight, out=bits)
        target = self._units[stretch.start : stretch.stop]
        np.add(target, bits, out=target)

    def _check_and_fold(self, vector: Vector, weight: int) -> int:
        """One pass over memory; integer sums form a group, so a late refusal is undone exactly."""
        self.layout.check(vector)
        self._small.clear()
        rounded = 0
        for index, stretch in enumerate(self._stretches):
            block = vector[stretch.start : stretch.stop]
            try:
                rounded += self._inspect(stretch, block)
            except Unfoldable:
                for done in self._stretches[:index]:
                    self._fold(done, vector[done.start : done.stop], -weight)
                raise
            self._fold(stretch, block, weight)
        rounded += self._count_small()
        self._magic_weight += weight
        return rounded

    def _unfold_single(self) -> None:
        """Turn a stored single vector into int64, in its own memory, from the end to the start.

        Element i is read at byte 4i and written at byte 8i, so going backwards nothing is written
        over that is still to be read; within a block, scratch lies between.
        """
        if not self._single:
            return
        stored = self._stored
        with np.errstate(all="ignore"):
            for segment in reversed(self._segments):
                block = stored[segment.start : segment.stop]
                bits = self._round_to_grid(segment.magic, block)
                np.multiply(bits, self.weight, out=self._units[segment.start : segment.stop])
        self._magic_weight = self.weight
        self._single = False

    def _sums(self) -> Iterator[tuple[_Segment, Units]]:
        """Each segment with its sums in scratch (overwritten by the next)."""
        for segment in self._segments:
            size = segment.stop - segment.start
            if self._single:
                sums = self._round_to_grid(
                    segment.magic, self._stored[segment.start : segment.stop]
                )
                np.subtract(sums, segment.bits, out=sums)
                np.multiply(sums, self.weight, out=sums)
            else:
                sums = self._bits[:size]
                share = _signed(segment.bits * self._magic_weight)
                np.subtract(self._units[segment.start : segment.stop], share, out=sums)
            yield segment, sums

    def _divided(self, divisor: int) -> Vector:
        if self._single and divisor == self.weight:
            return self._stored.copy()
        out = np.empty(self.layout.size, dtype=np.float32)
        quotient = Quotient(min(BLOCK, self.layout.size))
        with np.errstate(all="ignore"):
            for segment, sums in self._sums():
                quotient.write(sums, divisor, segment.exponent, out[segment.start : segment.stop])
        return out


def _segments(layout: Layout, grid: Grid) -> Iterator[_Segment]:
    for index, part in enumerate(layout.parts):
        exponent = grid.exponents[index]
        magic = np.float64(1.5 * 2.0 ** (52 + exponent))
        bits = int(magic.view(np.int64))
        exact = np.float32(2.0 ** (exponent + 23))
        limit = grid.limit(index)
        for start in range(part.offset, part.stop, BLOCK):
            stop = min(start + BLOCK, part.stop)
            yield _Segment(start, stop, index, exponent, limit, exact, magic, bits)


def _stretches(segments: Iterable[_Segment]) -> Iterator[_Stretch]:
    together: list[_Segment] = []
    for segment in segments:
        if together and segment.stop - together[0].start > _TOGETHER:
            yield _stretch(together)
            together = []
        together.append(segment)
    if together:
        yield _stretch(together)


def _stretch(segments: Sequence[_Segment]) -> _Stretch:
    start, stop = segments[0].start, segments[-1].stop
    limit, exact, magic = (
        np.array([getattr(segment, name) for segment in segments])
        for name in ("limit", "exact", "magic")
    )
    if len(segments) > 1:
        sizes = [segment.stop - segment.start for segment in segments]
        limit, exact, magic = (np.repeat(each, sizes) for each in (limit, exact, magic))
    else:
        limit, exact, magic = (each.reshape(()) for each in (limit, exact, magic))
    return _Stretch(start, stop, tuple(segments), limit, exact, magic)


def _signed(value: int) -> int:
    """The int64 with the same low 64 bits."""
    value %= _WORD
    return value - _WORD if value >= _WORD >> 1 else value
