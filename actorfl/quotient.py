"""The correctly rounded float32 of an integer sum divided by an integer weight.

Two roundings in a row, to float64 and then to float32, miss the nearest float32 now and then; the
same model must come out wherever and however its sum was made, so the quotient is rounded once.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from actorfl.layout import Vector

Units = npt.NDArray[np.int64]

# A quotient of 26 bits carries a float32's 24, the next one, and whether anything follows.
_ENOUGH = 1 << 26
# When more than one in 64 quotients has fewer, all sums of the block are shifted first, into the
# bits that int64 has left: one by one they take 20 times as long.
_CROWD = 64


class Quotient:
    """A division of up to ``size`` sums at a time, with its scratch of 29 bytes per element."""

    def __init__(self, size: int) -> None:
        self._quotients = np.empty(size, dtype=np.int64)
        self._rest = np.empty(size, dtype=np.int64)
        self._shifted = np.empty(size, dtype=np.int64)
        self._shifting = False  # whether the last sums had too few bits where they were
        self._magnitudes = np.empty(size, dtype=np.float32)
        self._flags = np.empty(size, dtype=np.bool_)

    def write(self, sums: Units, divisor: int, exponent: int, out: Vector) -> None:
        """Write sums * 2^exponent / divisor, rounded half to even, to ``out``.

        The quotient is rounded to odd (to the odd one of its two whole neighbours, unless it is
        whole itself): from 26 bits on, rounding that to 24 bits is rounding the quotient (Boldo and
        Melquiond, "Emulation of FMA and correctly rounded sums", 2008). Converting int64 to float32
        rounds once, half to even; scaling by 2^exponent is exact above the subnormals.

        Args:
            sums: int64, |sum| < 2^63; at most ``size``.
            divisor: 1 to 2^32.
            exponent: -149 to 104.
            out: float32 of the same size, contiguous.
        """
        if sums.size == 0:
            return
        if not self._shifting:
            few = self._divide(sums, divisor, exponent, out)
            self._shifting = few.size > sums.size // _CROWD
        if self._shifting:
            few = self._divide_shifted(sums, divisor, exponent, out)
        if few.size:
            out[few] = _rounded_few(sums[few], divisor, exponent)

    def _divide_shifted(
        self, sums: Units, divisor: int, exponent: int, out: Vector
    ) -> npt.NDArray[np.intp]:
        """The same of sums that are moved up into the bits that int64 has left."""
        top = max(int(sums.max()), -int(sums.min()))
        # 2^-149 is the smallest float32 that the quotients could be scaled by
        shift = max(0, min(63 - top.bit_length(), exponent + 149))
        self._shifting = shift > 0
        shifted = np.left_shift(sums, shift, out=self._shifted[: sums.size])
        return self._divide(shifted, divisor, exponent - shift, out)

    def _divide(
        self, sums: Units, divisor: int, exponent: int, out: Vector
    ) -> npt.NDArray[np.intp]:
        """Write the quotients that have enough bits, and zeros; the indices of all others."""
        size = sums.size
        quotients = sums
        if divisor != 1:
            quotients = np.floor_divide(sums, divisor, out=self._quotients[:size])
            rest = np.multiply(quotients, divisor, out=self._rest[:size])
            np.subtract(rest, sums, out=rest)
            # minus the remainder: its sign bit says that the quotient is not whole
            np.right_shift(rest.view(np.uint64), 63, out=rest.view(np.uint64))
            np.bitwise_or(quotients, rest, out=quotients)
        np.copyto(out, quotients, casting="unsafe")
        magnitudes = np.abs(out, out=self._magnitudes[:size])
        enough = np.float32(max(_ENOUGH, 2.0 ** (-125 - exponent)))
        np.multiply(out, np.float32(2.0**exponent), out=out)
        few = np.flatnonzero(np.less(magnitudes, enough, out=self._flags[:size]))
        return few[sums[few] != 0] if few.size else few


def _rounded_few(sums: Units, divisor: int, exponent: int) -> Vector:
    """The same for sums whose quotient has too few bits, or is subnormal as a float32.

    Each sum is shifted to 62 or 63 bits before the division, and the divisor to 2^10 or more, so
    that the quotient has 29 to 53 bits: float64 holds it exactly, also scaled by the powers of two
    that occur here, and the conversion to float32 rounds once, subnormals included.
    """
    magnitudes = np.abs(sums).astype(np.uint64)
    # one too large where the conversion to float64 rounds up to a power of two: 62 bits are enough
    bits = np.frexp(magnitudes.astype(np.float64))[1].astype(np.int64)
    shift = 63 - bits
    raised = max(0, 11 - divisor.bit_length())
    large = np.uint64(divisor << raised)
    dividends = np.left_shift(magnitudes, shift.astype(np.uint64))
    quotients = dividends // large
    quotients |= (quotients * large != dividends).astype(np.uint64)
    values = np.ldexp(quotients.astype(np.float64), exponent + raised - shift)
    return np.copysign(values, sums).astype(np.float32)
