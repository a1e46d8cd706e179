"""Partitioners deal out every example once, alike for everybody who asks."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from actorfl.batches import size_of
from actorfl.data.digits import Digits
from actorfl.errors import ConfigError, Misfit, WrongValue
from actorfl.partition import Iid, Partitioner, Sampled, worker_data
from actorfl.task import Dataset, Who


def pixels(dataset: Dataset) -> torch.Tensor:
    assert isinstance(dataset, tuple)
    assert isinstance(dataset[0], torch.Tensor)
    return dataset[0]


cases = st.integers(1, 60).flatmap(
    lambda workers: st.tuples(st.integers(workers, 2000), st.just(workers))
)
seeds = st.integers(0, 2**63 - 1)


@given(cases, seeds)
def test_iid_parts_are_a_partition_of_the_pool(case: tuple[int, int], seed: int) -> None:
    examples, workers = case
    parts = Iid().split(examples, workers, seed)
    assert len(parts) == workers
    assert sorted(np.concatenate(parts).tolist()) == list(range(examples))


@given(cases, seeds)
def test_iid_sizes_differ_by_at_most_one(case: tuple[int, int], seed: int) -> None:
    sizes = [len(part) for part in Iid().split(*case, seed)]
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)


@given(cases, seeds)
def test_iid_depends_on_nothing_but_the_seed(case: tuple[int, int], seed: int) -> None:
    first = Iid().split(*case, seed)
    np.random.seed(0)  # noqa: NPY002  (the global generator is meant)
    again = Iid().split(*case, seed, labels=np.zeros(case[0], np.int64))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert {part.dtype for part in first} == {np.dtype(np.int64)}


def test_iid_parts_never_change_between_versions() -> None:
    assert [part.tolist() for part in Iid().split(7, 3, 2**62 + 5)] == [[0, 4, 6], [1, 2], [3, 5]]


def test_another_seed_deals_otherwise() -> None:
    assert Iid().split(1000, 2, 0)[0].tolist() != Iid().split(1000, 2, 1)[0].tolist()
    assert Iid().split(1000, 2, 0)[0].tolist() != Iid().split(1000, 2, 1 << 40)[0].tolist()


def test_iid_mixes_the_classes() -> None:
    labels = np.repeat(np.arange(10), 100)
    for part in Iid().split(1000, 10, 3):
        counts = np.bincount(labels[part], minlength=10)
        assert counts.min() >= 1
        assert counts.max() <= 25


def test_more_workers_than_examples_are_refused() -> None:
    with pytest.raises(Misfit, match="8 workers cannot share 7 examples; use at most 7 workers"):
        Iid().split(7, 8, 0)


def test_no_workers_are_refused() -> None:
    with pytest.raises(WrongValue, match="at least 1"):
        Iid().split(7, 0, 0)


def test_the_workers_of_a_pool_together_have_the_whole_pool() -> None:
    task = Digits()
    shards = [worker_data(task, Who(f"w{i}", i, 10), Iid(), 4) for i in range(10)]
    assert [size_of(shard) for shard in shards] == [144] * 7 + [143] * 3
    together = torch.cat([pixels(shard) for shard in shards])
    assert sorted(together.tolist()) == sorted(pixels(task.pool()).tolist())


def test_a_worker_gets_the_same_part_whatever_was_drawn_before() -> None:
    who = Who("w3", 3, 10)
    first = worker_data(Digits(), who, Iid(), 4)
    torch.rand(3)
    again = worker_data(Digits(), who, Iid(), 4)
    other = worker_data(Digits(), who, Iid(), 5)
    assert torch.equal(pixels(first), pixels(again))
    assert not torch.equal(pixels(first), pixels(other))


def test_samples_may_be_more_than_a_pool_has_to_deal_out() -> None:
    parts = Sampled(3).split(5, 40, seed=1)
    assert len(parts) == 40
    assert all(len(part) == len(set(part.tolist())) == 3 for part in parts)
    assert {index for part in parts for index in part.tolist()} == set(range(5))
    assert len({tuple(part) for part in parts}) > 1
    again = Sampled(3).split(5, 40, seed=1)
    assert all(np.array_equal(one, other) for one, other in zip(parts, again, strict=True))


def test_a_sample_of_more_than_the_pool_is_the_pool() -> None:
    assert [part.tolist() for part in Sampled(9).split(3, 2, seed=0)] == [[0, 1, 2]] * 2


def test_an_empty_sample_is_refused() -> None:
    with pytest.raises(WrongValue, match="`examples` of Sampled must be at least 1, got 0"):
        Sampled(0)


@dataclass(frozen=True)
class Ten(Digits):
    """Ten examples."""

    def pool(self) -> Dataset:
        return torch.zeros(10, 64), torch.zeros(10, dtype=torch.int64)


@dataclass(frozen=True)
class Odd(Partitioner):
    """Gives what it was made with."""

    given: object = None

    def split(self, examples: int, workers: int, seed: int, labels: object = None) -> Any:
        return self.given


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (None, "a list of 2 arrays of indices, one for each worker, got NoneType"),
        ([np.arange(3)], "a list of 2 arrays of indices, one for each worker, got 1 of them"),
        ([[0, 1], [2]], "an array of whole numbers with one dimension, got list for number 0"),
        ([np.arange(2), np.ones(2)], "got 2 of numpy's type float64 for number 1"),
        ([np.arange(2), np.array([2, 10])], "from 0 to 9, got some from 2 to 10 for number 1"),
        ([np.arange(2), np.array([-1])], "from 0 to 9, got some from -1 to -1 for number 1"),
    ],
)
def test_what_an_own_partitioner_gives_is_looked_at(given: object, sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        worker_data(Ten(), Who("w1", 1, 2), Odd(given), 0)
