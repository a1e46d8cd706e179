"""Datasets that are tuples of numpy arrays, without torch; others are handed on to ``batches``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from actorfl.errors import ConfigError
from actorfl.task import Dataset


def columns_of(data: Dataset) -> tuple[NDArray[Any], ...] | None:
    """The arrays of a dataset that is made of numpy arrays; None for others."""
    if isinstance(data, tuple | list) and data:
        columns = [column for column in data if isinstance(column, np.ndarray) and column.ndim]
        if len(columns) == len(data):
            return tuple(columns)
    return None


def size_of(data: Dataset) -> int:
    """Count the examples of a dataset, see ``batches.size_of``.

    Raises:
        ConfigError: it is none.
    """
    columns = columns_of(data)
    if columns is not None and len({len(column) for column in columns}) == 1:
        return len(columns[0])
    from actorfl import batches

    return batches.size_of(data)


def arrays_of(data: Dataset) -> tuple[NDArray[Any], ...] | None:
    """The arrays of a dataset, see ``batches.arrays_of``."""
    columns = columns_of(data)
    if columns is not None:
        return columns
    from actorfl import batches

    return batches.arrays_of(data)


def labels_of(data: Dataset) -> NDArray[np.int64] | None:
    """The class of each example, see ``batches.labels_of``."""
    columns = columns_of(data)
    if columns is not None:
        last = columns[-1]
        whole = last.shape == (size_of(data),) and last.dtype.kind in "iub"
        return last.astype(np.int64) if whole else None
    from actorfl import batches

    return batches.labels_of(data)


def needed(data: Dataset, task: str) -> tuple[NDArray[Any], ...]:
    """The arrays of a dataset that has to be made of numpy arrays of equal length.

    Raises:
        ConfigError: it is not.
    """
    columns = columns_of(data)
    if columns is None or len({len(column) for column in columns}) != 1:
        raise ConfigError(
            f"the data of {task} are not numpy arrays whose first dimensions are equal; return a "
            "tuple of these: the features, and the target"
        )
    return columns
