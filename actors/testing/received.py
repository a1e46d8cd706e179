"""A message as it came to a probe: read when it is asked for, as the type that is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from actors.codec import Codec
from actors.handling import Envelope
from actors.item import ASK
from actors.message import Message
from transports import Weights

_heads: Final = msgspec.msgpack.Decoder(list[msgspec.Raw])
_UNREADABLE = "?"


class Received:
    """One message.

    Args:
        codec: of the system that it came to.
        body: the encoded message.
        envelope: with its arrays and who asked, where there are any.
    """

    def __init__(self, codec: Codec, body: bytes, envelope: Envelope | None) -> None:
        self._codec = codec
        self._body = body
        self.envelope = envelope
        self._arrays: Sequence[Weights] = () if envelope is None else envelope.arrays
        #: What names its type on the wire; "?" where it is no message.
        self.tag = _tag(body)
        #: As it was read last.
        self.message: Message[Any] | None = None

    @property
    def is_ask(self) -> bool:
        """Whether somebody waits for an answer."""
        return self.envelope is not None and self.envelope.item.kind == ASK

    def read_as(self, kind: type[Message[Any]]) -> Message[Any] | None:
        """The message, if it is of this type or of one derived from it.

        Raises:
            AssertionError: it is, and cannot be read.
        """
        if isinstance(self.message, kind):
            return self.message
        # The last: a class that a test defines again has the tag of the one before.
        found = [one for one in _family(kind) if one.__struct_config__.tag == self.tag]
        if not found:
            return None
        cls = found[-1]
        try:
            self.message = self._codec.decode(cls, self._body, self._arrays)
        except Exception as error:  # what checks a message is the user's own code
            msg = f"a {cls.__qualname__} came that cannot be read: {error}"
            raise AssertionError(msg) from error
        return self.message

    def read(self) -> Message[Any] | None:
        """The message, of whatever type; None where no class of this process reads it."""
        try:
            return self.read_as(Message)
        except AssertionError:
            return None

    def __repr__(self) -> str:
        message = self.read()
        if message is not None:
            return repr(message)
        return f"<{self.tag.rpartition(':')[2]}, which cannot be read here>"


def _tag(body: bytes) -> str:
    try:
        head = msgspec.msgpack.decode(_heads.decode(body)[0])
    except (msgspec.MsgspecError, ValueError, RecursionError, IndexError):
        return _UNREADABLE  # ValueError: of text that is none, which msgspec lets through
    return head if isinstance(head, str) else _UNREADABLE


def _family(kind: type[Message[Any]]) -> Iterator[type[Message[Any]]]:
    yield kind
    for derived in kind.__subclasses__():
        yield from _family(derived)
