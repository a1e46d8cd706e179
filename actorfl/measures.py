"""Metrics of all workers: their weighted mean, and how the worst tenth of them fares."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from actorfl.mean import Mean

#: What stands behind a metric's name for its mean over the worst tenth of the workers.
WORST: Final = "_worst_decile"

#: What stands behind it for the worker that fares worst.
WORST_ONE: Final = "_worst"

#: Names of metrics of which less is better; of all others more is.
LESS_IS_BETTER: Final = frozenset({"loss", "nrmse"})


def added(of_workers: Mapping[str, Mapping[str, Mean]]) -> dict[str, Mean]:
    """Metrics of all workers together, each weighted by its number of values."""
    total: dict[str, Mean] = {}
    for metrics in of_workers.values():
        for name, mean in metrics.items():
            total[name] = total.get(name, Mean()) + mean
    return total


def lower_is_better(metric: str) -> bool:
    """Whether a metric is one of ``LESS_IS_BETTER``, or that of the worst tenth."""
    return metric.removesuffix(WORST) in LESS_IS_BETTER


def worst_deciles(of_workers: Mapping[str, Mapping[str, Mean]]) -> dict[str, float]:
    """The plain mean of each metric over the tenth of the workers that fares worst.

    A tenth is rounded up, so it is one worker at least, and each counts once. Worst is highest for
    ``loss`` and ``nrmse``, and lowest for all other metrics. Workers without a value of a metric do
    not count in it; one whose value is not finite is among the worst.

    Args:
        of_workers: metrics by worker.

    Returns:
        By ``<metric>_worst_decile``; NaN where a worker's value is not finite.
    """
    values: dict[str, list[float]] = {}
    for metrics in of_workers.values():
        for name, mean in metrics.items():
            if mean.count or mean.invalid:
                values.setdefault(name, []).append(mean.value)
    return {
        name + WORST: _worst(found, high=lower_is_better(name)) for name, found in values.items()
    }


def worst(of_workers: Mapping[str, Mapping[str, Mean]]) -> dict[str, float]:
    """Each metric of the worker that fares worst in it, see `worst_deciles`.

    Args:
        of_workers: metrics by worker.

    Returns:
        By ``<metric>_worst``; NaN where a worker's value is not finite.
    """
    found: dict[str, float] = {}
    for metrics in of_workers.values():
        for metric, mean in metrics.items():
            if mean.count or mean.invalid:
                value, name = mean.value, metric + WORST_ONE
                lower = lower_is_better(metric)
                known = found.get(name, -math.inf if lower else math.inf)
                if math.isnan(known) or not math.isfinite(value):
                    found[name] = math.nan
                else:
                    found[name] = max(known, value) if lower else min(known, value)
    return found


def _worst(values: list[float], *, high: bool) -> float:
    if any(not math.isfinite(value) for value in values):
        return math.nan
    tenth = math.ceil(len(values) / 10)
    # Sorted, so the order in which workers answered decides nothing.
    return sum(sorted(values, reverse=high)[:tenth]) / tenth
