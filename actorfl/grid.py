"""The binary grid on which the values of one clock are added.

A float32 value y of a part is rounded once, half to even, to q * 2^e with an integer q; sums of
weight * q are exact in int64. One exponent e per part suffices, since the values of one tensor lie
within a few powers of two of its largest one; what is far smaller loses its last bits, is counted
and reported.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
import numpy as np

from actorfl.errors import WrongValue
from actorfl.layout import Layout, LayoutError, Vector

MIN_EXPONENT: Final = -149  # every float32 is a multiple of 2^-149: a finer grid adds nothing
MAX_EXPONENT: Final = 104  # the largest float32 is below 2^24 units of 2^104: never an overflow

# |q| < 2^51: adding 1.5 * 2^52 units in float64 leaves q in the mantissa, rounded half to even.
UNIT_BITS: Final = 51
SUM_LIMIT: Final = (1 << 63) - 1  # int64
MAX_TOTAL: Final = 1 << 32  # examples of a whole roster; the division works in steps of 32 bits

# A part may grow sixteenfold within one clock before the clock is asked again with a wider grid.
# Each bit more here is one less below: the grid is 2^-43 of that bound with 2^20 examples, 2^-31
# with 2^32.
HEADROOM_BITS: Final = 4
# One widening: 256 times the range. After four (2^36 times the model) a worker has diverged, and
# coarser grids would spoil the round of all others: then that worker is refused instead.
WIDENING_BITS: Final = 8
MAX_WIDENINGS: Final = 4


def check_total(whose: str, examples: int) -> int:
    """Refuse more examples than an exact sum can weigh.

    Args:
        whose: for the sentence: ``"worker w3"``.
        examples: of one worker, or of all together.

    Raises:
        WrongValue: there are more than 2^32.
    """
    if examples > MAX_TOTAL:
        need = f"at most {MAX_TOTAL} (2^32) in all, which is what an exact sum can weigh"
        raise WrongValue(f"the examples of {whose}", need, examples)
    return examples


class Grid(msgspec.Struct, frozen=True, array_like=True):
    """One exponent per part and the weight that may be added in all; it travels in ``Go``.

    It is a pure function of (model, floor, roster), so a restarted aggregator makes it again.

    Attributes:
        exponents: e of each part in the order of the layout; values are multiples of 2^e.
        total: the greatest sum of weights that fits, 1 to 2^32: the examples of the roster.
        widened: how often this clock was asked again with a wider grid.

    Raises:
        ValueError: an exponent, the total or the number of widenings is out of range.
    """

    exponents: tuple[int, ...]
    total: int
    widened: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.total <= MAX_TOTAL:
            raise ValueError(
                f"a grid takes a total weight of 1 to {MAX_TOTAL} examples, not {self.total}"
            )
        if any(not MIN_EXPONENT <= e <= MAX_EXPONENT for e in self.exponents):
            raise ValueError(f"a grid's exponents lie in {MIN_EXPONENT}..{MAX_EXPONENT}")
        if not 0 <= self.widened <= MAX_WIDENINGS:
            raise ValueError(f"a grid is widened at most {MAX_WIDENINGS} times")

    @classmethod
    def of(cls, model: Vector, layout: Layout, total: int, floor: float = 1.0) -> Grid:
        """The grid of a clock.

        Args:
            model: the flat model that goes down, finite.
            layout: its layout.
            total: sum of the weights (examples) of the whole roster; at least one per worker, so
                that terms of weight 1 fit too.
            floor: the magnitude every part may reach whatever its values are now (a bias begins at
                zero); > 0. Values up to 16 * max(|part|, floor) fit.

        Raises:
            ValueError: the total or the floor is out of range, or the model is not finite.
            LayoutError: the model does not fit the layout.
        """
        return cls.around(tops_of(model, layout), total, floor)

    @classmethod
    def around(cls, tops: Iterable[float], total: int, floor: float = 1.0) -> Grid:
        """The grid of a clock, from the largest magnitude in each part.

        Args:
            tops: of the model that goes down, in the order of the layout, see ``tops_of``.
            total: as for ``of``.
            floor: as for ``of``.

        Raises:
            ValueError: the total or the floor is out of range.
        """
        if not (0.0 < floor < float("inf")):
            raise ValueError(f"the floor of a grid is a positive number, not {floor}")
        if not 1 <= total <= MAX_TOTAL:
            raise ValueError(
                f"a grid takes a total weight of 1 to {MAX_TOTAL} examples, not {total}"
            )
        bits = unit_limit(total).bit_length() - 1  # 2^bits <= the largest |q|
        exponents: list[int] = []
        for top in tops:
            # frexp: bound < 2^power, so q stays below 2^bits
            power = int(np.frexp(max(top, floor))[1]) + HEADROOM_BITS
            exponents.append(min(max(power - bits, MIN_EXPONENT), MAX_EXPONENT))
        return cls(tuple(exponents), total)

    def wider(self) -> Grid | None:
        """The grid with 256 times the range, or None when it was widened four times already.

        All parts are widened together, so that the final grid of a clock depends on its updates and
        not on the order in which they overflowed.
        """
        if self.widened == MAX_WIDENINGS:
            return None
        return Grid(
            tuple(min(e + WIDENING_BITS, MAX_EXPONENT) for e in self.exponents),
            self.total,
            self.widened + 1,
        )

    @property
    def units(self) -> int:
        """The largest |q| of one value: total * units < 2^63."""
        return unit_limit(self.total)

    def limit(self, index: int) -> np.float32:
        """The largest float32 magnitude that fits part number ``index``."""
        bound = np.ldexp(float(self.units), self.exponents[index])  # exact: |q| has 51 bits
        largest = np.finfo(np.float32).max
        if bound >= largest:
            return np.float32(largest)
        nearest = np.float32(bound)
        return nearest if float(nearest) <= bound else np.nextafter(nearest, np.float32(0))

    def check(self, layout: Layout) -> None:
        """Refuse a layout with another number of parts.

        Raises:
            LayoutError: the numbers differ.
        """
        if len(self.exponents) != len(layout):
            raise LayoutError(
                f"a grid of {len(self.exponents)} exponents does not fit {len(layout)} parts"
            )

    def __repr__(self) -> str:
        if not self.exponents:
            return f"<Grid empty total={self.total}>"
        low, high = min(self.exponents), max(self.exponents)
        wide = f" widened={self.widened}" if self.widened else ""
        return f"<Grid parts={len(self.exponents)} e={low}..{high} total={self.total}{wide}>"


def tops_of(model: Vector, layout: Layout) -> tuple[float, ...]:
    """The largest magnitude in each part of a model; 0 in empty ones.

    Raises:
        ValueError: the model is not finite.
        LayoutError: it does not fit the layout.
    """
    layout.check(model)
    tops: list[float] = []
    for part in layout:
        values = model[part.slice]
        top = max(float(values.max()), -float(values.min())) if part.size else 0.0
        if not np.isfinite(top):
            raise ValueError(f"part {part.name!r} of the model is not finite: no grid fits it")
        tops.append(top)
    return tuple(tops)


def unit_limit(total: int) -> int:
    """The largest |q| such that ``total`` weights of it stay below 2^63 and 2^51."""
    return min((1 << UNIT_BITS) - 1, SUM_LIMIT // total)
