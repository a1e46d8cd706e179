"""Datasets in their forms, and batches in memory of their own."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import IterableDataset, Subset, TensorDataset

from actorfl.batches import gather, in_order, labels_of, size_of, split, subset
from actorfl.errors import ConfigError, WrongValue
from actorfl.task import Dataset

XS = torch.arange(20, dtype=torch.float32).reshape(10, 2)
YS = torch.arange(10)


class Squares(torch.utils.data.Dataset[Any]):
    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return XS[index], int(YS[index])


class Words(torch.utils.data.Dataset[Any]):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> str:
        return "abc"[index]


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Tensor]:
        return iter(XS)

    def __repr__(self) -> str:
        return "Endless()"  # names a test, which has the same name in every process


FORMS: dict[str, Dataset] = {
    "tensors": (XS, YS),
    "list": [XS, YS],
    "arrays": (XS.numpy(), YS.numpy()),
    "mixed": (XS, YS.numpy()),
    "TensorDataset": TensorDataset(XS, YS),
    "Dataset": Squares(),
    "Subset": Subset(TensorDataset(XS, YS), range(10)),
}
forms = pytest.mark.parametrize("dataset", FORMS.values(), ids=FORMS)


@forms
def test_every_form_of_dataset_gives_the_same_batch(dataset: Dataset) -> None:
    assert size_of(dataset) == 10
    xs, ys = gather(dataset, [7, 0, 7])
    assert torch.equal(xs, XS[[7, 0, 7]])
    assert torch.equal(ys, YS[[7, 0, 7]])
    assert (xs.dtype, ys.dtype) == (torch.float32, torch.int64)


@forms
def test_a_batch_lies_in_fresh_aligned_memory(dataset: Dataset) -> None:
    batch = gather(dataset, range(10))
    for tensor in batch:
        assert tensor.is_contiguous()
        assert tensor.data_ptr() % 64 == 0
        tensor.zero_()
    assert torch.equal(gather(dataset, range(10))[0], XS)


@forms
def test_going_through_in_order_ends_with_the_smaller_batch(dataset: Dataset) -> None:
    seen = list(in_order(dataset, 4))
    assert [len(xs) for xs, _ in seen] == [4, 4, 2]
    assert torch.equal(torch.cat([xs for xs, _ in seen]), XS)


@forms
def test_a_subset_holds_the_chosen_examples_in_order(dataset: Dataset) -> None:
    part = subset(dataset, np.array([9, 2]))
    assert size_of(part) == 2
    assert torch.equal(gather(part, [0, 1])[1], torch.tensor([9, 2]))


def test_arrays_of_unequal_length_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"have \[10, 9\] examples"):
        size_of((XS, YS[:9]))


@pytest.mark.parametrize(
    "wrong", [None, (), [1, 2], XS, "text", (XS, torch.tensor(1.0)), Endless()], ids=repr
)
def test_what_is_no_dataset_is_refused_with_what_is_one(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="give a torch Dataset with a length, or a tuple"):
        size_of(wrong)


def test_samples_that_are_no_tensors_are_refused() -> None:
    with pytest.raises(ConfigError, match="a sample of Words holds str data"):
        gather(Words(), [0, 1])


def test_classes_are_found_in_the_last_integer_array() -> None:
    found = labels_of((XS, YS.to(torch.uint8)))
    assert found is not None
    assert found.tolist() == list(range(10))
    assert labels_of((YS, XS)) is None
    assert labels_of(Squares()) is None


@pytest.mark.parametrize(
    ("targets", "found"),
    [
        (YS, list(range(10))),
        (YS.tolist(), list(range(10))),
        (YS[:9], None),
        (YS.double(), None),
        ([[1], [2, 3]], None),
        ("abcdefghij", None),
    ],
)
def test_the_classes_of_a_torch_dataset_are_its_targets(
    targets: object, found: list[int] | None
) -> None:
    dataset = Squares()
    setattr(dataset, "targets", targets)  # noqa: B010  (mypy knows no such attribute)
    labels, some = labels_of(dataset), labels_of(Subset(dataset, [7, 3]))
    assert (None if labels is None else labels.tolist()) == found
    assert (None if some is None else some.tolist()) == (found and [7, 3])


@given(st.integers(1, 300), st.floats(0, 1, exclude_max=True), st.integers(0, 2**63 - 1))
def test_a_split_is_a_partition_of_the_stated_sizes(n: int, fraction: float, seed: int) -> None:
    data = (torch.arange(n),)
    kept, held = (gather(part, range(size_of(part)))[0] for part in split(data, fraction, seed))
    assert len(held) == min(round(fraction * n), n - 1)
    assert sorted(torch.cat([kept, held]).tolist()) == list(range(n))
    assert kept.tolist() == sorted(kept.tolist())
    again = gather(split(data, fraction, seed)[1], range(len(held)))[0]
    assert torch.equal(held, again)


def test_another_seed_holds_out_others() -> None:
    data = (torch.arange(1000),)
    held = [gather(split(data, 0.2, seed)[1], range(200))[0].tolist() for seed in (0, 1)]
    assert held[0] != held[1]


def test_nothing_can_be_held_out_of_nothing() -> None:
    kept, held = split((torch.zeros(0),), 0.5, 0)
    assert (size_of(kept), size_of(held)) == (0, 0)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_a_fraction_out_of_range_is_refused(fraction: float) -> None:
    with pytest.raises(WrongValue, match="fraction"):
        split((XS,), fraction, 0)


def test_a_read_only_array_gives_batches_without_a_warning() -> None:
    array = XS.numpy().copy()
    array.flags.writeable = False
    assert torch.equal(gather((array,), [1])[0], XS[[1]])


class Mapped(torch.utils.data.Dataset[Any]):
    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> dict[str, int]:
        return {"x": index}


def test_a_sample_that_does_not_collate_names_the_class_of_the_user_not_ours() -> None:
    part, _ = split(Mapped(), 0.2, 0)
    with pytest.raises(ConfigError, match="a sample of Mapped holds dict data"):
        gather(part, [0])
