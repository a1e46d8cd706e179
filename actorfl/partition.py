"""Partitioners: which examples of a pool each worker gets."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from actorfl import arrays
from actorfl.defined import Abstract
from actorfl.engine import engine_of
from actorfl.errors import ConfigError, Misfit, WrongValue
from actorfl.ranges import check_count
from actorfl.seeds import seed_for

if TYPE_CHECKING:
    from actorfl.task import Dataset, Task, Who

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Partitioner(Abstract):
    """Base of every partitioner: deals out the indices of a pool.

    Attributes:
        by: What the `labels` of `split` are: the class of each example ("labels"), or the group
            that the task names for each ("groups").
    """

    by: ClassVar[Literal["labels", "groups"]] = "labels"

    @abstractmethod
    def split(
        self, examples: int, workers: int, seed: int, labels: NDArray[np.int64] | None = None
    ) -> list[Indices]:
        """Deal out ``range(examples)``.

        Args:
            examples: Size of the pool.
            workers: How many parts to make, >= 1.
            seed: All randomness comes from it, in [0, 2^63).
            labels: Class of each example, shape ``(examples,)``, where the task has classes; its
                group where `by` says so.

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
        parts = np.array_split(generator(seed).permutation(examples), workers)
        return [np.sort(part).astype(np.int64) for part in parts]


@dataclass(frozen=True)
class Sampled(Partitioner):
    """Each worker has a sample of its own; workers may share examples, and there may be any number.

    For simulations of more workers than a pool has examples to deal out.

    Args:
        examples: of each worker, at least 1, drawn without repeats; the whole pool if it has fewer.

    Raises:
        WrongType: No integer.
        WrongValue: Fewer than 1.
    """

    examples: int

    def __post_init__(self) -> None:
        check_count(self, "examples", 1)

    def split(
        self, examples: int, workers: int, seed: int, labels: NDArray[np.int64] | None = None
    ) -> list[Indices]:
        """Draw from ``range(examples)`` for each; see `Partitioner.split`. `labels` play no part.

        An index may be in several parts, or in none.
        """
        del labels
        enough(examples, 1)
        each = min(self.examples, examples)
        draw = generator(seed)
        parts = (draw.permutation(examples)[:each] for _ in range(workers))
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


def known_labels(kind: str, labels: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Return the labels by which a partitioner deals, or refuse a pool that shows none.

    Raises:
        Misfit: There are none.
    """
    if labels is None:
        raise Misfit(
            f"partition `{kind}` deals by class, and this pool shows none; let its last array be "
            "integers, one for each example, give a torch Dataset `targets`, or use `iid`"
        )
    return labels


def parts_of(owners: Indices, workers: int) -> list[Indices]:
    """Return the indices of each worker, sorted, where `owners` holds the worker of each index."""
    order = np.argsort(owners, kind="stable").astype(np.int64)
    ends = np.cumsum(np.bincount(owners, minlength=workers))
    return np.split(order, ends[:-1])


def generator(seed: int) -> np.random.RandomState:
    """Make the generator of a split, which draws alike on every machine.

    Args:
        seed: In [0, 2^63).
    """
    # The streams of RandomState are frozen; those of Generator may change between versions of
    # numpy, and a worker on another machine must get the same part.
    return np.random.RandomState([seed & 0xFFFF_FFFF, seed >> 32])


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
    if not task.pooled:
        engine_of(task).seed(seed_for(run_seed, who.name, 0, "data"))
        data = task.train(who)
        arrays.size_of(data)  # refuses now what would fail in the first fit
        return data
    pool, parts = deal(task, who.count, partitioner, run_seed)
    return engine_of(task).subset(pool, parts[who.index])


def deal(
    task: Task, workers: int, partitioner: Partitioner, run_seed: int
) -> tuple[Dataset, list[Indices]]:
    """Load the pool of a task and deal it out, in the training lane as `worker_data`.

    Args:
        task: One that has a pool.
        workers: Among whom.
        partitioner: Deals it out.
        run_seed: The seed of the run.

    Returns:
        The pool, and the indices of each worker in roster order.

    Raises:
        Misfit: The pool cannot be dealt to so many workers.
        ConfigError: What the task returned is no dataset, or no groups of its examples.
    """
    engine_of(task).seed(seed_for(run_seed, "", 0, "pool"))
    pool = task.pool()
    seed = seed_for(run_seed, "", 0, "partition")
    asked = _Asked(partitioner, arrays.size_of(pool), workers, seed)
    return pool, _dealt(asked, pool, task)


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


def _dealt(asked: _Asked, pool: Dataset, task: Task) -> list[Indices]:
    global _last  # noqa: PLW0603  (one per process, used in its training lane alone)
    kind = type(asked.partitioner)
    same = _last is not None and (_last.asked, _last.kind) == (asked, kind)
    by_group = kind.by == "groups"
    if same and _last is not None and _last.pool is pool and not by_group:
        return _last.parts
    labels = _groups_of(task, asked.examples) if by_group else arrays.labels_of(pool)
    digest = b"" if labels is None else hashlib.sha256(labels.tobytes()).digest()
    if not same or _last is None or _last.labels != digest:
        parts = asked.partitioner.split(asked.examples, asked.workers, asked.seed, labels=labels)
        _check_parts(parts, asked)
        _last = _Dealt(asked, kind, pool, digest, parts)
    return _last.parts


def _check_parts(parts: object, asked: _Asked) -> None:
    """Refuse what a partitioner, which may be the user's own, gives that is no split.

    Raises:
        ConfigError: it is none.
    """
    split = f"split() of {type(asked.partitioner).__name__}"
    if not isinstance(parts, Sequence) or len(parts) != asked.workers:
        found = f"{len(parts)} of them" if isinstance(parts, Sequence) else type(parts).__name__
        raise ConfigError(
            f"{split} must give a list of {asked.workers} arrays of indices, one for each worker, "
            f"got {found}"
        )
    for number, part in enumerate(parts):
        if not isinstance(part, np.ndarray) or part.ndim != 1 or part.dtype.kind not in "iu":
            found = _form(part) if isinstance(part, np.ndarray) else type(part).__name__
            raise ConfigError(
                f"{split} must give each worker an array of whole numbers with one dimension, got "
                f"{found} for number {number}"
            )
        if part.size and not 0 <= int(part.min()) <= int(part.max()) < asked.examples:
            raise ConfigError(
                f"{split} must give indices from 0 to {asked.examples - 1}, got some from "
                f"{part.min()} to {part.max()} for number {number}"
            )


def _groups_of(task: Task, examples: int) -> NDArray[np.int64]:
    """The groups of the examples of a pool as numbers from 0, in the order of their names."""
    groups = np.asarray(task.groups())
    if groups.shape != (examples,) or groups.dtype.kind not in "iubU":
        raise ConfigError(
            f"groups() of {type(task).__name__} must give one integer or string for each of the "
            f"{examples} examples of its pool, got {_form(groups)}"
        )
    return np.unique(groups, return_inverse=True)[1].astype(np.int64).reshape(-1)


def _form(array: NDArray[Any]) -> str:
    if array.ndim != 1:
        return f"an array of shape {array.shape}" if array.ndim else repr(array[()])
    return f"{len(array)} of numpy's type {array.dtype}"
