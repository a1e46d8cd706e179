"""Parts that are made of whole groups: of all that one person wrote, or one machine measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from actorfl.errors import Misfit
from actorfl.partition import Indices, Partitioner, enough, generator, parts_of


@dataclass(frozen=True)
class ByGroup(Partitioner):
    """Each group whole to one worker, dealt at random; the task's ``groups()`` names them.

    The numbers of groups that workers have differ by at most one; the numbers of examples are as
    unequal as the groups are.
    """

    by: ClassVar[Literal["labels", "groups"]] = "groups"

    def split(
        self, examples: int, workers: int, seed: int, labels: NDArray[np.int64] | None = None
    ) -> list[Indices]:
        """Deal out ``range(examples)``; see `Partitioner.split`.

        Raises:
            Misfit: No groups, or fewer than workers.
        """
        enough(examples, workers)
        if labels is None:
            raise Misfit("partition `group` deals out whole groups, and none are named")
        names, codes = np.unique(labels, return_inverse=True)
        if len(names) < workers:
            raise Misfit(
                f"{workers} workers cannot share {len(names)} groups, each of which stays whole; "
                f"use at most {len(names)} workers"
            )
        hands = np.array_split(generator(seed).permutation(len(names)), workers)
        owner = np.empty(len(names), np.int64)
        for worker, hand in enumerate(hands):
            owner[hand] = worker
        return parts_of(owner[codes.reshape(-1)], workers)
