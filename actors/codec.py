"""Encoding of messages, replies and constructor arguments for one actor system."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Sequence
from types import CoroutineType
from typing import Any

import msgspec

from actors.errors import CannotEncode
from actors.stray import stray
from transports import Weights

RefParts = tuple[str, str, int]

# References that are kept, some 300 bytes each.
_MOST_BOUND = 8192


class Codec:
    """Turns values into bytes plus the arrays that travel beside them, and back.

    References to actors are encoded as (node, path, uid) and come back bound to this system.
    ``Weights`` are taken out of line: the bytes hold their index.

    Args:
        ref_type: the class of actor references.
        parts: gives a reference's (node, path, uid).
        bind: makes a reference of this system from (node, path, uid).
    """

    def __init__(
        self,
        ref_type: type[Any],
        parts: Callable[[Any], RefParts],
        bind: Callable[[str, str, int], Any],
    ) -> None:
        self._ref_type = ref_type
        self._parts = parts
        self._bind = bind
        # Found by the hooks of a call: between calls both are empty.
        self.found: list[Weights] = []
        self._in: Sequence[Weights] = ()
        #: For a sender that looks at `found` and turns what is raised into `cannot` by itself.
        self.encode_raw = msgspec.msgpack.Encoder(enc_hook=self._enc_hook).encode
        self._decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {}
        # Actors tell each other who they are again and again.
        self._bound: dict[tuple[Any, ...], Any] = {}

    def encode(self, value: Any) -> tuple[bytes, Sequence[Weights]]:
        """The value's bytes and the ``Weights`` found in it, in order of their index.

        Raises:
            CannotEncode: some part of it is of a type that does not travel.
        """
        try:
            body = self.encode_raw(value)
        except Exception as error:
            raise self.cannot(value, error) from error
        return body, self.take() if self.found else ()

    def take(self) -> list[Weights]:
        """The ``Weights`` of what was just encoded."""
        found, self.found = self.found, []
        return found

    def cannot(self, value: Any, error: Exception) -> CannotEncode:
        """What is raised for a value that does not travel."""
        self.found = []
        if isinstance(value, CoroutineType):
            value.close()  # it is told of here, and not once more by Python
            return CannotEncode(
                f"the coroutine {value.__name__} cannot be encoded: return what it returns, by "
                "`return await` in an `async def`; the handlers of blocking actors are plain "
                "functions and await nothing"
            )
        declared = sys.modules.get("actors.declared")  # where it is not loaded there are no handles
        where = "" if declared is None else stray(value, declared.Handle)
        if where:
            return CannotEncode(
                f"{type(value).__qualname__} cannot be encoded: it holds the handle of a graph in "
                f"{where}; give the reference instead, which is live[handle] once the graph runs"
            )
        return CannotEncode(
            f"{type(value).__qualname__} cannot be encoded: {error}; messages and arguments "
            "hold numbers, text, bytes, containers, msgspec structures, dataclasses, actor "
            "references and Weights"
        )

    def decode(self, kind: Any, body: bytes, arrays: Sequence[Weights] = ()) -> Any:
        """The value of type ``kind`` (a class, a union or any annotation) that ``body`` encodes.

        Raises:
            msgspec.DecodeError: the bytes are no MessagePack, or do not fit ``kind``.
        """
        decoder = self.decoder(kind)
        if not arrays:
            return decoder.decode(body)
        self._in = arrays
        try:
            return decoder.decode(body)
        finally:
            self._in = ()

    def decoder(self, kind: Any) -> msgspec.msgpack.Decoder[Any]:
        """The (cached) decoder for a type, for bodies without arrays; one for each type."""
        try:
            return self._decoders[kind]
        except KeyError:
            made = msgspec.msgpack.Decoder(kind, dec_hook=self._dec_hook)
            self._decoders[kind] = made
            return made

    def _reference(self, value: Any) -> Any:
        try:
            key = tuple(value)
            return self._bound[key]
        except (KeyError, TypeError):  # a new one, or none
            parts = msgspec.convert(value, tuple[str, str, int])
        if len(self._bound) >= _MOST_BOUND:  # whoever sends ever new ones keeps no more than that
            self._bound.clear()
        bound = self._bound[parts] = self._bind(*parts)
        return bound

    def _enc_hook(self, value: Any) -> Any:
        if isinstance(value, self._ref_type):
            return self._parts(value)
        if isinstance(value, Weights):
            self.found.append(value)
            return len(self.found) - 1
        hint = ""
        if type(value).__name__ in {"ndarray", "Tensor", "Parameter"}:
            hint = " (arrays travel inside Weights.of({...}))"
        elif inspect.isawaitable(value):
            hint = " (await it, and give what it results in)"
        else:
            from actors.given import where_its_ref_is  # which needs the class of references

            where = where_its_ref_is(value)
            hint = f" ({where})" if where else ""
        msg = f"a {type(value).__module__}.{type(value).__qualname__} does not travel{hint}"
        raise NotImplementedError(msg)

    def _dec_hook(self, kind: type[Any], value: Any) -> Any:
        if kind is Weights:
            if not isinstance(value, int) or not 0 <= value < len(self._in):
                msg = f"array {value!r} is not among the {len(self._in)} that came along"
                raise ValueError(msg)
            return self._in[value]
        if kind is self._ref_type or typing.get_origin(kind) is self._ref_type:
            return self._reference(value)
        msg = f"values of type {kind!r} do not travel"
        raise NotImplementedError(msg)
