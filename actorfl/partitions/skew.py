"""Partitions of random skew: of classes, or of sizes alone, by a Dirichlet distribution."""

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
from actorfl.ranges import check_count, check_number

_DRAWS = 200
"""How often a split is drawn before it is said to be out of reach."""


@dataclass(frozen=True)
class Dirichlet(Partitioner):
    """Each class is shared in proportions of its own, drawn from a Dirichlet distribution.

    For each class, proportions p ~ Dir(alpha, ..., alpha) over the workers, as in Yurochkin et al.
    2019, "Bayesian Nonparametric Federated Learning of Neural Networks"; but each example goes to
    worker k with probability p_k, where others cut the class at the proportions. The larger alpha,
    the more alike the workers: towards infinity the split is that of independent uniform draws,
    whose sizes still differ by chance, unlike those of `Iid`; towards 0 each class has one worker.

    Both draws are made at once, by Pólya's urn, which needs no logarithm or power: the parts are
    the same on every machine, and no alpha is too small to draw.

    Args:
        alpha: Concentration, finite and above 0.
        min_size: Examples that each worker has at least; the whole split is drawn again until it
            holds, up to 200 times. 0 allows workers without any.

    Raises:
        WrongType: A field is no number.
        WrongValue: A field is out of range.
    """

    alpha: float
    min_size: int = 1

    def __post_init__(self) -> None:
        _check(self)

    def split(
        self, examples: int, workers: int, seed: int, labels: NDArray[np.int64] | None = None
    ) -> list[Indices]:
        """Deal out ``range(examples)``; see `Partitioner.split`.

        Raises:
            Misfit: No labels, or no draw in which each worker has `min_size` examples.
        """
        return _drawn(self, known_labels("dirichlet", labels), workers, seed)


@dataclass(frozen=True)
class Quantity(Partitioner):
    """Workers of unequal size, alike otherwise: sizes drawn from a Dirichlet distribution.

    Proportions p ~ Dir(alpha, ..., alpha) over the workers, and each example to worker k with
    probability p_k, whatever its class. The larger alpha, the more equal the sizes. Drawn as in
    `Dirichlet`.

    Args:
        alpha: Concentration, finite and above 0.
        min_size: As for `Dirichlet`.

    Raises:
        WrongType: A field is no number.
        WrongValue: A field is out of range.
    """

    alpha: float
    min_size: int = 1

    def __post_init__(self) -> None:
        _check(self)

    def split(
        self, examples: int, workers: int, seed: int, labels: NDArray[np.int64] | None = None
    ) -> list[Indices]:
        """Deal out ``range(examples)``; see `Partitioner.split`. `labels` play no part.

        Raises:
            Misfit: No draw in which each worker has `min_size` examples.
        """
        del labels
        return _drawn(self, np.zeros(examples, np.int64), workers, seed)


def _check(skew: Dirichlet | Quantity) -> None:
    check_number(skew, "alpha", "finite and above 0", lambda x: x > 0)
    check_count(skew, "min_size", 0)


def _drawn(
    skew: Dirichlet | Quantity, labels: NDArray[np.int64], workers: int, seed: int
) -> list[Indices]:
    examples, least = len(labels), skew.min_size
    enough(examples, min(workers, 1) if least == 0 else workers)
    kind = type(skew).__name__
    if least * workers > examples:
        raise Misfit(
            f"{workers} workers with at least {least} examples each cannot share {examples}; set "
            f"`min_size` of {kind} to at most {examples // workers}, or use fewer workers"
        )
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    begins = np.searchsorted(ordered, ordered).astype(np.int64)
    owners = np.empty(examples, np.int64)
    draw = generator(seed)
    for _ in range(_DRAWS):
        owners[order] = _urns(begins, workers, skew.alpha, draw)
        if np.bincount(owners, minlength=workers).min() >= least:
            return parts_of(owners, workers)
    wanted = f"{least} example" + ("" if least == 1 else "s")
    raise Misfit(
        f"in none of {_DRAWS} draws of {kind} has each of {workers} workers at least {wanted} of "
        f"{examples}; raise `alpha` ({skew.alpha:g}), lower `min_size` (0 allows workers without "
        "examples), or use fewer workers"
    )


def _urns(begins: Indices, workers: int, alpha: float, draw: np.random.RandomState) -> Indices:
    """Draw the worker of each example from an urn for each class.

    After m draws of a class the next is, with probability K alpha / (K alpha + m), a uniform one of
    the K workers, and else a copy of a uniform one of the m. That is the law of proportions from a
    Dirichlet distribution, followed by draws from them.

    Args:
        begins: For each example, in the order of classes, the place where its class begins.
        workers: K.
        alpha: Concentration.
        draw: All randomness comes from it.
    """
    count = len(begins)
    places = np.arange(count, dtype=np.int64)
    before = places - begins
    # Sums, products and quotients alone: IEEE 754 gives them the same bits everywhere.
    with np.errstate(over="ignore"):  # below the smallest alphas it is infinite, and means never
        chance = 1.0 / (1.0 + before / (workers * alpha))
    copied = begins + (draw.random_sample(count) * before).astype(np.int64)
    source = np.where(draw.random_sample(count) < chance, places, copied)
    for _ in range(count.bit_length()):  # each step doubles how far a chain of copies is followed
        source = source[source]
    fresh = (draw.random_sample(count) * workers).astype(np.int64)
    return fresh[source]
