"""The final model as a safetensors file; its SHA-256 is the run's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from actorfl.errors import MissingExtra
from actorfl.layout import Layout, Vector
from actors import Storage

MODEL: Final = "model.safetensors"

#: The format's names of the dtypes that a layout may hold.
_NAMES: Final = {
    "float32": "float32",
    "float16": "float16",
    "bfloat16": "bfloat16",
    "bool": "bool",
    "int8": "int8",
    "int16": "int16",
    "int32": "int32",
    "int64": "int64",
    "uint8": "uint8",
    "uint16": "uint16",
    "uint32": "uint32",
    "uint64": "uint64",
}


async def write(
    storage: Storage, layout: Layout, vector: Vector, buffers: Mapping[str, npt.NDArray[Any]]
) -> str:
    """Write ``model.safetensors``, whole or not at all.

    Args:
        storage: of the run's directory.
        layout: names the parts; each is written in the dtype that it has in the model.
        vector: float32, of the layout's size.
        buffers: integer buffers by name.

    Returns:
        SHA-256 of the file, in hexadecimal: equal models have equal files.

    Raises:
        MissingExtra: safetensors is not installed.
    """
    content = encode(layout, vector, buffers)
    await storage.write(MODEL, [content])
    return hashlib.sha256(content).hexdigest()


def encode(layout: Layout, vector: Vector, buffers: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """The bytes of the file."""
    try:
        import safetensors
    except ImportError as error:
        raise MissingExtra("safetensors", "torch", "writing the model") from error
    tensors: dict[str, dict[str, Any]] = {}
    for part in layout:
        values = vector[part.slice]
        if part.origin == "float16":
            data = values.astype(np.float16).tobytes()
        elif part.origin == "bfloat16":
            data = _bfloat16(values).tobytes()
        else:
            data = values.tobytes()
        tensors[part.name] = {"dtype": part.origin, "shape": list(part.shape), "data": data}
    for name, array in buffers.items():
        tensors[name] = {
            "dtype": _NAMES[array.dtype.name],
            "shape": list(array.shape),
            "data": np.ascontiguousarray(array).tobytes(),
        }
    return bytes(safetensors.serialize(tensors, None))


def _bfloat16(values: Vector) -> npt.NDArray[np.uint16]:
    """The upper halves of float32, rounded half to even, as torch's copy does."""
    bits = values.view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    # A NaN must stay one: adding could carry it into infinity.
    return np.where(np.isnan(values), np.uint32(0x7FC0), rounded).astype(np.uint16)
