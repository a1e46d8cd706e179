"""Virtual time is counted in integers, and told in seconds."""

from __future__ import annotations

import math
import sys
from typing import Final

SECOND: Final = 1_000_000_000
"""Nanoseconds of a second."""

USUAL: Final = 1e9
"""Seconds below which a delay needs no second look: it is a number, and not infinite."""


def nanoseconds(seconds: float) -> int:
    """The nearest integer number of nanoseconds; of an infinite time one that never comes.

    Raises:
        ValueError: ``seconds`` is not a number.
    """
    if math.isnan(seconds):
        raise ValueError("a time of nan seconds never comes")
    if math.isinf(seconds):
        return sys.maxsize if seconds > 0 else -sys.maxsize
    return round(seconds * SECOND)
