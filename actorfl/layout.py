"""The layout of a model as one flat float32 vector.

An aggregator knows no torch: to it a model is one contiguous float32 vector plus a few integer
buffers (BatchNorm's ``num_batches_tracked``). The layout says which stretch of the vector is which
tensor, so that refusals can name a part, grids can be made per tensor and algorithms can treat
parts differently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from math import prod
from typing import Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from actorfl.errors import ActorflError

Vector: TypeAlias = npt.NDArray[np.float32]
"""A model, or anything of its size: one-dimensional, contiguous, float32."""

Shape: TypeAlias = tuple[int, ...]
Origin: TypeAlias = Literal["float32", "float16", "bfloat16"]
Kind: TypeAlias = Literal["parameter", "buffer"]

INTEGER_DTYPES = frozenset(
    {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}
)

# A layout arrives from other nodes. The largest public models have some 10,000 tensors and names of
# 100 bytes; these bounds stop a header that would make an aggregator allocate without end.
MAX_PARTS = 1 << 16
MAX_NAME = 480  # bytes of UTF-8; `transports` carries names of 512, and ours get a prefix
MAX_DIMENSIONS = 32  # numpy 1.x stops at 32
MAX_ELEMENTS = 1 << 40  # 4 TiB of float32; keeps every offset far inside int64


class LayoutError(ActorflError, ValueError):
    """A layout that contradicts itself, or a vector that does not fit its layout."""


class Part(msgspec.Struct, frozen=True, array_like=True):
    """One floating tensor: a stretch of the flat vector.

    Attributes:
        name: the tensor's name in the model's ``state_dict``.
        shape: its shape; ``()`` is one element.
        offset: index of its first element in the vector.
        origin: the dtype it has in the model; the vector always holds float32.
        kind: ``"parameter"`` (trained) or ``"buffer"`` (running statistics).
    """

    name: str
    shape: Shape
    offset: int
    origin: Origin = "float32"
    kind: Kind = "parameter"

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def stop(self) -> int:
        """Index behind the last element in the vector."""
        return self.offset + self.size

    @property
    def slice(self) -> slice:
        """The stretch of the flat vector."""
        return slice(self.offset, self.stop)


class IntegerBuffer(msgspec.Struct, frozen=True, array_like=True):
    """One integer (or bool) buffer, kept aside and merged by maximum.

    Attributes:
        name: the buffer's name in the model's ``state_dict``.
        shape: its shape; a counter has ``()``.
        dtype: numpy's name of its dtype, which merging keeps.
    """

    name: str
    shape: Shape
    dtype: str


class Layout(msgspec.Struct, frozen=True, array_like=True):
    """The ordered parts of a model's flat vector, and its integer buffers.

    Attributes:
        parts: floating tensors in ``state_dict`` order, without gap from offset 0; tied ones once.
        integers: integer buffers, in ``state_dict`` order.

    Raises:
        LayoutError: names are double, empty or too long, shapes are negative or too large, or the
            offsets leave gaps or overlap.
    """

    parts: tuple[Part, ...]
    integers: tuple[IntegerBuffer, ...] = ()

    def __post_init__(self) -> None:
        if len(self.parts) + len(self.integers) > MAX_PARTS:
            raise LayoutError(
                f"a layout holds at most {MAX_PARTS} tensors, this one has "
                f"{len(self.parts) + len(self.integers)}"
            )
        seen: set[str] = set()
        offset = 0
        for part in self.parts:
            _check_tensor(part.name, part.shape, seen)
            if part.offset != offset:
                raise LayoutError(
                    f"part {part.name!r} begins at {part.offset}, but the parts before it end at "
                    f"{offset}: parts must follow each other without gap"
                )
            offset += part.size
        if offset > MAX_ELEMENTS:
            raise LayoutError(f"a model of {offset} elements is larger than {MAX_ELEMENTS}")
        for buffer in self.integers:
            _check_tensor(buffer.name, buffer.shape, seen)
            if buffer.dtype not in INTEGER_DTYPES:
                raise LayoutError(
                    f"integer buffer {buffer.name!r} has dtype {buffer.dtype!r}; integers and bool "
                    "are kept aside, floating tensors belong into parts"
                )

    @classmethod
    def build(
        cls,
        tensors: Iterable[tuple[str, Sequence[int], Origin, Kind]],
        integers: Iterable[tuple[str, Sequence[int], str]] = (),
    ) -> Layout:
        """Lay floating tensors one after another.

        Args:
            tensors: (name, shape, dtype of origin, kind) of each floating tensor, in order.
            integers: (name, shape, dtype) of each integer buffer.

        Raises:
            LayoutError: see the class.
        """
        parts: list[Part] = []
        offset = 0
        for name, shape, origin, kind in tensors:
            part = Part(name, tuple(int(n) for n in shape), offset, origin, kind)
            parts.append(part)
            offset = part.stop
        return cls(
            tuple(parts),
            tuple(
                IntegerBuffer(name, tuple(int(n) for n in shape), dtype)
                for name, shape, dtype in integers
            ),
        )

    @classmethod
    def of(cls, tensors: Mapping[str, npt.NDArray[np.generic]]) -> Layout:
        """The layout of named arrays: float32 and float16 are parts, all others integers.

        Raises:
            LayoutError: an array is of another floating dtype, or see the class.
        """
        floating: list[tuple[str, Sequence[int], Origin, Kind]] = []
        integers: list[tuple[str, Sequence[int], str]] = []
        for name, array in tensors.items():
            if array.dtype == np.float32:
                floating.append((name, array.shape, "float32", "parameter"))
            elif array.dtype == np.float16:
                floating.append((name, array.shape, "float16", "parameter"))
            else:
                integers.append((name, array.shape, array.dtype.name))
        return cls.build(floating, integers)

    @property
    def size(self) -> int:
        """Number of elements of the flat vector."""
        return self.parts[-1].stop if self.parts else 0

    @property
    def nbytes(self) -> int:
        """Bytes of the flat vector."""
        return 4 * self.size

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parts, in order."""
        return tuple(part.name for part in self.parts)

    @property
    def shapes(self) -> tuple[tuple[str, Shape], ...]:
        """(name, shape) of the parts, in order: what an update states about itself."""
        return tuple((part.name, part.shape) for part in self.parts)

    def part(self, name: str) -> Part:
        """The part of that name.

        Raises:
            KeyError: there is none.
        """
        for part in self.parts:
            if part.name == name:
                return part
        raise KeyError(f"the model has no part {name!r}; it has {_listed(self.names)}")

    def at(self, index: int) -> Part:
        """The part that holds element ``index`` of the vector.

        Raises:
            IndexError: the index lies outside the vector.
        """
        for part in self.parts:
            if part.offset <= index < part.stop:
                return part
        raise IndexError(f"element {index} lies outside a vector of {self.size}")

    def match(self, pattern: str) -> tuple[Part, ...]:
        """Parts whose name matches a case-sensitive glob such as ``"head.*"``; may be empty."""
        return tuple(part for part in self.parts if fnmatchcase(part.name, pattern))

    def view(self, vector: Vector, name: str) -> Vector:
        """A view of one part in its own shape: writing to it writes to the vector."""
        part = self.part(name)
        return vector[part.slice].reshape(part.shape)

    def views(self, vector: Vector) -> dict[str, Vector]:
        """Views of all parts by name, in their own shapes, without a copy.

        Raises:
            LayoutError: the vector does not fit (see ``check``).
        """
        self.check(vector)
        return {part.name: vector[part.slice].reshape(part.shape) for part in self.parts}

    def zeros(self) -> Vector:
        """A fresh vector of zeros."""
        return np.zeros(self.size, dtype=np.float32)

    def flatten(self, tensors: Mapping[str, npt.NDArray[np.generic]]) -> Vector:
        """Copy named arrays into one fresh vector; names, shapes and dtypes must be the layout's.

        Raises:
            LayoutError: a name is missing or unknown, or a shape or dtype differs.
        """
        difference = self.difference((n, a.shape) for n, a in tensors.items())
        if difference is not None:
            raise LayoutError(difference[1])
        vector = np.empty(self.size, dtype=np.float32)
        for part in self.parts:
            array = tensors[part.name]
            if array.dtype not in (np.float32, np.float16):
                raise LayoutError(f"part {part.name!r} is {array.dtype}, expected float32")
            vector[part.slice] = array.reshape(-1)
        return vector

    def check(self, vector: npt.NDArray[np.generic]) -> None:
        """Refuse what is not a float32 vector of the layout's size.

        Raises:
            LayoutError: dtype, dimensions or size differ.
        """
        if vector.dtype != np.float32 or vector.shape != (self.size,):
            raise LayoutError(
                f"expected a float32 vector of shape ({self.size},), got {vector.dtype} of shape "
                f"{vector.shape}"
            )

    def difference(
        self, shapes: Iterable[tuple[str, Sequence[int]]]
    ) -> tuple[Literal["keys", "shape"], str] | None:
        """How stated names and shapes differ from this layout: (reason word, sentence), or None.

        Order matters too: the vector is flat, so parts in another order are other parts.
        """
        listed = list(shapes)
        stated = {name: tuple(shape) for name, shape in listed}
        if len(stated) != len(listed):
            return "keys", "a part is stated twice"
        missing = [name for name in self.names if name not in stated]
        extra = [name for name in stated if name not in set(self.names)]
        if missing or extra:
            said = []
            if missing:
                said.append(f"{_listed(missing)} is missing")
            if extra:
                said.append(f"{_listed(extra)} is not part of the model")
            return "keys", " and ".join(said)
        for part in self.parts:
            if stated[part.name] != part.shape:
                return (
                    "shape",
                    f"part {part.name!r} has shape {stated[part.name]}, expected {part.shape}",
                )
        for name, part in zip(stated, self.parts, strict=True):
            if name != part.name:
                return "keys", f"part {name!r} stands where {part.name!r} is expected"
        return None

    def __iter__(self) -> Iterator[Part]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def __repr__(self) -> str:
        aside = f" integers={len(self.integers)}" if self.integers else ""
        return f"<Layout parts={len(self.parts)} size={self.size}{aside}>"


def _check_tensor(name: str, shape: Shape, seen: set[str]) -> None:
    length = len(name.encode())
    if not 1 <= length <= MAX_NAME:
        raise LayoutError(f"a tensor's name has 1 to {MAX_NAME} bytes, {name[:40]!r} has {length}")
    if name in seen:
        raise LayoutError(f"the name {name!r} stands twice in one layout")
    seen.add(name)
    if len(shape) > MAX_DIMENSIONS or any(n < 0 for n in shape) or prod(shape) > MAX_ELEMENTS:
        raise LayoutError(f"the shape {shape} of {name!r} is no shape of a tensor")


def _listed(names: Sequence[str], limit: int = 5) -> str:
    """A few names for a sentence: a wrong model may differ in thousands."""
    said = ", ".join(repr(name) for name in names[:limit])
    more = len(names) - limit
    return f"{said} and {more} more" if more > 0 else said
