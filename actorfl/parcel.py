"""What a letter carries: a model, or arrays and scalars by name, or both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np

from actorfl.algorithm import Scalar
from actorfl.flatmodel import Model
from actorfl.layout import Layout
from actorfl.protocol import pack, unpack
from actorfl.terms import MAX_TERMS, Array
from transports import Weights

_ARRAY: Final = "down/"  # as ``protocol.pack`` names what goes beside a model
_SCALARS: Final = "scalars"
# A model's integer buffers travel by their names, of which it has no more.
_MOST: Final = 1 << 16


@dataclass(frozen=True)
class Parcel:
    """A letter's content as its reader sees it; arrays in it are read-only.

    Attributes:
        model: the model; None where none was sent.
        content: arrays and scalars by name.
    """

    model: Model | None = None
    content: Mapping[str, Array | Scalar] = field(default_factory=dict)


def packed(model: Model | None, content: Mapping[str, Array | Scalar]) -> Weights:
    """A parcel as it travels, everything copied; a model alone lies as ``protocol.pack`` puts it.

    Raises:
        ValueError: something in the content does not travel, such as an array of objects.
    """
    arrays = {name: value for name, value in content.items() if isinstance(value, np.ndarray)}
    scalars = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in content.items()
        if name not in arrays
    }
    if len(content) > MAX_TERMS + _MOST:
        raise ValueError(f"a letter carries at most {MAX_TERMS + _MOST} named values")
    if model is not None and not scalars:
        return pack(model.vector, model.buffers, arrays)
    found = {f"{_ARRAY}{name}": array for name, array in arrays.items()}
    found[_SCALARS] = np.frombuffer(msgspec.msgpack.encode(scalars), np.uint8)
    if model is None:
        return Weights.of(found)
    whole = pack(model.vector, model.buffers)
    return Weights.of({**{name: whole[name] for name in whole.names()}, **found})


def packed_each(contents: Mapping[str, Mapping[str, Array | Scalar]]) -> dict[str, Weights]:
    """What goes to each receiver, packed once for all who get the same; see ``packed``."""
    packs: dict[tuple[tuple[str, object], ...], Weights] = {}
    found = {}
    for to, content in contents.items():
        # Arrays are known by their identity: comparing them would cost what packing does.
        key = tuple(
            (name, id(value) if isinstance(value, np.ndarray) else value)
            for name, value in content.items()
        )
        if key not in packs:
            packs[key] = packed(None, content)
        found[to] = packs[key]
    return found


def unpacked(weights: Weights, layout: Layout) -> Parcel:
    """A parcel again; everything is copied, so that the buffer that it came in may go.

    Raises:
        ValueError: it is none.
        LayoutError: its model is of another layout.
    """
    names = weights.names()
    content: dict[str, Any] = {}
    if _SCALARS in names:
        raw = weights[_SCALARS].tobytes()
        content.update(msgspec.msgpack.decode(raw, type=dict[str, int | float | str | bool]))
    for name in names:
        if name.startswith(_ARRAY):
            content[name.removeprefix(_ARRAY)] = _frozen(weights[name])
    if _SCALARS in names and "model" not in names:
        return Parcel(None, content)
    vector, integers, _ = unpack(weights)
    layout.check(vector)
    buffers = {name: _frozen(array) for name, array in integers.items()}
    return Parcel(Model(layout, _frozen(vector), buffers), content)


def _frozen(array: Array) -> Array:
    """A copy that nobody writes to."""
    copy = np.array(array)
    copy.flags.writeable = False
    return copy
