"""Whether a linked actor is of the class that a constructor's annotation asks for."""

from __future__ import annotations

import collections.abc
import types
import typing
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Union

from actors.declared import Handle
from actors.ref import ActorRef

_SERIES = (
    list, set, frozenset, collections.abc.Sequence, collections.abc.MutableSequence,
    collections.abc.Set, collections.abc.MutableSet, collections.abc.Collection,
    collections.abc.Iterable,
)  # fmt: skip
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def accepts(
    hint: Any, value: Any, class_of: Callable[[Handle[Any]], Any]
) -> tuple[Handle[Any], str] | None:
    """The first link in an argument that its annotation does not allow, and what that wants.

    ``ActorRef`` alone allows any; ``ActorRef[Store]`` an actor of that class or one derived from
    it. What cannot be told (a type variable, a protocol, an own generic) is allowed.

    Args:
        hint: the annotation.
        value: the argument, with handles where references will be.
        class_of: gives the class that the actor of a handle is declared with.
    """
    for handle, inner in _pairs(hint, value):
        if not _allows(inner, class_of(handle)):
            return handle, _text(inner)
    return None


def _pairs(hint: Any, value: Any) -> Iterator[tuple[Handle[Any], Any]]:
    """Each handle with the annotation of its place."""
    if isinstance(value, Handle):
        yield value, hint
        return
    if isinstance(value, dict):
        inner = _inner(hint, _MAPPINGS, 1)
        for one in value.values():
            yield from _pairs(inner, one)
    elif isinstance(value, tuple) and (fixed := _fixed(hint, len(value))) is not None:
        for position, one in zip(fixed, value, strict=True):
            yield from _pairs(position, one)
    elif isinstance(value, list | tuple | set | frozenset):
        inner = _inner(hint, (*_SERIES, tuple), 0)
        for one in value:
            yield from _pairs(inner, one)


def _inner(hint: Any, origins: tuple[Any, ...], index: int) -> Any:
    """The annotation within a container's; ``Any`` where it says none."""
    for one in _members(hint):
        arguments = typing.get_args(one)
        if typing.get_origin(one) in origins and len(arguments) > index:
            return arguments[index]
    return Any


def _fixed(hint: Any, length: int) -> tuple[Any, ...] | None:
    """The annotations of a tuple of that many."""
    for one in _members(hint):
        arguments = typing.get_args(one)
        if typing.get_origin(one) is tuple and len(arguments) == length and ... not in arguments:
            return arguments
    return None


def _members(hint: Any) -> tuple[Any, ...]:
    """The alternatives of a union, or the annotation itself."""
    while typing.get_origin(hint) is Annotated:
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) in (Union, types.UnionType):
        return tuple(one for inner in typing.get_args(hint) for one in _members(inner))
    return (hint,)


def _allows(hint: Any, cls: Any) -> bool:
    return any(_allows_one(one, cls) for one in _members(hint))


def _allows_one(hint: Any, cls: Any) -> bool:
    if hint is Any:
        return True
    if typing.get_origin(hint) is ActorRef:
        (wanted,) = typing.get_args(hint)
        for one in _members(wanted):
            if one is Any or not isinstance(one, type) or getattr(one, "_is_protocol", False):
                return True
            if isinstance(cls, type) and issubclass(cls, one):
                return True
        return False
    if isinstance(hint, type) and typing.get_origin(hint) is None:
        return issubclass(ActorRef, hint)
    return not _is_plain(hint)


def _is_plain(hint: Any) -> bool:
    """Whether the annotation is of values that a reference never is."""
    origin = typing.get_origin(hint)
    return isinstance(origin, type) and not issubclass(ActorRef, origin)


def _text(hint: Any) -> str:
    if hint is type(None):
        return "None"
    if isinstance(hint, type) and typing.get_origin(hint) is None:
        return hint.__name__
    if typing.get_origin(hint) is ActorRef:
        return f"ActorRef[{' | '.join(_text(one) for one in typing.get_args(hint))}]"
    return (
        " | ".join(_text(one) for one in _members(hint)) if len(_members(hint)) > 1 else str(hint)
    )
