"""Weights: immutable named arrays in one contiguous buffer, the only way arrays cross nodes.

One buffer travels without being assembled, and each array starts at a multiple of 64 bytes because
torch's kernels give different bits for other addresses.

numpy is imported where arrays are made or read: it is a third of what a node without any takes to
start.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

from transports.errors import LayoutError, WeightsReleased

ALIGNMENT: Final = 64
"""Bytes; a cache line and the widest vector register."""

MAX_ARRAYS: Final = 65_536
"""Arrays in one layout. Ten times the largest torch models; stops layouts that are all header."""

MAX_ARRAY_NAME: Final = 512
"""Bytes of an array's name."""

MAX_DIMENSIONS: Final = 32
"""Dimensions of an array; numpy 1.26 has no more."""

ITEM_SIZES: Final[Mapping[str, int]] = {
    "bool": 1,
    "int8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "uint8": 1,
    "uint16": 2,
    "uint32": 4,
    "uint64": 8,
    "float16": 2,
    "float32": 4,
    "float64": 8,
    "bfloat16": 2,
}
"""Bytes of an element by the name of its type; all are little endian."""

MAX_BYTES: Final = 2**48
"""Bytes of one array, beyond any memory; products of sizes below it cannot overflow."""


class TensorSpec(msgspec.Struct, frozen=True, array_like=True):
    """Where one array lies in the buffer.

    Attributes:
        name: 1 to 512 bytes of UTF-8, unique in its layout.
        dtype: a key of ``ITEM_SIZES``.
        shape: sizes of the dimensions, each >= 0; () is a scalar.
        offset: bytes from the start of the buffer, a multiple of 64.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def nbytes(self) -> int:
        """Bytes of the array's elements."""
        return math.prod(self.shape) * ITEM_SIZES[self.dtype]


Layout = tuple[TensorSpec, ...]


@cache
def dtype_of(name: str) -> np.dtype[Any]:
    """The element type of that name, little endian.

    "bfloat16" is a tag on uint16: numpy has no such type.

    Args:
        name: a key of ``ITEM_SIZES``.
    """
    import numpy as np

    return np.dtype("uint16" if name == "bfloat16" else name).newbyteorder("<")


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT


def layout_nbytes(layout: Sequence[TensorSpec]) -> int:
    """Bytes of the buffer that a layout describes, a multiple of 64; 0 for an empty one."""
    return max((_aligned(spec.offset + spec.nbytes) for spec in layout), default=0)


def check_layout(layout: Sequence[TensorSpec], nbytes: int, max_arrays: int = MAX_ARRAYS) -> int:
    """Refuse a layout that does not fit into a buffer of ``nbytes`` bytes.

    Args:
        layout: specs in buffer order, as they came from the wire.
        nbytes: size of the buffer.
        max_arrays: most arrays that are taken.

    Returns:
        Bytes that the layout takes, as ``layout_nbytes`` does.

    Raises:
        LayoutError: too many arrays, bad name, unknown dtype, bad shape, overlap, a start that is
            not on a 64-byte boundary, or an end outside of the buffer.
    """
    if len(layout) > max_arrays:
        raise LayoutError(f"a layout of {len(layout)} arrays exceeds the bound of {max_arrays}")
    names: set[str] = set()
    end = 0
    for spec in layout:
        # Cut in the sentence: a name from the wire may be megabytes.
        shown = repr(spec.name[:64])
        if not 0 < len(spec.name.encode(errors="replace")) <= MAX_ARRAY_NAME:
            raise LayoutError(f"array name {shown} has not 1 to {MAX_ARRAY_NAME} bytes")
        if spec.name in names:
            raise LayoutError(f"two arrays are named {shown}")
        names.add(spec.name)
        if spec.dtype not in ITEM_SIZES:
            raise LayoutError(
                f"array {shown} has dtype {spec.dtype[:32]!r}, known are {', '.join(ITEM_SIZES)}"
            )
        if len(spec.shape) > MAX_DIMENSIONS or any(n < 0 for n in spec.shape):
            raise LayoutError(
                f"array {shown} has {len(spec.shape)} dimensions or a negative one; the bound is "
                f"{MAX_DIMENSIONS}"
            )
        # Zero times huge is a small product, and numpy would overflow on its way to it.
        if math.prod(max(n, 1) for n in spec.shape) * ITEM_SIZES[spec.dtype] > MAX_BYTES:
            raise LayoutError(f"array {shown} is larger than {MAX_BYTES} bytes")
        if spec.offset < end or spec.offset % ALIGNMENT:
            raise LayoutError(
                f"array {shown} starts at byte {spec.offset}, inside the one before it or not at a "
                f"multiple of {ALIGNMENT}"
            )
        end = spec.offset + spec.nbytes
        if end > nbytes:
            raise LayoutError(f"array {shown} ends at byte {end} of a buffer of {nbytes} bytes")
    if _aligned(end) > nbytes:
        raise LayoutError(f"a buffer of {nbytes} bytes lacks the padding behind its last array")
    return _aligned(end)


def aligned_empty(nbytes: int) -> npt.NDArray[np.uint8]:
    """Uninitialised memory whose first byte lies on a 64-byte boundary, uint8 of [nbytes]."""
    import numpy as np

    raw = np.empty(nbytes + ALIGNMENT, np.uint8)
    skip = -raw.__array_interface__["data"][0] % ALIGNMENT  # half of what raw.ctypes takes
    return raw[skip : skip + nbytes]


