"""Models as points: how far they lie apart, and an order of them by their values alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cmp_to_key
from typing import Any

import numpy as np
import numpy.typing as npt

from actorfl.layout import Layout, Vector

Wide = npt.NDArray[np.float64]

# Elements of each model that are looked at together; a few rows of so many stay in a cache.
_WIDTH = 1 << 13


def trained(layout: Layout) -> list[slice]:
    """The stretches of the trained parts, as few as can be; what lies between are statistics."""
    spans: list[slice] = []
    for part in layout:
        if part.kind == "buffer":
            continue
        if spans and spans[-1].stop == part.offset:
            spans[-1] = slice(spans[-1].start, part.stop)
        else:
            spans.append(part.slice)
    return spans


def squared(models: Sequence[Vector | Wide], point: Vector | Wide, spans: Sequence[slice]) -> Wide:
    """The squared distance of each model from a point.

    Distances are the same in both directions, and on all processors: their squares are added in
    float64 by halves, an order that no vector unit changes.

    Args:
        models: one at least, finite.
        point: of their size.
        spans: the stretches that count.

    Returns:
        Float64 of shape ``(len(models),)``.
    """
    total = np.zeros(len(models))
    for part in pieces(spans):
        gaps = np.stack([model[part] for model in models], dtype=np.float64)
        gaps -= point[part]
        total += _squares(gaps)
    return total


def squared_between(models: Sequence[Vector], spans: Sequence[slice]) -> Wide:
    """The squared distance between each two models; see `squared`.

    Returns:
        Float64 of shape ``(len(models), len(models))``, symmetric, 0 in the diagonal.
    """
    total = np.zeros((len(models), len(models)))
    for part in pieces(spans):
        block = np.stack([model[part] for model in models], dtype=np.float64)
        for i in range(len(models) - 1):
            total[i, i + 1 :] += _squares(block[i + 1 :] - block[i])
    return total + total.T


def _squares(gaps: Wide) -> Wide:
    """The sum of the squares of each row, which is written to."""
    np.square(gaps, out=gaps)
    while (width := gaps.shape[1]) > 1:
        half = (width + 1) // 2
        gaps[:, : width - half] += gaps[:, half:]
        gaps = gaps[:, :half]
    return gaps[:, 0]


def pieces(spans: Sequence[slice]) -> list[slice]:
    """The same stretches, cut into pieces that a cache holds."""
    return [
        slice(at, min(at + _WIDTH, span.stop))
        for span in spans
        for at in range(span.start, span.stop, _WIDTH)
    ]


def by_value(spans: Sequence[slice]) -> Callable[[Vector], Any]:
    """A key that sorts models by the first value in which they differ, whoever sent them.

    Models that are equal in all of ``spans`` have equal keys.
    """

    def compare(one: Vector, other: Vector) -> int:
        for part in pieces(spans):
            unequal = np.flatnonzero(one[part] != other[part])
            if unequal.size:
                at = part.start + int(unequal[0])
                return -1 if one[at] < other[at] else 1
        return 0

    return cmp_to_key(compare)
