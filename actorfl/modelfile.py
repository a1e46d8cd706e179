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


def of_node(name: str) -> str:
    """The file of the final model of a node, in a run without a centre."""
    return f"models/{name}.safetensors"


async def write(
    storage: Storage,
    layout: Layout,
    vector: Vector,
    buffers: Mapping[str, npt.NDArray[Any]],
    file: str = MODEL,
) -> str:
    """Write a model, whole or not at all.

    Args:
        storage: of the run's directory.
        layout: names the parts; each is written in the dtype that it has in the model, bfloat16
            as float32 (numpy has none; ``load_state_dict`` converts).
        vector: float32, of the layout's size.
        buffers: integer buffers by name.
        file: its name; that of the run's final model where not given.

    Returns:
        SHA-256 of the file, in hexadecimal: equal models have equal files.

    Raises:
        MissingExtra: safetensors is not installed.
    """
    content = encode(layout, vector, buffers)
    await storage.write(file, [content])
    return hashlib.sha256(content).hexdigest()


def encode(layout: Layout, vector: Vector, buffers: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """The bytes of the file."""
    try:
        from safetensors.numpy import save
    except ImportError as error:
        raise MissingExtra("safetensors", "torch", "writing the model") from error
    tensors: dict[str, npt.NDArray[Any]] = {}
    for part in layout:
        values = vector[part.slice].reshape(part.shape)
        tensors[part.name] = values.astype(np.float16) if part.origin == "float16" else values
    # asarray: ascontiguousarray would give a scalar a dimension
    tensors.update({name: np.asarray(array, order="C") for name, array in buffers.items()})
    return bytes(save(tensors))
