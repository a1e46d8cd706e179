"""Partitions that give each worker few classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actorfl.errors import Misfit
from actorfl.partition import (
    Indices,
    Partitioner,
    enough,
    generator,
    known_labels,
    parts_of,
)
from actorfl.ranges import check_count


@dataclass(frozen=True)
class Shards(Partitioner):
    """Sorted by class, cut into pieces of equal size, a number of pieces to each worker.

    The pathological partition of McMahan et al. 2017, "Communication-Efficient Learning of Deep
    Networks from Decentralized Data" (there 200 pieces, 2 to each of 100 workers). Pieces differ in
    size by at most one. With pieces no larger than the smallest class, a worker has at most
    ``2 * shards`` classes, and at most ``shards`` where pieces end where classes do. The seed
    decides who gets which pieces.

    Args:
        shards: Pieces of each worker, at least 1.

    Raises:
        WrongType: No integer.
        WrongValue: Fewer than 1.
    """

    shards: int

    def __post_init__(self) -> None:
        check_count(self, "shards", 1)

    def split(
        self, examples: int, workers: int, seed: int, labels: NDArray[np.int64] | None = None
    ) -> list[Indices]:
        """Deal out ``range(examples)``; see `Partitioner.split`.

        Raises:
            Misfit: No labels, or fewer examples than pieces.
        """
        enough(examples, workers)
        known = known_labels("shards", labels)
        count = self.shards * workers
        if examples < count:
            raise Misfit(
                f"{examples} examples cannot be cut into {count} shards, {self.shards} for each of "
                f"{workers} workers; use at most {examples // workers} for each, or fewer workers"
            )
        pieces = np.array_split(np.argsort(known, kind="stable").astype(np.int64), count)
        hands = generator(seed).permutation(count).reshape(workers, self.shards)
        return [np.sort(np.concatenate([pieces[piece] for piece in hand])) for hand in hands]


@dataclass(frozen=True)
class ByLabel(Partitioner):
    """A fixed number of classes to each worker, each class shared equally among those that have it.

    Classes go round: with one class each and 10 classes, worker n has class n mod 10, as in
    Hegedűs et al. 2021, "Decentralized learning works"; with two each, worker 0 has the first two,
    worker 1 the next two. Among the workers that have a class its examples are shuffled and dealt,
    so that their numbers differ by at most one.

    Args:
        classes: Of each worker, at least 1.

    Raises:
        WrongType: No integer.
        WrongValue: Fewer than 1.
    """

    classes: int = 1

    def __post_init__(self) -> None:
        check_count(self, "classes", 1)

    def split(
        self, examples: int, workers: int, seed: int, labels: NDArray[np.int64] | None = None
    ) -> list[Indices]:
        """Deal out ``range(examples)``; see `Partitioner.split`.

        Raises:
            Misfit: No labels; fewer classes than one worker is to have; a class that nobody would
                have; a class with fewer examples than workers that have it.
        """
        enough(examples, workers)
        names, codes = np.unique(known_labels("label", labels), return_inverse=True)
        count = len(names)
        each = f"{self.classes} class" + ("" if self.classes == 1 else "es")
        if self.classes > count:
            raise Misfit(
                f"a worker cannot have {each} of a pool that has {count}; lower `classes` of "
                "ByLabel"
            )
        if workers * self.classes < count:
            raise Misfit(
                f"{workers} workers with {each} each cannot have all {count} classes; set "
                f"`classes` of ByLabel to {-(-count // workers)}, or use more workers"
            )
        draw = generator(seed)
        held = np.arange(workers * self.classes)
        owner = np.empty(examples, np.int64)
        members = parts_of(codes.reshape(-1).astype(np.int64), count)
        for label, indices in enumerate(members):
            holders = held[label::count] // self.classes
            if len(indices) < len(holders):
                raise Misfit(
                    f"{len(holders)} workers cannot share the {len(indices)} examples of class "
                    f"{names[label]}; use fewer workers or a larger pool"
                )
            shuffled = draw.permutation(indices)
            owner[shuffled] = holders[np.arange(len(shuffled)) % len(holders)]
        return parts_of(owner, workers)
