"""Unequal partitions deal out every example once, by their law, alike for everybody who asks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from actorfl import (
    ByGroup,
    ByLabel,
    Contiguous,
    Dirichlet,
    Iid,
    Partitioner,
    Quantity,
    Shards,
)
from actorfl.errors import ConfigError, Misfit, WrongType, WrongValue
from actorfl.partition import Indices

Labels = NDArray[np.int64]

DEALERS: dict[str, Partitioner] = {
    "contiguous": Contiguous(),
    "shards": Shards(2),
    "label": ByLabel(3),
    "group": ByGroup(),
    "dirichlet": Dirichlet(0.5),
    "loose": Dirichlet(0.05, min_size=0),
    "quantity": Quantity(0.5),
}
dealers = pytest.mark.parametrize("partitioner", DEALERS.values(), ids=DEALERS)
seeds = st.integers(0, 2**63 - 1)


@st.composite
def pools(draw: st.DrawFn) -> tuple[Labels, int]:
    """Labels of a pool, of any values and in any order, and a number of workers."""
    workers = draw(st.integers(1, 12))
    names = draw(st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=15, unique=True))
    labels = draw(st.lists(st.sampled_from(names), min_size=1, max_size=150))
    return np.array(labels, np.int64), workers


def classes(labels: Labels, part: Indices) -> int:
    return len(np.unique(labels[part]))


def sizes(parts: list[Indices]) -> list[int]:
    return [len(part) for part in parts]


# --- what holds for all of them -------------------------------------------------------------------


@dealers
@settings(max_examples=40)
@given(pool=pools(), seed=seeds)
def test_parts_are_a_partition_none_of_them_empty_or_are_refused(
    partitioner: Partitioner, pool: tuple[Labels, int], seed: int
) -> None:
    labels, workers = pool
    try:
        parts = partitioner.split(len(labels), workers, seed, labels=labels)
    except Misfit:
        return
    assert len(parts) == workers
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    for part in parts:
        assert part.dtype == np.int64
        assert part.tolist() == sorted(part.tolist())
        assert len(part) or getattr(partitioner, "min_size", 1) == 0


@dealers
def test_parts_depend_on_nothing_but_the_seed(partitioner: Partitioner) -> None:
    labels = np.arange(600) % 10
    first = partitioner.split(600, 6, 2**62 + 1, labels=labels)
    np.random.seed(0)  # noqa: NPY002  (the global generator is meant)
    again = partitioner.split(600, 6, 2**62 + 1, labels=labels)
    other = partitioner.split(600, 6, 2**62 + 2, labels=labels)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    same = all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert same == isinstance(partitioner, Contiguous)


@pytest.mark.parametrize(
    ("partitioner", "expected"),
    [
        (Contiguous(), [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]),
        (Shards(1), [[1, 5, 7, 9], [3, 4, 8], [0, 2, 6]]),
        (ByLabel(2), [[1, 2, 5], [3, 7, 8, 9], [0, 4, 6]]),
        (ByGroup(), [[1, 5, 7, 9], [0, 3, 4, 8], [2, 6]]),
        (Dirichlet(1.0), [[0, 3, 4, 8], [1, 6, 7, 9], [2, 5]]),
        (Quantity(1.0), [[3, 7, 8], [4, 5], [0, 1, 2, 6, 9]]),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Partitioner) else "",
)
def test_parts_never_change_between_versions(
    partitioner: Partitioner, expected: list[list[int]]
) -> None:
    labels = np.array([2, 0, 1, 2, 2, 0, 1, 0, 2, 0])
    parts = partitioner.split(10, 3, 2**62 + 5, labels=labels)
    assert [part.tolist() for part in parts] == expected


def test_not_even_many_draws_of_small_chances_change_between_machines() -> None:
    labels = np.arange(5000) * 7919 % 10
    parts = Dirichlet(0.3).split(5000, 20, 3, labels=labels)
    dealt = b"|".join(part.astype("<i8").tobytes() for part in parts)
    assert hashlib.sha256(dealt).hexdigest()[:16] == "bd7c939babf02c58"


@dealers
def test_a_worker_more_than_there_are_examples_is_refused_unless_one_may_have_none(
    partitioner: Partitioner,
) -> None:
    def split() -> list[Indices]:
        return partitioner.split(5, 6, 0, labels=np.zeros(5, np.int64))

    if getattr(partitioner, "min_size", 1) == 0:
        assert sum(sizes(split())) == 5
    else:
        with pytest.raises(Misfit, match="6 workers cannot share 5 examples"):
            split()
    with pytest.raises(WrongValue, match="at least 1, got 0"):
        partitioner.split(5, 0, 0, labels=np.zeros(5, np.int64))


@pytest.mark.parametrize("kind", ["shards", "label", "dirichlet"])
def test_a_pool_that_shows_no_classes_is_refused_where_they_are_needed(kind: str) -> None:
    with pytest.raises(Misfit, match=rf"partition `{kind}` deals by class, .*; let its last array"):
        DEALERS[kind].split(20, 2, 0)


# --- the law of each ------------------------------------------------------------------------------


@given(st.integers(1, 9), st.integers(0, 300), seeds)
def test_contiguous_parts_are_blocks_in_order_whose_sizes_differ_by_at_most_one(
    workers: int, more: int, seed: int
) -> None:
    parts = Contiguous().split(workers + more, workers, seed)
    assert np.concatenate(parts).tolist() == list(range(workers + more))
    assert max(sizes(parts)) - min(sizes(parts)) <= 1


@settings(max_examples=50)
@given(st.integers(1, 4), st.integers(1, 10), st.integers(1, 8), st.integers(1, 5), seeds)
def test_a_worker_has_as_many_classes_as_shards_at_most_where_shards_end_where_classes_do(
    shards: int, workers: int, per_class: int, size: int, seed: int
) -> None:
    count = shards * workers
    labels = np.arange(count * size) // (per_class * size)
    shuffled = np.random.RandomState(0).permutation(labels)
    parts = Shards(shards).split(len(labels), workers, seed, labels=shuffled)
    assert set(sizes(parts)) == {shards * size}
    assert max(classes(shuffled, part) for part in parts) <= shards


@given(st.integers(1, 4), st.integers(1, 10), st.integers(40, 300), seeds)
def test_shards_are_of_equal_size_and_lie_across_classes_as_rarely_as_can_be(
    shards: int, workers: int, examples: int, seed: int
) -> None:
    labels = np.arange(examples) % 7
    parts = Shards(shards).split(examples, workers, seed, labels=labels)
    assert max(sizes(parts)) - min(sizes(parts)) <= shards
    # Each of the six borders between classes cuts one shard in two at most.
    assert sum(classes(labels, part) for part in parts) <= shards * workers + 6


def test_more_shards_than_examples_are_refused() -> None:
    sentence = "7 examples cannot be cut into 9 shards, 3 for each of 3 workers; use at most 2"
    with pytest.raises(Misfit, match=sentence):
        Shards(3).split(7, 3, 0, labels=np.zeros(7, np.int64))


def test_one_class_each_goes_round_the_workers_and_is_shared_equally() -> None:
    labels = np.arange(1003) % 10
    parts = ByLabel().split(1003, 25, 7, labels=labels)
    assert [np.unique(labels[part]).tolist() for part in parts] == [[n % 10] for n in range(25)]
    for label in range(10):
        shares = [len(part) for n, part in enumerate(parts) if n % 10 == label]
        assert max(shares) - min(shares) <= 1


@given(st.integers(1, 6), st.integers(6, 12), seeds)
def test_every_worker_has_exactly_as_many_classes_as_it_is_to_have(
    each: int, workers: int, seed: int
) -> None:
    labels = np.repeat([5, -3, 8, 0, 11, 2], 20)
    parts = ByLabel(each).split(len(labels), workers, seed, labels=labels)
    assert {classes(labels, part) for part in parts} == {each}


@pytest.mark.parametrize(
    ("each", "workers", "examples", "sentence"),
    [
        (11, 20, 100, "11 classes of a pool that has 10; lower `classes`"),
        (1, 8, 100, "8 workers with 1 class each cannot have all 10 classes; set `classes` .* 2"),
        (2, 60, 100, "12 workers cannot share the 10 examples of class 0; use fewer workers"),
    ],
)
def test_classes_that_cannot_go_round_are_refused(
    each: int, workers: int, examples: int, sentence: str
) -> None:
    with pytest.raises(Misfit, match=sentence):
        ByLabel(each).split(examples, workers, 0, labels=np.arange(examples) % 10)


@given(pools(), seeds)
def test_groups_stay_whole_and_their_numbers_differ_by_at_most_one(
    pool: tuple[Labels, int], seed: int
) -> None:
    groups, workers = pool
    count = len(np.unique(groups))
    if count < workers:
        if len(groups) >= workers:
            with pytest.raises(Misfit, match=f"{workers} workers cannot share {count} groups"):
                ByGroup().split(len(groups), workers, seed, labels=groups)
        return
    parts = ByGroup().split(len(groups), workers, seed, labels=groups)
    numbers = [classes(groups, part) for part in parts]
    assert sum(numbers) == count
    assert max(numbers) - min(numbers) <= 1


Skew = Callable[..., Dirichlet | Quantity]
skews = pytest.mark.parametrize("skew", [Dirichlet, Quantity])


def counts(skew: Skew, alpha: float, examples: int, workers: int, draws: int) -> NDArray[Any]:
    """Examples of one class at each worker, a row for each of several seeds."""
    labels = np.zeros(examples, np.int64)
    return np.array(
        [
            sizes(skew(alpha, min_size=0).split(examples, workers, seed, labels=labels))
            for seed in range(draws)
        ]
    )


@skews
def test_with_alpha_1_and_two_workers_every_size_is_as_likely_as_any(skew: Skew) -> None:
    # Dir(1, 1) is uniform, and so is the number of 9 examples that one of the two gets, from 0 to 9.
    seen = np.bincount(counts(skew, 1.0, 9, 2, 1000)[:, 0], minlength=10)
    chi_squared = float(((seen - 100) ** 2 / 100).sum())
    assert chi_squared < 27.9  # one in a thousand, at 9 degrees of freedom


@skews
@pytest.mark.parametrize("alpha", [0.1, 5.0])
def test_sizes_have_the_mean_and_the_variance_of_dirichlet_proportions(
    skew: Skew, alpha: float
) -> None:
    examples, workers = 60, 5
    drawn = counts(skew, alpha, examples, workers, 500)
    total, share = workers * alpha, 1 / workers
    law = examples * share * (1 - share) * (examples + total) / (1 + total)
    assert drawn.mean(axis=0) == pytest.approx(examples * share, rel=0.2)
    assert drawn.var() == pytest.approx(law, rel=0.15)


@skews
@pytest.mark.parametrize("alpha", [1e12, 1e308])
def test_a_large_alpha_tends_to_independent_uniform_draws(skew: Skew, alpha: float) -> None:
    drawn = counts(skew, alpha, 60, 5, 500)
    assert drawn.var() == pytest.approx(60 * 0.2 * 0.8, rel=0.15)


def test_a_large_alpha_gives_every_worker_the_classes_that_iid_gives() -> None:
    labels = np.arange(20_000) % 10
    for partitioner in (Iid(), Dirichlet(1e9), Quantity(1e9)):
        parts = partitioner.split(20_000, 10, 1, labels=labels)
        table = np.array([np.bincount(labels[part], minlength=10) for part in parts])
        assert table.min() > 150
        assert table.max() < 250


@pytest.mark.parametrize("alpha", [1e-12, 5e-324])
def test_a_small_alpha_gives_each_class_to_one_worker(alpha: float) -> None:
    labels = np.arange(500) % 10
    parts = Dirichlet(alpha, min_size=0).split(500, 4, 0, labels=labels)
    assert sum(classes(labels, part) for part in parts) == 10


def test_the_classes_of_a_dirichlet_split_are_drawn_each_for_itself_and_sizes_alone_are_not() -> (
    None
):
    labels = np.arange(4000) % 2

    def shares(partitioner: Partitioner) -> NDArray[Any]:
        rows = []
        for seed in range(60):
            part = partitioner.split(4000, 2, seed, labels=labels)[0]
            rows.append(np.bincount(labels[part], minlength=2))
        return np.asarray(np.corrcoef(np.array(rows).T))

    assert abs(shares(Dirichlet(1.0, min_size=0))[0, 1]) < 0.4
    assert shares(Quantity(1.0, min_size=0))[0, 1] > 0.95


@skews
def test_every_worker_has_the_smallest_size_that_was_asked_for(skew: Skew) -> None:
    labels = np.arange(400) % 10
    free = [min(sizes(skew(0.5, 0).split(400, 6, seed, labels=labels))) for seed in range(40)]
    held = [min(sizes(skew(0.5, 12).split(400, 6, seed, labels=labels))) for seed in range(40)]
    assert min(free) < 12 <= min(held)


@skews
def test_what_no_draw_gives_ends_in_a_sentence_and_what_cannot_be_at_once(skew: Skew) -> None:
    labels = np.zeros(100, np.int64)
    with pytest.raises(Misfit, match=r"in none of 200 draws .* 10 workers at least 9 .*; raise"):
        skew(1e-6, min_size=9).split(100, 10, 0, labels=labels)
    with pytest.raises(Misfit, match=r"cannot share 100; set `min_size` .* to at most 10"):
        skew(1.0, min_size=11).split(100, 10, 0, labels=labels)


# --- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: Shards(0), WrongValue, "`shards` of Shards must be at least 1, got 0"),
        (lambda: Shards(True), WrongType, "`shards` of Shards: expected an int, at least 1"),
        (lambda: ByLabel(0), WrongValue, "`classes` of ByLabel must be at least 1, got 0"),
        (lambda: Dirichlet(0.0), WrongValue, "`alpha` of Dirichlet must be finite and above 0"),
        (lambda: Dirichlet(float("nan")), WrongValue, "finite and above 0, got nan"),
        (lambda: Quantity(float("inf")), WrongValue, "`alpha` of Quantity must be finite"),
        (lambda: Quantity(True), WrongType, "`alpha` of Quantity: expected a number, finite"),
        (lambda: Dirichlet(1.0, -1), WrongValue, "`min_size` of Dirichlet must be at least 0"),
    ],
)
def test_values_out_of_range_are_refused(
    make: Callable[[], object], error: type[ConfigError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        make()


def test_equal_settings_are_equal() -> None:
    assert Dirichlet(1) == Dirichlet(1.0)
    assert repr(Dirichlet(1)) == repr(Dirichlet(1.0))
