"""Constructor arguments of actors that are placed on another node: bytes by name."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any

from actors.codec import Codec
from actors.errors import UsageError


def encode(codec: Codec, cls: type, arguments: Mapping[str, Any]) -> dict[str, bytes]:
    """Arguments as bytes, to cross to another node.

    Args:
        codec: of the system that sends them.
        cls: whose constructor takes them.
        arguments: by name.

    Raises:
        UsageError: an argument the constructor does not have, or one without annotation.
        CannotEncode: a value that does not travel.
    """
    hints = _hints(cls)
    encoded = {}
    for name, value in arguments.items():
        if name not in hints:
            msg = (
                f"{cls.__qualname__}.__init__ has no annotated parameter {name!r}, so it "
                "cannot be placed in another process; annotate it"
            )
            raise UsageError(msg)
        body, arrays = codec.encode(value)
        if arrays:
            msg = f"{name!r} of {cls.__qualname__} holds Weights, which travel in messages only"
            raise UsageError(msg)
        encoded[name] = body
    return encoded


def decode(codec: Codec, cls: type, encoded: Mapping[str, bytes]) -> dict[str, Any]:
    """The reverse of `encode`; references are bound to the codec's system."""
    hints = _hints(cls)
    return {name: codec.decode(hints[name], body) for name, body in encoded.items()}


def _hints(cls: Any) -> dict[str, Any]:
    try:
        hints = typing.get_type_hints(cls.__init__)
    except NameError as error:
        msg = (
            f"the annotations of {cls.__qualname__}.__init__ cannot be read ({error}); import "
            "the names outside TYPE_CHECKING"
        )
        raise UsageError(msg) from None
    hints.pop("return", None)
    return hints
