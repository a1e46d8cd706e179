"""A value's text, cut: costs little whatever the value is, and never raises."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

#: Containers within containers that are written out.
_DEPTH: Final = 6

#: How those are written that are not made of pairs. Subclasses are read by the base's own iterator,
#: since theirs is user code.
_BRACKETS: Final[dict[type, tuple[str, str]]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
    frozenset: ("{", "}"),
    deque: ("[", "]"),
}


def shortened(value: Any, characters: int) -> str:
    """The ``repr`` of a value, at most so many characters, which can be encoded as UTF-8.

    Containers and those derived from them are written out as far as there is room and no further,
    so a million entries cost nothing.

    Args:
        value: any.
        characters: at most.
    """
    text = ""
    try:
        for piece in _pieces(value, characters, _DEPTH):
            text += piece
            if len(text) > characters:
                break
    except BaseException as error:  # noqa: BLE001  (another thread may change it meanwhile)
        text += f"<cut off by {type(error).__name__}>"
    return encodable(text, characters)


def encodable(text: str, characters: int) -> str:
    """The text, at most so many characters, with what UTF-8 cannot say written as escapes."""
    escaped = text[:characters].encode("utf-8", "backslashreplace").decode()
    return escaped[:characters]


def _pieces(value: Any, room: int, depth: int) -> Iterator[str]:
    kind = type(value)
    if issubclass(kind, dict):
        yield from _named(kind, dict, _dict(value, room, depth))
        return
    for base, brackets in _BRACKETS.items():
        if issubclass(kind, base):
            yield from _named(kind, base, _items(value, base, brackets, room, depth))
            return
    for base in (str, bytes, bytearray):
        if issubclass(kind, base):
            yield repr(base.__getitem__(value, slice(room)))
            return
    yield _instance(value)


def _named(kind: type, base: type, pieces: Iterator[str]) -> Iterator[str]:
    plain = kind is base and base not in {frozenset, deque}
    if not plain:
        yield f"{kind.__name__}("
    yield from pieces
    if not plain:
        yield ")"


def _dict(value: Any, room: int, depth: int) -> Iterator[str]:
    yield "{"
    for number, (key, inner) in enumerate(islice(dict.items(value), room)):
        if not depth:
            yield "..."
            break
        yield ", " if number else ""
        yield from _pieces(key, room, depth - 1)
        yield ": "
        yield from _pieces(inner, room, depth - 1)
    yield "}"


def _items(
    value: Any, base: Any, brackets: tuple[str, str], room: int, depth: int
) -> Iterator[str]:
    yield brackets[0]
    for number, inner in enumerate(islice(base.__iter__(value), room)):
        if not depth:
            yield "..."
            break
        yield ", " if number else ""
        yield from _pieces(inner, room, depth - 1)
    if base is tuple and base.__len__(value) == 1:
        yield ","
    yield brackets[1]


def _instance(value: Any) -> str:
    try:
        return repr(value)
    except BaseException as error:  # noqa: BLE001  (a repr is user code, and may even exit)
        return f"<its repr() raised {type(error).__name__}>"
