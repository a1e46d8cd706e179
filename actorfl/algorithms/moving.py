"""What algorithms share that move the model by something else than the plain mean."""

from __future__ import annotations

import numpy as np

from actorfl.layout import Layout, Vector


def delta_of(start: Vector, mean: Vector, layout: Layout) -> Vector:
    """``mean - start`` of the trained parts in float32, fresh; 0 in running statistics.

    An optimiser on the server must not move those: a variance that is pushed below 0 is none.
    """
    return without_statistics(np.subtract(mean, start, dtype=np.float32), layout)


def without_statistics(vector: Vector, layout: Layout) -> Vector:
    """The vector, written in place, with 0 in running statistics."""
    for part in layout:
        if part.kind == "buffer":
            vector[part.slice] = 0.0
    return vector


def with_statistics_of(mean: Vector, weights: Vector, layout: Layout) -> Vector:
    """The weights, written in place, with the running statistics of the mean."""
    for part in layout:
        if part.kind == "buffer":
            weights[part.slice] = mean[part.slice]
    return weights
