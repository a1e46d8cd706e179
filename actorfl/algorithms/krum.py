"""The one model that lies nearest to its neighbours."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from actorfl.algorithm import Closed, ServerState
from actorfl.algorithms import coordinates
from actorfl.algorithms.geometry import by_value, squared_between, trained
from actorfl.algorithms.median import Median
from actorfl.errors import Misfit
from actorfl.local import SGD
from actorfl.merging import Merged
from actorfl.ranges import check_count


@dataclass(frozen=True)
class Krum(Median):
    """The worker's model that lies nearest to those around it.

    Blanchard et al., "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent",
    NeurIPS 2017, section 4, with models in place of gradients; of n models:

        score_i = sum of the squared distances from y_i to the n - f - 2 models nearest to it
        x <- the y_i with the least score

    It withstands ``f`` workers that send anything, together too. Among equal scores the lower model
    is taken, by the first value in which they differ. Distances are those of the trained
    parameters; floating buffers (running means of BatchNorm) take the median of each coordinate.
    All workers weigh the same. The aggregator holds all models of a clock and 8 bytes for each pair
    of them, and the time of a merge grows with the square of their number.

    Degenerate values: one model is its own result. Where workers were refused or have left and
    fewer than 2f + 3 are left, it goes on with the largest f that those allow, and says so.

    Attributes:
        f: workers that may send anything, at least 0; there are more than 2f + 2 in all.

    Raises:
        WrongType: f is no whole number.
        WrongValue: f is negative.
        Misfit: by ``check_run``, where there are too few workers.
    """

    f: int = 1

    def __post_init__(self) -> None:
        check_count(self, "f", 0)

    def check_run(self, local: SGD, workers: int) -> None:
        """Refuse to tell liars among too few."""
        least = 2 * self.f + 3
        if workers < least:
            raise Misfit(
                f"{type(self).__name__} with f={self.f} needs at least {least} workers, and there "
                f"are {workers}; {'lower `f`' if self.f else 'use Median'} or add workers"
            )

    def shortfall(self, updates: int) -> str:
        """With fewer than 2f + 3 it withstands fewer."""
        f = self._withstood(updates)
        if f == self.f:
            return ""
        return (
            f"{type(self).__name__} with f={self.f} needs {2 * self.f + 3} updates, and {updates} "
            f"came; it went on with f={f}"
        )

    def close(self, state: ServerState, terms: Merged, closed: Closed) -> ServerState:
        """The mean of those with the best scores replaces the model; of Krum it is one."""
        spans = trained(terms.layout)
        models = sorted(terms.models["model"], key=by_value(spans))
        f = self._withstood(len(models))
        scores = [
            # The nearest of all is the model itself.
            math.fsum(np.sort(distances)[1 : len(models) - f - 1])
            for distances in squared_between(models, spans)
        ]
        best = np.argsort(scores, kind="stable")[: self._chosen(len(models), f)]
        weights = coordinates.trimmed_mean([models[i] for i in best], 0)
        return state.replaced(coordinates.with_median_statistics(models, weights, terms.layout))

    def _withstood(self, models: int) -> int:
        """How many of so many may send anything, at the most f."""
        return min(self.f, max(0, (models - 3) // 2))

    def _chosen(self, models: int, f: int) -> int:
        """How many of the models are taken, at least one."""
        return 1
