"""Constructor arguments of actors that are placed on another node: bytes by name."""

from __future__ import annotations

import io
import typing
import weakref
from collections.abc import Mapping
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import msgspec

from actors.codec import Codec
from actors.errors import CannotEncode, UsageError


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
    hints = hints_of(cls)
    encoded = {}
    for name, value in arguments.items():
        if name not in hints:
            msg = (
                f"the parameter {name!r} of {cls.__qualname__}.__init__ has no annotation, so the "
                "actor cannot be placed in another process; annotate it"
            )
            raise UsageError(msg)
        try:
            body, arrays = codec.encode(value)
        except CannotEncode as error:
            msg = f"{name!r} of {cls.__qualname__} {_why(value) or f'does not travel: {error}'}"
            raise CannotEncode(msg) from error
        if arrays:
            msg = f"{name!r} of {cls.__qualname__} holds Weights, which travel in messages only"
            raise UsageError(msg)
        encoded[name] = body
    return encoded


def decode(codec: Codec, cls: type, encoded: Mapping[str, bytes]) -> dict[str, Any]:
    """The reverse of `encode`; references are bound to the codec's system.

    Raises:
        UsageError: a value that is not of the type its parameter is annotated with.
    """
    hints = hints_of(cls)
    decoded = {}
    for name, body in encoded.items():
        try:
            decoded[name] = codec.decode(hints[name], body)
        except (msgspec.DecodeError, NotImplementedError, TypeError) as error:
            msg = (
                f"{name!r} of {cls.__qualname__} does not arrive as the "
                f"{_text(hints[name])} that it is annotated with: {error}"
            )
            raise UsageError(msg) from error
    return decoded


def hints_of(cls: Any) -> dict[str, Any]:
    """The annotations of a class's constructor, by parameter.

    Raises:
        UsageError: one of them names what cannot be found at run time.
    """
    known = _known.get(cls)
    if known is not None:
        return known
    try:
        hints = typing.get_type_hints(cls.__init__)
    except NameError as error:
        msg = (
            f"the annotations of {cls.__qualname__}.__init__ cannot be read ({error}); import "
            "the names outside TYPE_CHECKING"
        )
        raise UsageError(msg) from None
    hints.pop("return", None)
    _known[cls] = hints
    return hints


#: As many as there are actor classes in the program; a class that goes takes its entry along.
_known: weakref.WeakKeyDictionary[type, dict[str, Any]] = weakref.WeakKeyDictionary()


def _why(value: Any) -> str | None:
    """Why a value of a common kind does not travel, and what to do about it."""
    if isinstance(value, FunctionType | BuiltinFunctionType | MethodType):
        kind = "a lambda" if value.__name__ == "<lambda>" else f"the function {value.__name__!r}"
        return (
            f"is {kind}, and functions do not travel: give a value, and have the constructor "
            "choose the function"
        )
    if isinstance(value, io.IOBase):
        return "is an open file, which does not travel: give its path, and open it in on_start"
    return None


def _text(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
