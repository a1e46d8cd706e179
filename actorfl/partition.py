"""Partitioners: which examples of a pool each worker gets."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actorfl.errors import Misfit, WrongValue
from actorfl.seeds import seed_everything, seed_for

if TYPE_CHECKING:
    from actorfl.task import Dataset, Task, Who

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Partitioner(ABC):
    """Base of every partitioner: deals out the indices of a pool."""

    @abstractmethod
    def split(
        self, examples: int, workers: int, seed: int, labels: NDArray[np.int64] | None = None
    ) -> list[Indices]:
        """Deal out ``range(examples)``.

        Args:
            examples: Size of the pool.
            workers: How many parts to make, >= 1.
            seed: All randomness comes from it, in [0, 2^63).
            labels: Class of each example, shape ``(examples,)``, where the task has classes.

        Returns:
            One sorted int64 array of indices for each worker, in roster order; together they hold
            every index once, unless the partitioner says otherwise.

        Raises:
            Misfit: These examples cannot be dealt to these workers.
        """


@dataclass(frozen=True)
class Iid(Partitioner):
    """Independent and identically distributed: shuffled, then cut into parts of equal size.

    Sizes differ by at most one; the larger parts go to the first workers.
    """

    def split(
        self, examples: int, workers: int, seed: int, labels: NDArray[np.int64] | None = None
    ) -> list[Indices]:
        """Deal out ``range(examples)``; see `Partitioner.split`. `labels` play no part."""
        del labels
        enough(examples, workers)
        parts = np.array_split(_generator(seed).permutation(examples), workers)
        return [np.sort(part).astype(np.int64) for part in parts]


@dataclass(frozen=True)
class Sampled(Partitioner):
    """Each worker has a sample of its own; workers may share examples, and there may be any number.

    For simulations of more workers than a pool has examples to deal out.

    Args:
        examples: of each worker, at least 1, drawn without repeats; the whole pool if it has fewer.

    Raises:
        WrongValue: Fewer than 1.
    """

    examples: int

    def __post_init__(self) -> None:
        if self.examples < 1:
            raise WrongValue("examples of sampled", "at least 1", self.examples)

    def split(
        self, examples: int, workers: int, seed: int, labels: NDArray[np.int64] | None = None
    ) -> list[Indices]:
        """Draw from ``range(examples)`` for each; see `Partitioner.split`. `labels` play no part.

        An index may be in several parts, or in none.
        """
        del labels
        enough(examples, 1)
        each = min(self.examples, examples)
        generator = _generator(seed)
        parts = (generator.permutation(examples)[:each] for _ in range(workers))
        return [np.sort(part).astype(np.int64) for part in parts]


def enough(examples: int, workers: int) -> None:
    """Refuse what no partitioner can do.

    Raises:
        WrongValue: No workers.
        Misfit: More workers than examples.
    """
    if workers < 1:
        raise WrongValue("workers that share a pool", "at least 1", workers)
    if examples < workers:
        raise Misfit(
            f"{workers} workers cannot share {examples} examples; use at most {examples} workers "
            "or a larger pool"
        )


def worker_data(task: Task, who: Who, partitioner: Partitioner, run_seed: int) -> Dataset:
    """Load the data of one worker, whichever way the task keeps it.

    It seeds the process-wide generators, so it belongs into the training lane: a pool is drawn
    alike for all workers, and a worker's own data alike in every process.

    Args:
        task: Its `train` is called for `who`, or its `pool` is dealt out.
        who: The worker; its place in the roster decides its part of a pool.
        partitioner: Deals out a pool; unused where workers have their own data.
        run_seed: The seed of the run.

    Returns:
        A dataset as `Task` defines it.

    Raises:
        Misfit: The pool cannot be dealt to so many workers.
        ConfigError: What the task returned is no dataset.
    """
    from actorfl import batches

    if not task.pooled:
        seed_everything(seed_for(run_seed, who.name, 0, "data"))
        data = task.train(who)
        batches.size_of(data)  # refuses now what would fail in the first fit
        return data
    seed_everything(seed_for(run_seed, "", 0, "pool"))
    pool = task.pool()
    seed = seed_for(run_seed, "", 0, "partition")
    asked = _Asked(partitioner, batches.size_of(pool), who.count, seed)
    return batches.subset(pool, _dealt(asked, pool)[who.index])


class _Asked(NamedTuple):
    partitioner: Partitioner
    examples: int
    workers: int
    seed: int


class _Dealt(NamedTuple):
    asked: _Asked
    kind: type[Partitioner]
    pool: Dataset
    labels: bytes
    parts: list[Indices]


# The last split: the workers of a process ask for the same one, each for its part, and thousands
# of splits into thousands of parts would take longer than the training.
_last: _Dealt | None = None


def _dealt(asked: _Asked, pool: Dataset) -> list[Indices]:
    global _last  # noqa: PLW0603  (one per process, used in its training lane alone)
    from actorfl import batches

    kind = type(asked.partitioner)
    same = _last is not None and (_last.asked, _last.kind) == (asked, kind)
    if same and _last is not None and _last.pool is pool:
        return _last.parts
    labels = batches.labels_of(pool)
    digest = b"" if labels is None else hashlib.sha256(labels.tobytes()).digest()
    if not same or _last is None or _last.labels != digest:
        parts = asked.partitioner.split(asked.examples, asked.workers, asked.seed, labels=labels)
        _last = _Dealt(asked, kind, pool, digest, parts)
    return _last.parts


def _generator(seed: int) -> np.random.RandomState:
    # The streams of RandomState are frozen; those of Generator may change between versions of
    # numpy, and a worker on another machine must get the same part.
    return np.random.RandomState([seed & 0xFFFF_FFFF, seed >> 32])
