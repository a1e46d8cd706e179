"""The point whose distances from the workers' models have the least sum."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from actorfl.algorithm import Closed, ServerState
from actorfl.algorithms import coordinates
from actorfl.algorithms.geometry import Wide, by_value, pieces, squared, trained
from actorfl.algorithms.median import Median
from actorfl.layout import Vector
from actorfl.merging import Merged

# Distances below it count as it: a step at a model would divide by 0.
_SMOOTHING = 1e-6
_LEAST_CHANGE = 1e-6
_MOST_STEPS = 100


@dataclass(frozen=True)
class GeometricMedian(Median):
    """The geometric median of the workers' models.

    Pillutla et al., "Robust Aggregation for Federated Learning", IEEE Transactions on Signal
    Processing, 2022, Algorithm 2 (smoothed Weiszfeld) with equal weights:

        z <- sum of b_k y_k / sum of b_k,    b_k = 1 / max(1e-6, ||y_k - z||)

    from the median of each coordinate on, until z moves by less than 1e-6 of its distance from the
    nearest model, or 100 times. It withstands fewer than half of the workers sending anything, and
    unlike the median of each coordinate it does not depend on the axes. Distances are those of the
    trained parameters; floating buffers (running means of BatchNorm) take the median of each
    coordinate. All workers weigh the same, and the aggregator holds all models of a clock. It has
    no hyper-parameters.

    Degenerate values: one worker gives its own model, two give their mean; a model that half of the
    workers sent, and no other half another one, is the result.
    """

    def close(self, state: ServerState, terms: Merged, closed: Closed) -> ServerState:
        """The geometric median replaces the model."""
        spans = trained(terms.layout)
        models = sorted(terms.models["model"], key=by_value(spans))
        median = coordinates.median(models)  # stays in running statistics
        point: Vector | Wide | None = _of_half(models, spans)
        if point is None:
            point = _weiszfeld(models, median.astype(np.float64), spans)
        for span in spans:
            median[span] = point[span]
        return state.replaced(median + np.float32(0.0))  # -0.0 and 0.0 are told apart by nothing


def _of_half(models: Sequence[Vector], spans: Sequence[slice]) -> Vector | None:
    """The model that half of the sorted models are; None where none is, or two are."""
    alike = [list(run) for _, run in itertools.groupby(models, key=by_value(spans))]
    halves = [run[0] for run in alike if 2 * len(run) >= len(models)]
    return halves[0] if len(halves) == 1 else None


def _weiszfeld(models: Sequence[Vector], point: Wide, spans: Sequence[slice]) -> Wide:
    """Where the steps from a point lead; ``point`` is written to."""
    for _ in range(_MOST_STEPS):
        distances = np.sqrt(squared(models, point, spans))
        shares = 1.0 / np.maximum(_SMOOTHING, distances)
        shares /= math.fsum(shares)
        before = point.copy()
        for part in pieces(spans):
            point[part] = 0.0
            for model, share in zip(models, shares, strict=True):
                point[part] += share * model[part].astype(np.float64)
        moved = math.sqrt(squared([before], point, spans)[0])
        if moved <= _LEAST_CHANGE * max(_SMOOTHING, distances.min()):
            break
    return point
