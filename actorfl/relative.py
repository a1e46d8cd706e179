"""Models that travel as differences: what a worker's update adds to whatever the model is by now.

Under a barrier all workers start from the model that their mean replaces. Without one the model has
moved on since a worker read it, so the update is added: x <- x + p_k (y_k - x_read), where p_k is
the worker's share. An algorithm sees it as if all the others had sent the model as it is.

A gradient is a difference already: of it, p_k times it is what moves the model.

Running statistics travel as they are, and the model's move towards them by p_k: differences from
several versions could add up to a variance below 0, which is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from actorfl.algorithm import ServerState
from actorfl.exact import ExactSum
from actorfl.layout import Layout, Vector
from actorfl.merging import Merged
from actorfl.terms import Array, Sum, Terms


def differences(terms: Terms, names: Iterable[str], start: Vector, layout: Layout) -> Terms:
    """Terms whose models are taken as differences from the model that came down.

    Args:
        terms: a worker's own; they are changed.
        names: of those that are models.
        start: the model that came down.
        layout: of the model.
    """
    for name in names:
        term = terms.sums.get(name)
        if isinstance(term, Sum):
            terms.sums[name] = Sum(difference(term.array, start, layout), term.weight)
    return terms


def difference(model: Array, start: Vector, layout: Layout) -> Vector:
    """A model as its difference from the one that came down; a fresh vector."""
    delta = np.subtract(model, start, dtype=np.float32)
    return _with_statistics(delta, model, layout)


class Moved(ExactSum):
    """A sum of differences whose mean is a model: that from which they are counted, moved.

    Args:
        total: the differences.
        base: the model as it is.
        shares: what the weights are shares of; None: of what was added.

    Attributes:
        weight: with that of the others, who sent the model as it is.
    """

    def __init__(self, total: ExactSum, base: Vector, shares: int | None) -> None:
        self.__dict__.update(total.__dict__)  # the same memory, read in another way
        self._total = total
        self._base = base
        self._shares = shares
        if shares is not None:
            self.weight = shares

    @property
    def single(self) -> None:
        """None: no model came as it is."""
        return

    def mean(self, total: int | None = None) -> Vector:
        """The model, moved by the mean of the differences; a fresh vector."""
        divisor = self.weight if self._shares is not None or total is None else total
        by = self._total.mean(divisor)
        moved = np.add(self._base, by, dtype=np.float32)
        others = np.float32(1.0 - self._total.weight / divisor)
        for part in _statistics(self.layout):
            np.add(by[part], others * self._base[part], out=moved[part])
        return moved

    def sum(self) -> Vector:
        """So many models, moved by the sum of the differences; a fresh vector."""
        by = self._total.sum()
        moved = by + np.multiply(self._base, self.weight, dtype=np.float32)
        others = np.float32(self.weight - self._total.weight)
        for part in _statistics(self.layout):
            np.add(by[part], others * self._base[part], out=moved[part])
        return moved


def relative(
    merged: Merged,
    state: ServerState,
    names: Iterable[str],
    shares: int | None,
    gradients: Iterable[str] = (),
) -> Merged:
    """What was merged of differences, as the algorithm is to see it.

    Args:
        merged: with differences under the names of models.
        state: the model as it is, and its integer buffers, which never go down.
        names: of the terms that are models.
        shares: what the weights of a sum are shares of; None: of what was merged.
        gradients: names of the terms that are gradients.
    """
    base = state.weights
    view = Merged(
        sums=merged.sums,
        counts=merged.counts,
        means=merged.means,
        contributions=merged.contributions,
        examples=merged.examples,
        integers={
            name: np.asarray(np.maximum(array, state.buffers.get(name, array)))
            for name, array in merged.integers.items()
        },
        layout=merged.layout,
    )
    models = dict(merged.models)
    for name in names:
        if name in view.sums:
            view.sums[name] = Moved(view.sums[name], base, shares)
        if name in models:
            models[name] = tuple(
                _with_statistics(np.add(base, each, dtype=np.float32), each, merged.layout)
                for each in models[name]
            )
    for name in gradients:
        if name in view.sums and shares is not None:
            still = _with_statistics(np.zeros_like(base), base, merged.layout)
            view.sums[name] = Moved(view.sums[name], still, shares)
    view.models = models
    return view


def _statistics(layout: Layout) -> Iterator[slice]:
    """Where running statistics lie."""
    return (part.slice for part in layout if part.kind == "buffer")


def _with_statistics(vector: Vector, of: Array, layout: Layout) -> Vector:
    """The vector, written in place, with the running statistics of another."""
    for part in _statistics(layout):
        vector[part] = of[part]
    return vector
