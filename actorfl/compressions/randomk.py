"""Sending some elements of an update, drawn by chance and scaled up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from actorfl.algorithm import Mine
from actorfl.compression import Compression, Payload
from actorfl.compressions.sparse import count_of, dense, sparse
from actorfl.layout import Vector
from actorfl.ranges import check_number


@dataclass(frozen=True)
class RandomK(Compression):
    """Random-k: k elements, drawn uniformly without replacement, each times d/k.

    Konečný et al., "Federated Learning: Strategies for Improving Communication Efficiency", 2016
    (random masks); of an update u of d elements, with k of them in S:

        C(u)_i = d/k u_i where i is in S, else 0

    The mean over all S is u: it is unbiased, and keeps nothing at its worker. Its variance is
    (d/k - 1) |u|^2, so small fractions need small learning rates; ``TopK`` does without.

    Each element that is sent takes 8 bytes, its place and its value.

    Attributes:
        fraction: k/d, above 0 and at most 1; k is rounded up. 1 sends everything.

    Raises:
        WrongType: fraction is no number.
        WrongValue: fraction is out of range.
    """

    fraction: float

    def __post_init__(self) -> None:
        check_number(self, "fraction", "above 0 and at most 1", lambda x: 0 < x <= 1)

    def encode(self, vector: Vector, state: Mine, rng: np.random.Generator) -> tuple[Payload, Mine]:
        """Draw the elements; no state."""
        size, count = vector.size, count_of(self.fraction, vector.size)
        indices = np.sort(rng.choice(size, count, replace=False, shuffle=False))
        values = np.multiply(vector[indices], np.float32(size / count), dtype=np.float32)
        return sparse(values, indices, size), state

    def decode(self, payload: Payload, size: int) -> Vector:
        """The k elements, and 0 elsewhere."""
        return dense(payload, count_of(self.fraction, size), size)
