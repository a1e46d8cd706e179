"""Where a model is cut into the pieces that the shards of a parameter server hold."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import prod
from typing import NamedTuple

from actorfl.errors import Misfit
from actorfl.grid import Grid
from actorfl.layout import MAX_NAME, Layout, Part, Shape

#: Elements: a cut within a tensor begins a cache line of 64 bytes of it.
_STEP = 16
# A piece of a tensor is named "name[begin:end]", and its name is bounded as others are.
_MOST_ADDED = 40


class Piece(NamedTuple):
    """A part of a model, or a stretch of one, that lies in one shard.

    Attributes:
        part: its index in the layout of the model.
        name: the part's name; of a stretch with where it begins and ends, ``"w[0:640]"``.
        shape: the part's shape; of a stretch its length.
        begin: index of its first element in the part.
    """

    part: int
    name: str
    shape: Shape
    begin: int


@dataclass(frozen=True)
class Cut:
    """A model cut into stretches of its flat vector, one for each shard, none of them empty.

    A function of the tensors' shapes and the number of shards alone, so that all who know the model
    cut it alike. Cuts lie where a tensor ends, and within a tensor that is larger than an equal
    share at multiples of 16 elements; of those, as near to equal shares as they come.

    Attributes:
        shapes: (name, shape) of the parts, in order.
        bounds: where the stretches begin and end in the vector, one more than there are shards.
    """

    shapes: tuple[tuple[str, Shape], ...]
    bounds: tuple[int, ...]

    @classmethod
    def of(cls, shapes: Sequence[tuple[str, Shape]], shards: int) -> Cut:
        """Cut a model.

        Args:
            shapes: (name, shape) of its parts, in order.
            shards: into how many stretches, at least 1.

        Raises:
            Misfit: it cannot be cut into so many.
        """
        places = _Places([(prod(shape), len(name.encode())) for name, shape in shapes], shards)
        bounds = [0]
        for index in range(1, shards):
            place = places.nearest(index)
            bounds.append(place if place > bounds[-1] else places.after(bounds[-1]))
        bounds.append(places.size)
        for index in range(shards - 1, 0, -1):
            if bounds[index] >= bounds[index + 1]:
                bounds[index] = places.before(bounds[index + 1])
        if any(low >= high for low, high in pairwise(bounds)):
            raise Misfit(
                f"a model of {len(shapes)} tensors and {places.size} numbers cannot be cut into "
                f"{shards} pieces, which lie apart at ends of tensors or by {_STEP} numbers; give "
                "the topology fewer shards"
            )
        return cls(tuple(shapes), tuple(bounds))

    def __len__(self) -> int:
        """How many stretches there are."""
        return len(self.bounds) - 1

    def slice(self, shard: int) -> slice:
        """Where the stretch of a shard lies in the vector."""
        return slice(self.bounds[shard], self.bounds[shard + 1])

    def pieces(self, shard: int) -> Iterator[Piece]:
        """What a shard holds, in the order of the model."""
        low, high = self.bounds[shard], self.bounds[shard + 1]
        last = shard == len(self) - 1
        offset = 0
        for index, (name, shape) in enumerate(self.shapes):
            start, stop = offset, offset + prod(shape)
            offset = stop
            begin, end = max(start, low), min(stop, high)
            empty = start == stop and low <= start and (start < high or last)
            if begin < end or empty:
                if (begin, end) == (start, stop) or empty:
                    yield Piece(index, name, shape, 0)
                else:
                    stretch = f"{name}[{begin - start}:{end - start}]"
                    yield Piece(index, stretch, (end - begin,), begin - start)

    def shapes_of(self, shard: int) -> tuple[tuple[str, Shape], ...]:
        """(name, shape) of what a shard holds."""
        return tuple((piece.name, piece.shape) for piece in self.pieces(shard))

    def layout(self, whole: Layout, shard: int) -> Layout:
        """The layout of a shard's stretch; integer buffers are in that of the first one."""
        parts: list[Part] = []
        offset = 0
        for piece in self.pieces(shard):
            of = whole.parts[piece.part]
            parts.append(Part(piece.name, piece.shape, offset, of.origin, of.kind))
            offset = parts[-1].stop
        return Layout(tuple(parts), whole.integers if shard == 0 else ())

    def tops(self, of: Sequence[Sequence[float]]) -> tuple[float, ...]:
        """The largest magnitude in each part of the model, from those in the parts of each shard.

        A tensor that is cut has one grid, that of the whole.
        """
        tops = [0.0] * len(self.shapes)
        for shard, found in enumerate(of):
            for piece, top in zip(self.pieces(shard), found, strict=True):
                tops[piece.part] = max(tops[piece.part], top)
        return tuple(tops)

    def grid(self, whole: Grid, shard: int) -> Grid:
        """The grid of a shard's parts: that of the model where they lie."""
        exponents = tuple(whole.exponents[piece.part] for piece in self.pieces(shard))
        return Grid(exponents, whole.total, whole.widened)


class _Places:
    """Where a vector may be cut."""

    def __init__(self, parts: Sequence[tuple[int, int]], shards: int) -> None:
        sizes = [(size, length) for size, length in parts if size]
        self.size = sum(size for size, _ in sizes)
        self._shards = shards
        self._ends = list(accumulate(size for size, _ in sizes))
        self._within = [
            size * shards > self.size and length <= MAX_NAME - _MOST_ADDED for size, length in sizes
        ]

    def nearest(self, index: int) -> int:
        """The place that is nearest to ``index`` equal shares; of two the lower one."""
        ideal = index * self.size  # all times the number of shards, to stay whole
        low = self.before(ideal // self._shards + 1)
        high = self.after(ideal // self._shards)
        return min(low, high, key=lambda place: abs(place * self._shards - ideal))

    def after(self, place: int) -> int:
        """The first place behind another one; the end of the vector is the last."""
        if place >= self.size:
            return self.size
        number = bisect_right(self._ends, place)
        start, stop = self._stretch(number)
        if not self._within[number]:
            return stop
        return min(stop, start + ((place - start) // _STEP + 1) * _STEP)

    def before(self, place: int) -> int:
        """The last place before another one; the beginning of the vector is the first."""
        if place <= 0 or not self._ends:
            return 0
        number = bisect_right(self._ends, min(place, self.size) - 1)
        start, _ = self._stretch(number)
        if not self._within[number]:
            return start
        return start + (min(place, self.size) - 1 - start) // _STEP * _STEP

    def _stretch(self, number: int) -> tuple[int, int]:
        return (self._ends[number - 1] if number else 0), self._ends[number]
