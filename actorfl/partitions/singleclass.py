"""A partition in which each worker knows one class alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actorfl.errors import Misfit
from actorfl.partition import Indices, Partitioner, enough, known_labels


@dataclass(frozen=True)
class SingleClass(Partitioner):
    """Classes are dealt out to workers in turn, and the examples of a class to its workers in turn.

    Worker n has class n mod K of K classes, as in Hegedűs, Danner and Jelasity, "Decentralized
    learning works" (JPDC 148, 2021). Parts of one class differ in size by at most one. The seed
    plays no part.
    """

    def split(
        self, examples: int, workers: int, seed: int, labels: NDArray[np.int64] | None = None
    ) -> list[Indices]:
        """Deal out ``range(examples)``; see `Partitioner.split`.

        Raises:
            Misfit: No labels, fewer workers than classes, or a class with fewer examples than
                workers.
        """
        del seed
        enough(examples, workers)
        known = known_labels("single-class", labels)
        classes = np.unique(known)
        if workers < len(classes):
            raise Misfit(
                f"{workers} workers cannot have one of {len(classes)} classes each; use at least "
                f"{len(classes)} workers"
            )
        parts: list[Indices] = [np.empty(0, np.int64)] * workers
        for place, label in enumerate(classes):
            members = np.flatnonzero(known == label).astype(np.int64)
            owners = range(place, workers, len(classes))
            if len(members) < len(owners):
                raise Misfit(
                    f"class {label} has {len(members)} examples for its {len(owners)} workers; use "
                    "fewer workers"
                )
            for turn, owner in enumerate(owners):
                parts[owner] = members[turn :: len(owners)]
        return parts
