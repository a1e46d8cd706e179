"""Vectors in blocks, each with a scale of its own."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from actorfl.compression import Payload, PayloadError, field
from actorfl.layout import Vector

#: Elements that share a scale: one large element makes no more than so many others coarse, and
#: their scale takes 1/8 bit of each.
BLOCK: Final = 256


def blocks_of(size: int) -> int:
    """How many blocks hold so many elements."""
    return -(-size // BLOCK)


def in_blocks(vector: Vector) -> npt.NDArray[np.float64]:
    """The elements in rows of one block each, the last filled up with 0."""
    rows = np.zeros((blocks_of(vector.size), BLOCK))
    rows.reshape(-1)[: vector.size] = vector
    return rows


def scales_in(payload: Payload, size: int) -> npt.NDArray[np.float32]:
    """The scales of a payload, a column.

    Raises:
        PayloadError: there are not as many as blocks, or one is negative or not finite.
    """
    scales: npt.NDArray[np.float32] = field(payload, "scales", "float32", blocks_of(size))
    if not (np.isfinite(scales) & (scales >= 0)).all():
        raise PayloadError("one of its scales is negative or not finite")
    return scales[:, np.newaxis]


def scaled(levels: npt.NDArray[np.float32], scales: npt.NDArray[np.float32]) -> Vector:
    """Elements times the scale of their block; a fresh vector."""
    size = levels.size
    rows = np.zeros((scales.size, BLOCK), dtype=np.float32)
    rows.reshape(-1)[:size] = levels
    np.multiply(rows, scales, out=rows)
    return rows.reshape(-1)[:size]
