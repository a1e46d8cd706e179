"""Means that add up exactly: a sum and a count, both integers.

Metrics travel up a tree like weights do, so their totals must not depend on who was added to whom
first. A value is rounded once, half to even, to a multiple of 2^-48; from there on everything is
integer addition, which is associative and commutative.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

GRID_BITS = 48  # 2^-48 = 3.6e-15: finer than a float32 loss needs, coarse enough for totals of 2^77
_LIMB_BITS = 62  # MessagePack carries integers of 64 bits; a total is split in two of them
_LIMB = 1 << _LIMB_BITS
_SCALE = float(1 << GRID_BITS)

# A value above 2^40 (1e12) is no accuracy and no loss anybody averages; the bound keeps a total of
# 2^36 of them inside the two limbs.
MAX_VALUE = float(1 << 40)
MAX_COUNT = 1 << 62


class Mean(msgspec.Struct, frozen=True, array_like=True):
    """An exact sum and the number of values in it; ``a + b`` adds both.

    Make one with ``Mean.of``. The empty ``Mean()`` is the neutral element, so that
    ``sum(means, Mean())`` works. Values that are not finite are counted, not hidden: they make
    ``value`` NaN.

    Attributes:
        high: upper limb of the total in units of 2^-48: total = high * 2^62 + low.
        low: lower limb, 0 <= low < 2^62.
        count: how many finite values (times their weight) are in the total.
        invalid: how many values (times their weight) were NaN, infinite or beyond 2^40.
    """

    high: int = 0
    low: int = 0
    count: int = 0
    invalid: int = 0

    def __post_init__(self) -> None:
        for each in (self.high, self.low, self.count, self.invalid):
            if type(each) is not int:
                raise TypeError(f"a mean is made of whole numbers, not of {each!r}; use Mean.of")
        if not (0 <= self.low < _LIMB and -_LIMB <= self.high < _LIMB):
            raise ValueError("the two halves of a mean's total are out of range")
        if not (0 <= self.count <= MAX_COUNT and 0 <= self.invalid <= MAX_COUNT):
            raise ValueError(f"a mean counts 0 to {MAX_COUNT} values, not {self.count}")

    @classmethod
    def of(cls, values: Any, weight: int = 1) -> Mean:
        """The mean of some values.

        Args:
            values: a number or bool, or an array of them in any shape: numpy array, sequence, or
                torch tensor of any device and dtype (bool, integer, floating).
            weight: how often each value counts, >= 0; ``Mean.of(batch_loss, len(batch))`` is a
                batch's mean loss counted once per example.

        Raises:
            ValueError: the weight is negative.
            TypeError: the values are no real numbers, or the weight is no whole number.
        """
        try:
            weight = operator.index(weight)
        except TypeError:
            raise TypeError(f"a weight is a whole number, not {weight!r}") from None
        if weight < 0:
            raise ValueError(f"a weight is >= 0, not {weight}")
        array = _array(values)
        if array.dtype.kind == "b":
            total, invalid = int(np.count_nonzero(array)) << GRID_BITS, 0
        elif array.dtype.kind in "iu":
            good = array[(array <= MAX_VALUE) & (array >= -MAX_VALUE)]
            total, invalid = _integer_sum(good) << GRID_BITS, array.size - good.size
        else:
            # NaN compares false, so one comparison finds all that cannot be added
            wide = array.astype(np.float64, copy=False)
            good = wide[np.abs(wide) <= MAX_VALUE]
            # scaling by a power of two is exact, rint rounds half to even
            total, invalid = _float_sum(np.rint(good * _SCALE)), wide.size - good.size
        return cls.exact(total * weight, (array.size - invalid) * weight, invalid * weight)

    @classmethod
    def exact(cls, total: int, count: int, invalid: int = 0) -> Mean:
        """The mean with that total, given in units of 2^-48."""
        high, low = divmod(total, _LIMB)
        return cls(high, low, count, invalid)

    @property
    def total(self) -> int:
        """The exact sum in units of 2^-48."""
        return self.high * _LIMB + self.low

    @property
    def value(self) -> float:
        """The mean, correctly rounded to float64; NaN without values or with an invalid one."""
        if self.count == 0 or self.invalid:
            return math.nan
        return self.total / (self.count << GRID_BITS)  # int / int is correctly rounded in Python

    @property
    def sum(self) -> float:
        """The sum, correctly rounded to float64; NaN with an invalid value in it."""
        return math.nan if self.invalid else self.total / (1 << GRID_BITS)

    def __add__(self, other: Mean) -> Mean:
        if not isinstance(other, Mean):
            return NotImplemented
        return Mean.exact(
            self.total + other.total, self.count + other.count, self.invalid + other.invalid
        )

    def __float__(self) -> float:
        return self.value

    def __repr__(self) -> str:
        bad = f" invalid={self.invalid}" if self.invalid else ""
        return f"<Mean {self.value:.6g} of {self.count}{bad}>"


def _array(values: Any) -> npt.NDArray[Any]:
    """Values as a flat numpy array; a tensor is known by its methods, torch is not imported."""
    if hasattr(values, "detach"):
        values = values.detach()
        if hasattr(values, "is_floating_point") and values.is_floating_point():
            values = values.double()  # numpy has no bfloat16
        if hasattr(values, "cpu"):
            values = values.cpu()
        values = values.numpy()
    array = np.asarray(values)
    if array.size == 0:
        return np.zeros(0, dtype=np.float64)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"a mean is made of real numbers, not of {array.dtype}")
    return array.reshape(-1)


def _integer_sum(array: npt.NDArray[Any]) -> int:
    # |each| <= 2^40, so 2^22 of them stay below 2^62
    return sum(
        int(array[at : at + (1 << 22)].sum(dtype=np.int64)) for at in range(0, array.size, 1 << 22)
    )


def _float_sum(units: npt.NDArray[np.float64]) -> int:
    """Exact sum of float64 that are whole numbers up to 2^88."""
    low_bits = float(1 << 36)
    total = 0
    for at in range(0, units.size, 1 << 10):
        block = units[at : at + (1 << 10)]
        # both halves are exact in float64 and stay below 2^52, so 2^10 of them fit into int64
        high = np.floor(block / low_bits)
        low = block - high * low_bits
        total += (int(high.astype(np.int64).sum()) << 36) + int(low.astype(np.int64).sum())
    return total
