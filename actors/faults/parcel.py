"""What a fault may ask about a message that arrives: to whom, what, of which clock, how large."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, get_type_hints

import msgspec

from actors.item import ASK, OVERHEAD, TELL, Item
from actors.message import Message
from transports import Weights

_CLOCK = "clock"


class Parcel:
    """A message or signal on its arrival; what is not asked is not looked at.

    Args:
        item: as it came.
        arrays: that came with it.
        path: of the actor of a uid, "" where there is none.
    """

    __slots__ = ("_arrays", "_head", "_item", "_path")

    def __init__(self, item: Item, arrays: Sequence[Weights], path: Callable[[int], str]) -> None:
        self._item = item
        self._arrays = arrays
        self._path = path
        self._head: list[Any] | None = None

    @property
    def ordinary(self) -> bool:
        """Whether it is a message of an actor, and not a reply or a signal."""
        return self._item.kind in (TELL, ASK)

    @property
    def actor(self) -> str:
        """Path of the actor that it is for."""
        return self._path(self._item.to)

    @property
    def message(self) -> str:
        """Name of its class."""
        head = self._opened()
        return head[0].rpartition(":")[2] if head else ""

    @property
    def clock(self) -> int | None:
        """What the field ``clock`` of the message, or of a part of it, holds."""
        head = self._opened()
        if not head:
            return None
        value: Any = head
        way = _ways().get(head[0])
        if way is None:
            return None
        for index in way:
            if not isinstance(value, list) or index >= len(value):
                return None
            value = value[index]
        return value if isinstance(value, int) else None

    @property
    def nbytes(self) -> int:
        """Bytes of its body and its arrays, about."""
        return OVERHEAD + len(self._item.body) + sum(one.nbytes for one in self._arrays)

    def _opened(self) -> list[Any]:
        if self._head is None:
            self._head = []
            try:
                found = msgspec.msgpack.decode(self._item.body)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                found = None
            if isinstance(found, list) and found and isinstance(found[0], str):
                self._head = found
        return self._head


def _ways() -> dict[str, tuple[int, ...]]:
    """Where each message class that tells a clock has it, by tag."""
    return _ways_of(tuple(_below(Message)))


@functools.lru_cache(maxsize=1)
def _ways_of(classes: tuple[type[Any], ...]) -> dict[str, tuple[int, ...]]:
    found = {}
    for cls in classes:
        tag = cls.__struct_config__.tag
        way = _way(cls, 1)
        if isinstance(tag, str) and way is not None:
            found[tag] = way
    return found


def _below(cls: type[Any]) -> Iterator[type[Any]]:
    for each in cls.__subclasses__():
        yield each
        yield from _below(each)


def _way(cls: type[Any], first: int) -> tuple[int, ...] | None:
    fields = cls.__struct_fields__
    if _CLOCK in fields:
        return (first + fields.index(_CLOCK),)
    try:
        hints = get_type_hints(cls)
    except (NameError, TypeError, AttributeError):
        return None
    for index, name in enumerate(fields, first):
        part = hints.get(name)
        if (
            isinstance(part, type)
            and issubclass(part, msgspec.Struct)
            and not issubclass(part, Message)
        ):
            config = part.__struct_config__
            way = _way(part, 0) if config.array_like and config.tag is None else None
            if way is not None:
                return (index, *way)
    return None
