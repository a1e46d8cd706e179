"""Parts that are blocks of the pool, in its order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actorfl.partition import Indices, Partitioner, enough


@dataclass(frozen=True)
class Contiguous(Partitioner):
    """Cut into blocks of equal size in the order of the pool; for time series, and sorted pools.

    Sizes differ by at most one; the larger blocks go to the first workers. Nothing is drawn.
    """

    def split(
        self, examples: int, workers: int, seed: int, labels: NDArray[np.int64] | None = None
    ) -> list[Indices]:
        """Deal out ``range(examples)``; see `Partitioner.split`. Only the sizes play a part."""
        del seed, labels
        enough(examples, workers)
        return np.array_split(np.arange(examples, dtype=np.int64), workers)
