"""Holding all models of a clock, for rules that look at each: medians, trimming, clipping."""

from __future__ import annotations

from typing import Final

import numpy as np

from actorfl.errors import Misfit
from actorfl.grid import Grid
from actorfl.layout import Layout, Vector
from actorfl.merging import Merged, Merger, Refused
from actorfl.terms import Array, Sum, Terms, Whole

#: Bytes that the models of one clock may take: such a rule holds one for each worker, where a sum
#: takes two models whatever the number of workers.
MOST_HELD: Final = 1 << 32


class Holder(Merger):
    """The vectors of one clock, each as it came; none is added to another.

    They come from workers one by one, or from aggregators below several at once. Its memory is 4
    bytes per element, term and worker, kept for the next clock. What is refused
    does not depend on the grid: a rule that is to withstand a huge value must see it.

    Args:
        layout: of the model.
        grid: of the clock.
        clock: contributions of other clocks are refused.
    """

    def __init__(self, layout: Layout, grid: Grid, clock: int) -> None:
        self._held: dict[str, dict[str, Vector]] = {}
        self._spare: dict[tuple[str, str], Vector] = {}
        self._weights: dict[str, int] = {}
        super().__init__(layout, grid, clock)

    def restart(self, grid: Grid, clock: int) -> None:
        """Forget everything and begin another clock."""
        super().restart(grid, clock)
        for name, vectors in self._held.items():
            self._spare.update({(name, worker): vector for worker, vector in vectors.items()})
        self._held = {}
        self._weights = {}

    def merged(self) -> Merged:
        """What came so far; its vectors are this object's memory."""
        merged = super().merged()
        merged.models = {
            name: tuple(vectors[worker] for worker in sorted(vectors))
            for name, vectors in self._held.items()
        }
        return merged

    def partial(self) -> Terms:
        """What came so far as terms for the level above, whole; arrays are fresh.

        Raises:
            ValueError: nothing came.
        """
        terms = super().partial()
        for name, vectors in self._held.items():
            rows = np.stack([vectors[worker] for worker in sorted(vectors)])
            terms.whole[name] = Whole(rows, self._weights[name])
        return terms

    def _check_whole(self, terms: Terms) -> None:
        """Refuse vectors that are not one of this model for each contribution."""
        shape = (len(terms.contributions), self.layout.size)
        for name, term in terms.whole.items():
            if term.array.dtype.name != "float32":
                what = f"term {name!r} is {term.array.dtype}, expected float32"
                raise Refused("dtype", terms.contributions, what)
            if term.array.shape != shape:
                what = f"term {name!r} has shape {term.array.shape}, expected {shape}"
                raise Refused("shape", terms.contributions, what)

    def _take(self, terms: Terms) -> int:
        whole = dict(terms.whole)
        for name, term in terms.sums.items():
            if not isinstance(term, Sum) or len(terms.contributions) != 1:
                raise Refused("dtype", terms.contributions, f"term {name!r} is not one model")
            whole[name] = Whole(term.array[np.newaxis], term.weight)
        for name, each in whole.items():
            for row in each.array:
                self._check_finite(terms, name, row)
        workers = [contribution.worker for contribution in sorted(terms.contributions)]
        for name, each in whole.items():
            self._weights[name] = self._weights.get(name, 0) + each.weight
            for worker, row in zip(workers, each.array, strict=True):
                vector = self._spare.pop((name, worker), None)
                if vector is None:
                    vector = np.empty(self.layout.size, dtype=np.float32)
                np.copyto(vector, row)
                self._held.setdefault(name, {})[worker] = vector
        return 0

    def _check_finite(self, terms: Terms, name: str, array: Array) -> None:
        for part in self.layout:
            values = array[part.slice]
            bad = np.flatnonzero(~np.isfinite(values))
            if bad.size:
                raise Refused(
                    "non-finite",
                    terms.contributions,
                    f"term {name!r}: part {part.name!r} holds {values[bad[0]]} at element "
                    f"{int(bad[0])}; lower the learning rate if training diverged, else look at "
                    "the data",
                )


def check_held(rule: str, layout: Layout, workers: int, beside: int = 0) -> None:
    """Refuse more than a machine is to hold, before anything came.

    Args:
        rule: that holds them, for people.
        layout: of a model.
        workers: whose models are held.
        beside: models in a tree that are on their way beside them.

    Raises:
        Misfit: the models of a clock take more than ``MOST_HELD``.
    """
    size = 4 * layout.size * (workers + beside)
    if size > MOST_HELD:
        more = f" and {beside} on their way" if beside else ""
        raise Misfit(
            f"{rule} holds the models of all {workers} workers{more}, {size / 2**30:.1f} GiB, "
            f"more than the {MOST_HELD / 2**30:.1f} GiB that an aggregator may; use fewer workers, "
            "a smaller model, or an algorithm that adds"
        )
