"""A model as everybody but the library that trains it sees it: one flat vector and its layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from actorfl.errors import WrongType
from actorfl.layout import Layout, LayoutError, Vector

Buffers: TypeAlias = Mapping[str, NDArray[Any]]
"""Integer buffers by name, in their own shapes and dtypes."""


@dataclass(frozen=True)
class Model:
    """A model outside of torch.

    Attributes:
        layout: Which stretch of the vector is which tensor.
        vector: Its floating tensors, float32, shape ``(layout.size,)``.
        buffers: Its integer buffers by name, in their own shapes and dtypes.
    """

    layout: Layout
    vector: Vector
    buffers: Buffers


class Totals:
    """Adds models up, one at a time: in float64, in the order in which they come."""

    def __init__(self) -> None:
        self._layout: Layout | None = None
        self._sum = np.zeros(0)
        self._buffers: dict[str, NDArray[Any]] = {}
        self._count = 0

    def add(self, model: Model) -> None:
        """Add a model.

        Raises:
            LayoutError: it has another layout than the first.
        """
        if self._layout is None:
            self._layout = model.layout
            self._sum = np.zeros(model.layout.size)
            self._buffers = {name: np.array(array) for name, array in model.buffers.items()}
        if model.layout != self._layout:
            raise LayoutError("only models of one layout can be averaged")
        self._sum += model.vector
        self._count += 1
        for name, array in self._buffers.items():
            np.maximum(array, model.buffers[name], out=array)

    def mean(self) -> Model:
        """The mean of what was added, see `average`.

        Raises:
            LayoutError: nothing was.
        """
        if self._layout is None:
            raise LayoutError("an average is of one model at least; give it some")
        vector = (self._sum / self._count).astype(np.float32)
        return Model(self._layout, vector, dict(self._buffers))


def average(*models: Model) -> Model:
    """The mean of models, each with the same weight.

    Args:
        *models: one or more, of one layout.

    Returns:
        Each element added up in float64, in the order of the arguments, then divided and rounded to
        float32. An integer buffer is the maximum of all.

    Raises:
        LayoutError: there is none, or they are of different layouts.
        WrongType: one is no model.
    """
    totals = Totals()
    for model in models:
        if not isinstance(model, Model):
            raise WrongType("what is averaged", "a Model, as me.weights is", model)
        totals.add(model)
    return totals.mean()
