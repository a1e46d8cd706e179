"""Float64 values in float32 vectors, so that their sum over many nodes is exact.

What travels between nodes is float32, and sums of it are exact where every value is a multiple of
the grid. So a value is written in fixed point, as four limbs of 24 bits each:

    a = (q_0 2^12 + q_1 2^-12 + q_2 2^-36 + q_3 2^-60),   q_j whole, |q_j| <= 2^23

and each q_j goes as the float32 q_j 2^-23, in [-1, 1]. What an exact sum of such vectors holds are
whole numbers, whoever was added to whom; they become float64 again once, at the end.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from actorfl.esn.reservoir import Floats
from actorfl.layout import Vector

LIMBS: Final = 4
BITS: Final = 24
#: Exponents of the limbs' units, from the highest on. A float64 of 2^-8 or more has no bit below
#: the last of them, 2^-60, and smaller values lose what is below it.
EXPONENTS: Final = (12, -12, -36, -60)
#: Values below this one can be written.
LIMIT: Final = 2.0**35
_UNIT: Final = 2.0 ** -(BITS - 1)


class BeyondLimbs(ValueError):  # noqa: N818  (it is what happened)
    """A value is not finite, or too large to be written."""


def to_limbs(values: Floats) -> NDArray[np.float32]:
    """Write values in fixed point, rounded half to even to 2^-60.

    Args:
        values: shape ``(n,)``.

    Returns:
        Their limbs, the highest first, shape ``(4, n)``.

    Raises:
        BeyondLimbs: one is 2^35 or more, or not finite.
    """
    if values.size and not np.abs(values).max() < LIMIT:
        raise BeyondLimbs("a value is 2^35 or more, or not finite")
    rest = np.array(values, np.float64)
    limbs = np.empty((LIMBS, rest.size), np.float32)
    for place, exponent in enumerate(EXPONENTS):
        # All exact but for the last rounding: the rest is a multiple of its own last bit.
        whole = np.rint(np.ldexp(rest, -exponent))
        rest -= np.ldexp(whole, exponent)
        limbs[place] = whole * _UNIT
    return limbs


def from_limbs(limbs: NDArray[np.float32]) -> Floats:
    """Read what ``to_limbs`` wrote; the values that it was given, where they were multiples."""
    return from_sums((limbs.astype(np.float64) / _UNIT).astype(np.int64))


def from_sums(sums: NDArray[np.int64]) -> Floats:
    """Read the sums of limbs.

    Args:
        sums: of the q_j of up to 2^32 values, the highest limb first, shape ``(4, n)``.

    Returns:
        The sums of the values, to four units of the last bit, shape ``(n,)``. They follow from the
        sums alone: in whatever order these were added, the bits are the same.
    """
    digits = sums.copy()
    for place in range(LIMBS - 1, 0, -1):  # what a limb holds beyond its 24 bits goes to the next
        # Rounded: digits of both signs, so that no large one is taken off a larger one.
        carry = (digits[place] + (1 << (BITS - 1))) >> BITS
        digits[place] -= carry << BITS
        digits[place - 1] += carry
    low = np.ldexp(((digits[2] << BITS) + digits[3]).astype(np.float64), EXPONENTS[3])
    middle = np.ldexp(digits[1].astype(np.float64), EXPONENTS[1])
    return np.asarray(np.ldexp(digits[0].astype(np.float64), EXPONENTS[0]) + (middle + low))


def units_to_sums(units: NDArray[np.int64], exponent: int) -> NDArray[np.int64]:
    """The sums of q_j in what an exact sum holds: multiples of 2^exponent, which is finer."""
    return np.right_shift(units, -(BITS - 1) - exponent)


def to_pair(values: Floats) -> tuple[Vector, Vector]:
    """Write float64 as the sum of two float32, to 48 bits of each value."""
    high = values.astype(np.float32)
    return high, (values - high).astype(np.float32)


def from_pair(high: Vector, low: Vector) -> Floats:
    """Read what ``to_pair`` wrote."""
    return high.astype(np.float64) + low
