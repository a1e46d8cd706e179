"""What algorithms share that move the model by something else than the plain mean."""

from __future__ import annotations

import numpy as np

from actorfl.layout import Layout, Vector


def delta_of(start: Vector, mean: Vector, layout: Layout) -> Vector:
    """``mean - start`` of the trained parts in float32, fresh; 0 in running statistics.

    An optimiser on the server must not move those: a variance that is pushed below 0 is none.
    """
    delta = np.subtract(mean, start, dtype=np.float32)
    for part in layout:
        if part.kind == "buffer":
            delta[part.slice] = 0.0
    return delta


def with_statistics_of(mean: Vector, weights: Vector, layout: Layout) -> Vector:
    """The weights, written in place, with the running statistics of the mean."""
    for part in layout:
        if part.kind == "buffer":
            weights[part.slice] = mean[part.slice]
    return weights
