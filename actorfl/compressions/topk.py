"""Sending the largest elements of an update, and the others once they have become large."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from actorfl.algorithm import Mine
from actorfl.compression import Compression, Payload, fed_back
from actorfl.compressions.sparse import count_of, dense, sparse
from actorfl.layout import Vector
from actorfl.ranges import check_number


@dataclass(frozen=True)
class TopK(Compression):
    """Top-k with error feedback: the k elements of largest magnitude are sent, the rest is kept.

    Stich et al., "Sparsified SGD with Memory", NeurIPS 2018, Algorithm 1; per worker and term, of
    an update u of d elements:

        v = u + e,   send C(v), its k elements of largest |v_i|,   e = v - C(v)

    with |v - C(v)|^2 <= (1 - k/d) |v|^2. What was sent and e add up to all updates. Of elements of
    one magnitude those that come first are sent. e stays at its worker, durable.

    Each element that is sent takes 8 bytes, its place and its value, where a whole update takes 4
    an element: so it saves bytes below a fraction of one half.

    Attributes:
        fraction: k/d, above 0 and at most 1; k is rounded up. 1 sends everything.

    Raises:
        WrongType: fraction is no number.
        WrongValue: fraction is out of range.
    """

    stateful: ClassVar[bool] = True

    fraction: float

    def __post_init__(self) -> None:
        check_number(self, "fraction", "above 0 and at most 1", lambda x: 0 < x <= 1)

    def encode(self, vector: Vector, state: Mine, rng: np.random.Generator) -> tuple[Payload, Mine]:
        """The largest of the vector and e; nothing is drawn."""
        return fed_back(self, vector, state, self._largest)

    def decode(self, payload: Payload, size: int) -> Vector:
        """The k elements, and 0 elsewhere."""
        return dense(payload, count_of(self.fraction, size), size)

    def _largest(self, vector: Vector) -> Payload:
        size, count = vector.size, count_of(self.fraction, vector.size)
        magnitudes = np.abs(vector)
        # The value of the k-th is the same however it is found; which of equal ones numpy's
        # partition puts before it depends on the CPU.
        least = np.partition(magnitudes, size - count)[size - count]
        chosen = magnitudes > least
        equal = np.flatnonzero(magnitudes == least)
        chosen[equal[: count - int(np.count_nonzero(chosen))]] = True
        indices = np.flatnonzero(chosen)
        return sparse(vector[indices], indices, size)
