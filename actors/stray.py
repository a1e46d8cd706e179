"""Where, within a value that nobody rebuilds, something stands that was to be replaced."""

from __future__ import annotations

import dataclasses
import functools
from collections import deque
from collections.abc import Iterator
from itertools import islice
from types import FunctionType, ModuleType
from typing import Any, Final

import msgspec

#: Values that are looked at: what a user keeps beside may be large, and was not made for this.
_MOST: Final = 100_000
_LEAVES: Final = frozenset({str, bytes, bytearray, int, float, complex, bool, type(None)})
_CONTAINERS: Final = (list, tuple, set, frozenset, deque)


def stray(value: Any, wanted: type) -> str:
    """Where an instance of a class stands in a value, in words; "" where none is found.

    Containers, dataclasses, structs and ``functools.partial`` are looked through at any depth, the
    attributes of another object only where it is not itself an attribute of one: from there on
    everything hangs together with everything.

    Args:
        value: any; it may hold itself.
        wanted: the class.
    """
    if type(value) in _LEAVES:
        return ""
    # The values are kept, or the next one could have the id of one that is gone.
    seen = {id(value): value}
    waiting = deque([(value, True)])
    while waiting:
        outer, attributes = waiting.popleft()
        for where, inner, further in islice(_within(outer, attributes=attributes), _MOST):
            if isinstance(inner, wanted):
                return where
            if type(inner) not in _LEAVES and id(inner) not in seen and len(seen) < _MOST:
                seen[id(inner)] = inner
                waiting.append((inner, further))
    return ""


def _within(value: Any, *, attributes: bool) -> Iterator[tuple[str, Any, bool]]:
    """(Where, what, whether attributes of objects are looked at there) of each part of a value."""
    kind = type(value).__name__
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"a key of a {kind}", key, attributes
            yield f"a {kind}", inner, attributes
    elif isinstance(value, _CONTAINERS):
        for inner in value:
            yield f"a {kind}", inner, attributes
    elif isinstance(value, functools.partial):
        for inner in (value.func, *value.args, *value.keywords.values()):
            yield f"a {kind}", inner, attributes
    else:
        fields = _fields(value)
        for name in fields:
            yield f"{name!r} of a {kind}", getattr(value, name, None), attributes
        # The runtime's own objects, another graph among them, hold handles of their own.
        ours = type(value).__module__.partition(".")[0] == "actors"
        if not fields and attributes and not ours and not isinstance(value, _NO_HOLDERS):
            own = getattr(value, "__dict__", None)
            for name, inner in tuple(own.items()) if isinstance(own, dict) else ():
                yield f"{name!r} of a {kind}", inner, False


_NO_HOLDERS: Final = (type, ModuleType, FunctionType)


def _fields(value: Any) -> tuple[str, ...]:
    if isinstance(value, msgspec.Struct):
        return value.__struct_fields__
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return tuple(one.name for one in dataclasses.fields(value))
    return ()
