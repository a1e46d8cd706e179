"""What a node sends of its model: all of it, a random part, or one part of a fixed partition."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from actorfl.layout import Layout
from actorfl.ranges import check_count, check_number

Indices: TypeAlias = NDArray[np.intp]

_MOST_PARTS: Final = 4096
# Names of tensors that go with every message: they are few numbers, and all coordinates need them.
_BIAS: Final = "bias"


@dataclass(frozen=True)
class Whole:
    """All of the model."""

    @property
    def parts(self) -> int:
        """One."""
        return 1


@dataclass(frozen=True)
class SubSampled:
    """A random subset of the coordinates, drawn for each message; biases go with each.

    Of d coordinates floor(share d) or one more are sent, drawn such that the mean is share d. With
    a period that is shorter by the same factor it takes the bandwidth of whole models.

    Args:
        share: of the coordinates, above 0 and at most 1.

    Raises:
        WrongType: it is no number.
        WrongValue: it is out of range.
    """

    share: float

    def __post_init__(self) -> None:
        check_number(self, "share", "above 0 and at most 1", lambda x: 0 < x <= 1)

    @property
    def parts(self) -> int:
        """One: all coordinates have one age."""
        return 1

    def drawn(self, coordinates: int, draw: np.random.Generator) -> Indices:
        """The places of those that are sent, in rising order.

        Args:
            coordinates: how many there are.
            draw: where the number and the places come from.
        """
        exact = self.share * coordinates
        count = math.floor(exact)
        count += int(draw.random() < exact - count)
        return np.sort(draw.permutation(coordinates)[:count])


@dataclass(frozen=True)
class Partitioned:
    """One part of the model a message; coordinate i is in part i mod S, biases go with each.

    Each part has an age of its own and each of its coordinates the learning rate that follows from
    it, so what arrives rarely is not taken for older than it is. Degenerate value: one part is
    ``Whole``, bit for bit.

    Args:
        parts: S, 1 to 4096.

    Raises:
        WrongType: it is no whole number.
        WrongValue: it is out of range.
    """

    parts: int

    def __post_init__(self) -> None:
        check_count(self, "parts", 1, _MOST_PARTS)


Send: TypeAlias = Whole | SubSampled | Partitioned


class Coordinates:
    """Which coordinates of a model belong to which part.

    Args:
        layout: of the model.
        parts: S, at least 1.

    Attributes:
        size: coordinates of the model.
        biases: places of what goes with each message.
        weights: places of all others, in order.
        parts: of the weights, the places of each part.
        sent: where there are several parts, what is in a message of each: its places, then the
            biases.
        part_of: for each coordinate its part, 0 to S - 1, and S for a bias.
    """

    def __init__(self, layout: Layout, parts: int) -> None:
        self.size = layout.size
        is_bias = np.zeros(layout.size, bool)
        for part in layout.parts:
            if part.name.rpartition(".")[2].endswith(_BIAS):
                is_bias[part.slice] = True
        self.biases: Indices = np.flatnonzero(is_bias)
        self.weights: Indices = np.flatnonzero(~is_bias)
        self.parts: tuple[Indices, ...] = tuple(self.weights[at::parts] for at in range(parts))
        cut = self.parts if parts > 1 else ()  # one part is the whole model, or drawn each time
        self.sent: tuple[Indices, ...] = tuple(map(self.with_biases, cut))
        self.part_of: Indices = np.full(layout.size, parts, np.intp)
        for at, places in enumerate(self.parts):
            self.part_of[places] = at

    def with_biases(self, places: Indices) -> Indices:
        """Places of weights, and then those of all biases."""
        return np.concatenate((places, self.biases))

    def __repr__(self) -> str:
        sizes = sorted({len(places) for places in self.parts})
        return f"<Coordinates {self.size} in {len(self.parts)} parts of {sizes}>"
