"""Sending an update with 8 bits an element."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from actorfl.algorithm import Mine
from actorfl.compression import Compression, Payload, PayloadError, check_fields, field
from actorfl.compressions.blocks import in_blocks, scaled, scales_in
from actorfl.layout import Vector

_LEVELS: Final = 127


@dataclass(frozen=True)
class EightBit(Compression):
    """8-bit quantisation with stochastic rounding, in blocks of 256 elements.

    Alistarh et al., "QSGD: Communication-Efficient SGD via Gradient Quantization and Encoding",
    NeurIPS 2017, with the largest magnitude of a block as its norm; of each block u:

        s = max |u_i| / 127,   q_i = floor(u_i / s + r_i), r_i uniform in [0, 1),   C(u)_i = s q_i

    The mean over r is u: it is unbiased, and keeps nothing at its worker. No element is off by as
    much as s. A block of zeros stays one.

    An element takes one byte, a block 4 more for s: 0.254 of the whole update.
    """

    def encode(self, vector: Vector, state: Mine, rng: np.random.Generator) -> tuple[Payload, Mine]:
        """Draw where each element is rounded to; no state."""
        rows = in_blocks(vector)
        largest = np.abs(rows).max(axis=1)
        scales = (largest / _LEVELS).astype(np.float32)
        # Rounded down, the largest element would lie above the last level.
        below = scales.astype(np.float64) * _LEVELS < largest
        scales[below] = np.nextafter(scales[below], np.float32(np.inf))
        divisors = np.where(scales > 0, scales, np.float32(1.0)).astype(np.float64)
        rows /= divisors[:, np.newaxis]
        flat = rows.reshape(-1)[: vector.size]
        flat += rng.random(vector.size)
        # Added in floating point, the greatest draw may round to the level above the last.
        levels = np.minimum(np.floor(flat), _LEVELS).astype(np.int8)
        return {"levels": levels, "scales": scales}, state

    def decode(self, payload: Payload, size: int) -> Vector:
        """Levels times scales."""
        check_fields(payload, "levels", "scales")
        scales, levels = scales_in(payload, size), field(payload, "levels", "int8", size)
        if int(levels.min()) < -_LEVELS:
            raise PayloadError(f"one of its levels is below -{_LEVELS}")
        return scaled(levels.astype(np.float32), scales)
