"""Tables of quantiles: a distribution as people know it from measurements."""

from __future__ import annotations

import itertools
from collections.abc import Sequence


def quantile(table: Sequence[float], share: float) -> float:
    """The value below which a share of a distribution lies.

    Args:
        table: quantiles at equal steps from 0 to 1, ascending, at least 2; linear in between.
        share: from 0 to 1.
    """
    place = share * (len(table) - 1)
    step = min(int(place), len(table) - 2)
    return table[step] + (table[step + 1] - table[step]) * (place - step)


def mean_of(table: Sequence[float]) -> float:
    """The mean of the distribution."""
    # Linear between the quantiles, so each step's mean is that of its ends.
    return sum((a + b) / 2 for a, b in itertools.pairwise(table)) / (len(table) - 1)
