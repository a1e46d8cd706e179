"""Datasets and batches: size, subset, split, and batches collated into memory of their own.

torch's kernels give different bits for data that starts at another address, so a batch is never a
view into the data: it is always a fresh tensor, which torch allocates on a 64-byte boundary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import ConcatDataset, IterableDataset, Subset, TensorDataset, default_collate

from actorfl.errors import ConfigError, WrongValue
from actorfl.task import Batch, Dataset

_WANTED = (
    "give a torch Dataset with a length, or a tuple of tensors or numpy arrays "
    "whose first dimensions are equal"
)


def size_of(dataset: Dataset) -> int:
    """Count the examples of a dataset.

    Raises:
        ConfigError: It is not a dataset as `Task` defines it, or its arrays differ in their first
            dimension.
    """
    columns = _columns(dataset)
    if columns is None:
        return len(cast("Sized", dataset))
    sizes = [len(column) for column in columns]
    if len(set(sizes)) != 1:
        raise ConfigError(f"the arrays of a dataset have {sizes} examples; {_WANTED}")
    return sizes[0]


def arrays_of(dataset: Dataset) -> tuple[NDArray[Any], ...] | None:
    """The arrays of a dataset that is made of arrays, not copied where they are numpy's or torch's.

    Returns:
        One array for each element of the dataset; None where it is another torch dataset, or holds
        what numpy has no type for.
    """
    columns = _columns(dataset)
    if columns is None:
        return None
    try:
        return tuple(
            column.numpy(force=True) if isinstance(column, Tensor) else column for column in columns
        )
    except TypeError:  # bfloat16
        return None


def labels_of(dataset: Dataset) -> NDArray[np.int64] | None:
    """Find the class of each example: the last array, where it is one-dimensional and integer.

    Of a torch dataset that is not made of arrays it is the attribute ``targets``, as torchvision
    has it.

    Returns:
        Classes, int64, shape ``(examples,)``; None where the dataset does not show them.
    """
    columns = _columns(dataset)
    if isinstance(dataset, Subset):
        whole = labels_of(dataset.dataset)
        return None if whole is None else whole[np.asarray(dataset.indices, np.int64)]
    last = getattr(dataset, "targets", None) if columns is None else columns[-1]
    try:
        array = last.numpy(force=True) if isinstance(last, Tensor) else np.asarray(last)
    except ValueError:  # a list of lists of several lengths
        return None
    if array.shape != (size_of(dataset),) or array.dtype.kind not in "iub":
        return None
    return array.astype(np.int64)


def gather(dataset: Dataset, indices: Sequence[int] | NDArray[np.int64] | Tensor) -> Batch:
    """Collate examples into a batch.

    Args:
        dataset: A dataset as `Task` defines it.
        indices: Which examples, in this order.

    Returns:
        Fresh tensors, contiguous, the examples as first dimension; dtypes are kept.

    Raises:
        ConfigError: A torch dataset's samples are not tensors, arrays, numbers or tuples of them.
    """
    index = torch.as_tensor(indices, dtype=torch.int64)
    columns = _columns(dataset)
    if columns is not None:
        return tuple(_take(column, index) for column in columns)
    wanted = index.tolist()
    several = getattr(dataset, "__getitems__", None)
    indexable = cast("Any", dataset)
    samples = several(wanted) if several is not None else [indexable[i] for i in wanted]
    batch = default_collate(samples)
    elements = tuple(batch) if isinstance(batch, tuple | list) else (batch,)
    for element in elements:
        if not isinstance(element, Tensor):
            raise ConfigError(
                f"a sample of {_own(dataset)} holds {type(samples[0]).__name__} data that "
                "does not collate into tensors; let __getitem__ return a tensor, an array, "
                "a number or a tuple of them"
            )
    return elements


def in_order(dataset: Dataset, batch: int) -> Iterator[Batch]:
    """Go through a dataset once, from the first example to the last.

    Args:
        dataset: A dataset as `Task` defines it.
        batch: Examples in a batch, >= 1; the last batch may be smaller.
    """
    examples = size_of(dataset)
    for start in range(0, examples, batch):
        yield gather(dataset, range(start, min(start + batch, examples)))


def subset(dataset: Dataset, indices: NDArray[np.int64]) -> Dataset:
    """Select examples: copies of the rows of arrays, a view of a torch dataset."""
    columns = _columns(dataset)
    if columns is None:
        return Subset(cast("torch.utils.data.Dataset[Any]", dataset), indices.tolist())
    index = torch.from_numpy(indices)
    return tuple(_take(column, index) for column in columns)


def joined(datasets: Sequence[Dataset]) -> Dataset:
    """Put several datasets of one task after one another: copies of arrays, a view of others.

    Args:
        datasets: At least one.

    Raises:
        ConfigError: Some are made of arrays and others not, or of other arrays.
    """
    columns = [_columns(dataset) for dataset in datasets]
    known = [column for column in columns if column is not None]
    try:
        if not known:
            views = [cast("torch.utils.data.Dataset[Any]", dataset) for dataset in datasets]
            return ConcatDataset(views)
        if len(known) == len(columns):
            tensors = [[torch.as_tensor(array) for array in one] for one in known]
            return tuple(torch.cat(parts) for parts in zip(*tensors, strict=True))
    except (RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(f"the data of the workers cannot be put together: {error}") from error
    raise ConfigError(
        "the data of some workers are arrays, and those of others a torch Dataset, so they cannot "
        "be put together"
    )


def split(dataset: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
    """Hold out a part of a worker's data, drawn at random.

    Args:
        dataset: What the worker has; n examples.
        fraction: Of the examples to hold out, in [0, 1).
        seed: Decides which, in [0, 2^63).

    Returns:
        The part to train on and the part held out. The second has ``round(fraction * n)`` examples,
        but leaves at least one for the first; both keep the order of `dataset`. At a fraction of 0
        the first is `dataset` itself.

    Raises:
        WrongValue: `fraction` is out of range.
    """
    if not 0 <= fraction < 1:
        raise WrongValue("the fraction of the data to hold out", "at least 0, below 1", fraction)
    examples = size_of(dataset)
    held = max(0, min(round(fraction * examples), examples - 1))
    if held == 0:
        return dataset, subset(dataset, np.empty(0, np.int64))
    order = torch.randperm(examples, generator=torch.Generator().manual_seed(seed)).numpy()
    return subset(dataset, np.sort(order[held:])), subset(dataset, np.sort(order[:held]))


def _own(dataset: Dataset) -> str:
    """The name of the user's class, below the parts that we took of it."""
    while isinstance(dataset, Subset):
        dataset = dataset.dataset
    return type(dataset).__name__


def _columns(dataset: Dataset) -> Sequence[Tensor | NDArray[Any]] | None:
    """The arrays of a dataset that is made of arrays; None for other torch datasets."""
    if isinstance(dataset, TensorDataset):
        return dataset.tensors
    if isinstance(dataset, torch.utils.data.Dataset):
        if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
            raise ConfigError(f"{type(dataset).__name__} has no length; {_WANTED}")
        return None
    if not isinstance(dataset, tuple | list) or not dataset:
        raise ConfigError(f"got {type(dataset).__name__} as a dataset; {_WANTED}")
    for column in dataset:
        if not isinstance(column, Tensor | np.ndarray) or column.ndim == 0:
            raise ConfigError(f"a dataset holds {type(column).__name__}; {_WANTED}")
    return dataset


def _take(column: Tensor | NDArray[Any], index: Tensor) -> Tensor:
    if isinstance(column, Tensor):
        return column.detach().index_select(0, index.to(column.device))
    return torch.tensor(column[index.numpy()])  # copies: numpy's own memory is aligned to 16 bytes
