"""Running statistics of a model without a centre: never steps, always means.

BatchNorm's means and variances are a model's float buffers. The way that training moved them is no
gradient step: added to those of other nodes it would push a variance below 0. So they are only ever
put between values that some node had.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from actorfl.layout import Layout, Vector


def spans(layout: Layout) -> list[slice]:
    """The stretches of the running statistics."""
    return [part.slice for part in layout if part.kind == "buffer"]


def way(layout: Layout, before: Vector, after: Vector) -> Vector:
    """How far training moved the parameters; running statistics as they are after it."""
    moved = np.subtract(after, before, dtype=np.float32)
    for span in spans(layout):
        moved[span] = after[span]
    return moved


def gone(layout: Layout, weights: Vector, moved: Vector) -> Vector:
    """A model that others were merged into while training went a `way`.

    Its parameters go that way. Its running statistics become the mean of what was merged and what
    was trained, so that both what others have and what is new goes on to the next merge.
    """
    after = np.add(weights, moved, dtype=np.float32)
    for span in spans(layout):
        after[span] = (weights[span].astype(np.float64) + moved[span]) / 2
    return after


def between(
    layout: Layout, weights: npt.NDArray[np.floating], models: Iterable[Vector]
) -> npt.NDArray[np.floating]:
    """A model whose running statistics lie between those of some models; others stay.

    A merge with negative weights, or of differences, may put them outside.
    """
    stretches = spans(layout)
    if not stretches:
        return weights
    models, held = list(models), weights.copy()
    for span in stretches:
        low = np.minimum.reduce([model[span] for model in models])
        high = np.maximum.reduce([model[span] for model in models])
        held[span] = np.clip(weights[span], low, high)
    return held
