"""Rules that look at each coordinate of all models alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from actorfl.layout import Layout, Vector

# Elements that are sorted at a time, times the models; their copies stay in a second-level cache.
_BLOCK = 1 << 14


def trimmed_mean(models: Sequence[Vector], trim: int) -> Vector:
    """The mean of each coordinate without its ``trim`` lowest and ``trim`` highest values.

    What remains is added in float64 in the order of its size, and rounded once to float32, so no
    order of the models changes a bit of it.

    Args:
        models: one at least, finite.
        trim: values left out on each side; 2 * trim is less than the number of models.
    """
    out = np.empty_like(models[0])
    size = max(1, _BLOCK // len(models))
    for at in range(0, out.size, size):
        # 0.0 is added since -0.0 and 0.0 are sorted as they came.
        block = np.stack([model[at : at + size] for model in models]) + np.float32(0.0)
        block.sort(axis=0)
        kept = block[trim : len(models) - trim].astype(np.float64)
        total = kept[0]
        for row in kept[1:]:
            total += row
        out[at : at + size] = total / len(kept)
    return out


def median(models: Sequence[Vector]) -> Vector:
    """The median of each coordinate; of an even number of models the mean of the middle two."""
    return trimmed_mean(models, (len(models) - 1) // 2)


def with_median_statistics(models: Sequence[Vector], weights: Vector, layout: Layout) -> Vector:
    """The weights, written in place, with the median of the models' running statistics.

    What moves the weights does not look at those: a worker could send any.
    """
    for part in layout:
        if part.kind == "buffer":
            weights[part.slice] = median([model[part.slice] for model in models])
    return weights
