"""A few elements of a vector and where they are; all others are 0."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from actorfl.compression import Payload, PayloadError, check_fields, field
from actorfl.errors import Misfit
from actorfl.layout import Vector
from actorfl.terms import Array

#: Elements that an index of 32 bits can name.
MOST: Final = 1 << 32


def count_of(fraction: float, size: int) -> int:
    """How many elements are sent: the fraction of all, rounded up, so at least one."""
    return max(1, math.ceil(round(fraction * size, 6)))


def sparse(values: Vector, indices: Array, size: int) -> Payload:
    """The payload of some elements: 8 bytes each.

    Args:
        values: of these elements.
        indices: of these elements, ascending.
        size: elements of the vector.

    Raises:
        Misfit: there are more elements than 32 bits count.
    """
    if size > MOST:
        raise Misfit(f"a sparse update names its elements in 32 bits, and the model has {size}")
    return {
        "indices": indices.astype(np.uint32),
        "values": np.ascontiguousarray(values, dtype=np.float32),
    }


def dense(payload: Payload, count: int, size: int) -> Vector:
    """The whole vector of a payload.

    Raises:
        PayloadError: there are not `count` finite values at ascending places within the vector.
    """
    check_fields(payload, "indices", "values")
    indices = field(payload, "indices", "uint32", count)
    values = field(payload, "values", "float32", count)
    if not (indices[1:] > indices[:-1]).all():
        raise PayloadError("its indices do not ascend, or one stands twice")
    if int(indices[-1]) >= size:
        raise PayloadError(f"its index {indices[-1]} is beyond the {size} elements of the model")
    if not np.isfinite(values).all():
        raise PayloadError("its values are not finite")
    vector = np.zeros(size, dtype=np.float32)
    vector[indices] = values
    return vector
