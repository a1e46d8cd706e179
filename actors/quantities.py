"""Which numbers can be a count, a share or a time; what a user wrote may be anything."""

from __future__ import annotations

import math
from typing import Any


def is_count(value: Any, least: int = 0) -> bool:
    """Whether it is a whole number, at least so much; True and False are none."""
    return type(value) is int and value >= least


def is_finite(value: Any) -> bool:
    """Whether it is a number, neither infinite nor nan; True and False are none."""
    if not isinstance(value, int | float) or type(value) is bool:
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that is greater than any float
        return False


def is_seconds(value: Any) -> bool:
    """Whether it is a finite time above 0."""
    return is_finite(value) and value > 0
