"""The reservoir of a deep echo-state network, drawn from a seed, and the states that it takes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from actorfl.errors import WrongValue
from actorfl.ranges import check_count, check_number

Floats: TypeAlias = NDArray[np.float64]

_UNITS_MAX: Final = 4096  # of a layer: its eigenvalues take minutes beyond
_LAYERS_MAX: Final = 64
_INPUTS_MAX: Final = 4096
SEED_MAX: Final = 2**63 - 1


class Layer(NamedTuple):
    """The weights of one layer of N units that reads m values.

    Attributes:
        inputs: shape ``(N, m)``, called W_in.
        bias: shape ``(N,)``, called theta.
        recurrent: shape ``(N, N)``, called W hat.
    """

    inputs: Floats
    bias: Floats
    recurrent: Floats


@dataclass(frozen=True)
class Reservoir:
    """A deep echo-state network without its readout.

    Gallicchio, Micheli and Pedrelli, "Deep reservoir computing: a critical experimental analysis",
    Neurocomputing 268, 2017. Layer l reads the layer below, the first one the series u:

        x_l(t) = (1 - a) x_l(t - 1) + a tanh(W_in_l i_l(t) + theta_l + W_l x_l(t - 1))
        i_1 = u,  i_l = x_{l-1}(t)

    All weights are uniform in [-1, 1] before they are scaled: W_in by `scale`, theta by `bias`, and
    W, of which the share `density` is not 0, to the spectral radius `radius`. They follow from the
    fields alone, so equal reservoirs are the same network wherever they are drawn.

    Attributes:
        inputs: channels of the series, 1 to 4096.
        layers: 1 to 64.
        units: of each layer, 1 to 4096.
        radius: spectral radius of W in each layer, above 0 and below 1.
        leak: the leaking rate a, above 0, at most 1; 1 is without leaking.
        density: share of the weights in W that are not 0, above 0, at most 1.
        scale: largest weight from what a layer reads, above 0.
        bias: largest bias, at least 0.
        seed: from which all is drawn, 0 to 2^63 - 1.

    Raises:
        WrongType: a value is no number.
        WrongValue: a value is out of range.
    """

    inputs: int = 1
    layers: int = 3
    units: int = 100
    radius: float = 0.9
    leak: float = 0.5
    density: float = 0.1
    scale: float = 0.5
    bias: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_count(self, "inputs", 1, _INPUTS_MAX)
        check_count(self, "layers", 1, _LAYERS_MAX)
        check_count(self, "units", 1, _UNITS_MAX)
        check_number(self, "radius", "above 0 and below 1", lambda value: 0 < value < 1)
        check_number(self, "leak", "above 0, at most 1", lambda value: 0 < value <= 1)
        check_number(self, "density", "above 0, at most 1", lambda value: 0 < value <= 1)
        check_number(self, "scale", "above 0", lambda value: value > 0)
        check_number(self, "bias", "at least 0", lambda value: value >= 0)
        check_count(self, "seed", 0, SEED_MAX)

    @property
    def features(self) -> int:
        """Values of a state: those of all units, and a 1 for the readout's constant."""
        return self.layers * self.units + 1

    @property
    def weights(self) -> tuple[Layer, ...]:
        """The weights of each layer, drawn once in a process; not to be written to.

        Raises:
            WrongValue: so few weights are not 0 that a layer has no cycle, and so no radius.
        """
        return _drawn(self)

    @property
    def leaky_radius(self) -> float:
        """The largest spectral radius of (1 - a) I + a W: below 1, so that states forget."""
        units = np.eye(self.units)
        return max(
            _radius((1 - self.leak) * units + self.leak * layer.recurrent) for layer in self.weights
        )

    def states(self, series: Floats) -> Floats:
        """What the reservoir makes of one segment of a series, from rest.

        Args:
            series: shape ``(T, inputs)``.

        Returns:
            The units of all layers and a last column of ones, shape ``(T, features)``; all lie in
            [-1, 1].
        """
        states = np.ones((len(series), self.features))
        reads = np.asarray(series, np.float64)
        for place, layer in enumerate(self.weights):
            drive = reads @ layer.inputs.T + layer.bias
            reads = states[:, place * self.units : (place + 1) * self.units]
            now = np.zeros(self.units)
            for row, driven in zip(reads, drive, strict=True):
                now = (1 - self.leak) * now + self.leak * np.tanh(driven + layer.recurrent @ now)
                row[:] = now
        return states


def segments(steps: NDArray[np.int64]) -> list[slice]:
    """The stretches of a series in which each step follows the one before.

    Args:
        steps: number of each row's step, shape ``(T,)``.
    """
    breaks = np.flatnonzero(np.diff(steps) != 1) + 1
    bounds = [0, *breaks.tolist(), len(steps)]
    return [slice(start, stop) for start, stop in pairwise(bounds)]


def washed(
    reservoir: Reservoir, series: Floats, steps: NDArray[np.int64], washout: int
) -> tuple[Floats, NDArray[np.int64]]:
    """The states of all segments, each from rest and without its first steps.

    Args:
        reservoir: what takes them.
        series: shape ``(T, inputs)``.
        steps: number of each row's step, shape ``(T,)``.
        washout: steps at the beginning of each segment whose states still tell of the rest that
            they began from; at least 0.

    Returns:
        The states, shape ``(n, features)``, and the rows of the series that they stand at, shape
        ``(n,)``. A segment no longer than the washout gives none.
    """
    kept = [part for part in segments(steps) if part.stop - part.start > washout]
    if not kept:
        return np.empty((0, reservoir.features)), np.empty(0, np.int64)
    states = [reservoir.states(series[part])[washout:] for part in kept]
    rows = [np.arange(part.start + washout, part.stop, dtype=np.int64) for part in kept]
    return np.concatenate(states), np.concatenate(rows)


@lru_cache(maxsize=8)  # every node of a process asks for the same one
def _drawn(reservoir: Reservoir) -> tuple[Layer, ...]:
    draw = np.random.Generator(np.random.PCG64(reservoir.seed))
    layers, reads = [], reservoir.inputs
    for place in range(reservoir.layers):
        inputs = reservoir.scale * draw.uniform(-1, 1, (reservoir.units, reads))
        bias = reservoir.bias * draw.uniform(-1, 1, reservoir.units)
        size = (reservoir.units, reservoir.units)
        recurrent = draw.uniform(-1, 1, size) * (draw.random(size) < reservoir.density)
        found = _radius(recurrent)
        if found < np.finfo(np.float32).tiny:
            need = f"more, so that layer {place + 1} of {reservoir.units} units has a cycle"
            raise WrongValue("`density` of Reservoir", need, reservoir.density)
        # Eigenvalues differ in their last bits from one build of LAPACK to another, and the network
        # must not: rounded to float32 they are the same.
        recurrent *= float(np.float32(reservoir.radius / found))
        for array in (inputs, bias, recurrent):
            array.flags.writeable = False
        layers.append(Layer(inputs, bias, recurrent))
        reads = reservoir.units
    return tuple(layers)


def _radius(matrix: Floats) -> float:
    return float(np.abs(np.linalg.eigvals(matrix)).max())