@lru_cache(maxsize=16)  # what a node sends is of a few kinds, each sent again and again
def _laid_out(
    arrays: tuple[tuple[str, np.dtype[Any], str | None, tuple[int, ...]], ...],
) -> tuple[Layout, int]:
    """The layout of arrays one after the other, and the bytes of their buffer.

    Args:
        arrays: name, dtype, the name under which that travels if it is another, and shape of each.

    Raises:
        LayoutError: see ``Weights.of``.
    """
    specs: list[TensorSpec] = []
    offset = 0
    for name, own, tag, shape in arrays:
        dtype = own.name if tag is None else tag
        if dtype not in ITEM_SIZES or dtype_of(dtype) != own.newbyteorder("<"):
            raise LayoutError(
                f"array {name!r} of dtype {own} cannot travel as {dtype!r}: convert it to one of "
                f"{', '.join(ITEM_SIZES)}"
            )
        specs.append(TensorSpec(name, dtype, tuple(shape), offset))
        offset = _aligned(offset + specs[-1].nbytes)
    layout = tuple(specs)
    check_layout(layout, offset)
    return layout, offset


def _elements(buffer: memoryview, spec: TensorSpec) -> npt.NDArray[np.uint8]:
    import numpy as np

    return np.frombuffer(buffer[spec.offset : spec.offset + spec.nbytes], np.uint8)


class Weights:
    """Immutable named arrays in one contiguous, 64-byte aligned buffer.

    Make one with ``Weights.of``; received ones lie in a landing buffer, which goes back to its pool
    when ``release()`` was called or the object is gone, and no view of it is left. Equality is by
    content, bit for bit (so NaN equals itself, and 0.0 differs from -0.0), names in order.
    """

    __slots__ = ("__weakref__", "_buffer", "_index", "_layout")

    __hash__ = None  # type: ignore[assignment]  # equal by content, which is too large to hash

    def __init__(self, layout: Layout, buffer: memoryview) -> None:
        """Take over a buffer that nobody writes to any more; the layout has been checked.

        Args:
            layout: specs in buffer order.
            buffer: bytes of ``layout_nbytes(layout)``, starting at a multiple of 64.
        """
        self._layout = layout
        self._buffer: memoryview | None = buffer.toreadonly()
        self._index = {spec.name: spec for spec in layout}

    @staticmethod
    def of(
        arrays: Mapping[str, npt.NDArray[Any]], dtypes: Mapping[str, str] | None = None
    ) -> Weights:
        """Copy arrays in, once.

        Args:
            arrays: name -> array of a bool, int, uint or float dtype, any shape, byte order and
                strides.
            dtypes: name -> "bfloat16" for uint16 arrays that carry bfloat16 bits.

        Raises:
            LayoutError: an array has another dtype, or a name is empty or too long.
        """
        import numpy as np

        dtypes = dtypes or {}
        layout, nbytes = _laid_out(
            tuple((name, each.dtype, dtypes.get(name), each.shape) for name, each in arrays.items())
        )
        memory = aligned_empty(nbytes)
        end = 0
        for spec, array in zip(layout, arrays.values(), strict=True):
            if end < spec.offset:
                memory[end : spec.offset] = 0  # what travels holds nothing of earlier tenants
            end = spec.offset + array.nbytes
            target = memory[spec.offset : end].view(dtype_of(spec.dtype)).reshape(spec.shape)
            np.copyto(target, array)
        memory[end:] = 0
        return Weights(layout, memory.data)

    @property
    def layout(self) -> Layout:
        """Name, dtype, shape and offset of each array, in buffer order."""
        return self._layout

    @property
    def nbytes(self) -> int:
        """Bytes of the buffer, padding included."""
        return self.buffer.nbytes

    @property
    def buffer(self) -> memoryview:
        """The whole buffer, read-only bytes.

        Raises:
            WeightsReleased: after ``release()``.
        """
        if self._buffer is None:
            raise WeightsReleased("these weights were released: copy what you need before that")
        return self._buffer

    def names(self) -> tuple[str, ...]:
        """Names of the arrays, in buffer order."""
        return tuple(self._index)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """The array as a read-only view of the buffer; bfloat16 as its uint16 bits.

        Raises:
            KeyError: no array has this name.
            WeightsReleased: after ``release()``.
        """
        import numpy as np

        buffer = self.buffer
        spec = self._index[name]
        # frombuffer, because an array made over a view's exporter could be made writable again.
        part = buffer[spec.offset : spec.offset + spec.nbytes]
        return np.frombuffer(part, dtype_of(spec.dtype)).reshape(spec.shape)

    def __contains__(self, name: object) -> bool:
        return name in self._index

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._layout)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Weights):
            return NotImplemented
        if self._layout != other._layout:
            return False
        mine, theirs = self.buffer, other.buffer
        return all(
            bool((_elements(mine, spec) == _elements(theirs, spec)).all()) for spec in self._layout
        )

    def sha256(self) -> str:
        """SHA-256 of names, dtypes, shapes and elements as 64 hexadecimal digits.

        Padding is left out, so equal weights have equal digests wherever they came from.
        """
        digest = hashlib.sha256()
        for spec in self._layout:
            digest.update(msgspec.msgpack.encode((spec.name, spec.dtype, spec.shape)))
            digest.update(_elements(self.buffer, spec).data)
        return digest.hexdigest()

    def share(self) -> Weights:
        """The same memory under an object of its own, whose ``release()`` is its own."""
        return Weights(self._layout, self.buffer)

    def release(self) -> None:
        """Give the memory up now; a landing buffer returns to its pool once no view is left.

        Every access after this raises ``WeightsReleased``. Releasing twice is harmless.
        """
        self._buffer = None

    def __repr__(self) -> str:
        if self._buffer is None:
            return f"<Weights released arrays={len(self._layout)}>"
        return f"<Weights arrays={len(self._layout)} bytes={self._buffer.nbytes}>"
