"""How a readout and the moments that it is made from lie in the flat float32 vector of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from actorfl.errors import ConfigError
from actorfl.esn import limbs
from actorfl.esn.moments import Moments, length
from actorfl.esn.reservoir import Floats
from actorfl.exact import ExactSum
from actorfl.layout import Kind, Layout, Origin, Vector

_HIGH: Final = "readout.high"
_LOW: Final = "readout.low"
_MOMENTS: Final = tuple(f"moments.{place}" for place in range(limbs.LIMBS))


@dataclass(frozen=True)
class Form:
    """The readout as the sum of two float32 (48 bits), the moments as four limbs of 24 bits.

    A model has both: what comes down is a readout, with moments of zeros, and what a worker makes
    of its data are moments, with a readout of zeros.

    Attributes:
        features: d, values of a state.
        outputs: o, values that come out.
    """

    features: int
    outputs: int

    @classmethod
    def of(cls, layout: Layout, needed_by: str) -> Self:
        """That of a layout.

        Raises:
            ConfigError: the model is no readout.
        """
        first = layout.parts[0] if layout.parts else None
        if first is not None and first.name == _HIGH and len(first.shape) == 2:
            form = cls(*first.shape)
            if form.layout == layout:
                return form
        raise ConfigError(
            f"{needed_by} solves for the readout of an echo-state network, and this model is "
            "another; give it an EchoStateTask"
        )

    @property
    def layout(self) -> Layout:
        """Names the parts."""
        shape, kept = (self.features, self.outputs), (length(self.features, self.outputs),)
        origin: Origin = "float32"
        kind: Kind = "parameter"
        return Layout.build(
            [
                (_HIGH, shape, origin, kind),
                (_LOW, shape, origin, kind),
                *((name, kept, origin, kind) for name in _MOMENTS),
            ]
        )

    def of_readout(self, readout: Floats) -> Vector:
        """A model that holds a readout of shape ``(d, o)``."""
        vector, size = self._zeros(), readout.size
        vector[:size], vector[size : 2 * size] = limbs.to_pair(readout.ravel())
        return vector

    def readout(self, vector: Vector) -> Floats:
        """The readout that a model holds, shape ``(d, o)``."""
        size = self.features * self.outputs
        pair = limbs.from_pair(vector[:size], vector[size : 2 * size])
        return pair.reshape(self.features, self.outputs)

    def of_moments(self, moments: Moments) -> Vector:
        """A model that holds moments, to 2^-60.

        Raises:
            BeyondLimbs: one of them is 2^35 or more, or not finite.
        """
        vector = self._zeros()
        vector[self._start :] = limbs.to_limbs(moments.vector()).ravel()
        return vector

    def moments(self, vector: Vector) -> Moments:
        """The moments that a model holds."""
        found = limbs.from_limbs(vector[self._start :].reshape(limbs.LIMBS, -1))
        return Moments.from_vector(found, self.features, self.outputs)

    def summed(self, total: ExactSum) -> Moments:
        """The moments in an exact sum of models with weight 1: the same in whatever order."""
        units, exponents = total.units(), total.grid.exponents
        layout = total.layout
        sums = np.stack([
            limbs.units_to_sums(units[part.slice], exponent)
            for part, exponent in zip(layout.parts, exponents, strict=True)
            if part.name in _MOMENTS
        ])  # fmt: skip
        return Moments.from_vector(limbs.from_sums(sums), self.features, self.outputs)

    @property
    def _start(self) -> int:
        return 2 * self.features * self.outputs

    def _zeros(self) -> Vector:
        kept = limbs.LIMBS * length(self.features, self.outputs)
        return np.zeros(self._start + kept, np.float32)
