"""SHA-256 of values: arrays, and whatever is made of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import msgspec
import numpy as np

from transports import Weights


def hash_of(*values: object) -> bytes:
    """SHA-256 of values: equal ones have equal hashes, in any process.

    Args:
        *values: arrays, ``Weights``, numbers, strings, None; mappings, sequences, dataclasses and
            structs of such. A number of numpy counts as the Python number that it equals.
    """
    digest = hashlib.sha256()
    _feed(digest.update, values)
    return digest.digest()


def _feed(update: Callable[[bytes | memoryview], object], value: object) -> None:
    if isinstance(value, np.ndarray):
        update(f"array {value.dtype} {value.shape}".encode())
        update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)
    elif isinstance(value, Weights):
        _feed(update, {name: value[name] for name in value.names()})
    elif isinstance(value, Mapping):
        update(f"map {len(value)}".encode())
        for key in sorted(value):
            _feed(update, key)
            _feed(update, value[key])
    elif isinstance(value, list | tuple):
        update(f"list {len(value)}".encode())
        for each in value:
            _feed(update, each)
    elif hasattr(value, "__dataclass_fields__"):
        update(type(value).__name__.encode())
        for name in value.__dataclass_fields__:
            _feed(update, getattr(value, name))
    elif isinstance(value, msgspec.Struct):
        _feed(update, msgspec.to_builtins(value))
    else:
        # What was kept and read back is of Python's own types, what was computed of numpy's.
        plain = value.item() if isinstance(value, np.generic) else value
        update(f"{type(plain).__name__} {plain!r}\0".encode())
