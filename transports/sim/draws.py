"""Numbers drawn in bulk from one seed: the same on every machine and under every Python."""

from __future__ import annotations

import random
from typing import TypeVar

T = TypeVar("T")


class Draws:
    """A stream of numbers that only ``random.Random.getrandbits`` decides.

    ``shuffle`` and ``uniform`` of the standard library may change from one version of Python to
    the next; the generator behind ``getrandbits`` may not.

    Args:
        seed: of the stream.
    """

    __slots__ = ("bits",)

    def __init__(self, seed: int) -> None:
        #: So many random bits, as an integer.
        self.bits = random.Random(seed).getrandbits

    def below(self, bound: int) -> int:
        """An integer in ``[0, bound)``, uniform up to one part in 2**32; ``bound`` >= 1."""
        return self.bits(32 + bound.bit_length()) % bound

    def shuffle(self, items: list[T]) -> None:
        """Put the items into a uniformly drawn order (Fisher and Yates)."""
        for last in range(len(items) - 1, 0, -1):
            other = self.below(last + 1)
            items[last], items[other] = items[other], items[last]
