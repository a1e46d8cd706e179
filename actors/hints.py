"""What an annotation says about each place within an argument."""

from __future__ import annotations

import collections.abc
import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any, Final, Union

from actors.ref import ActorRef

_SERIES: Final = (
    list, set, frozenset, collections.abc.Sequence, collections.abc.MutableSequence,
    collections.abc.Set, collections.abc.MutableSet, collections.abc.Collection,
    collections.abc.Iterable,
)  # fmt: skip
_MAPPINGS: Final = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def leaves(hint: Any, value: Any) -> Iterator[tuple[Any, Any]]:
    """(What, annotation of its place) of each thing in an argument that is no container.

    ``Any`` stands where the annotation says nothing of what is within a container.
    """
    if isinstance(value, dict):
        inner = _inner(hint, _MAPPINGS, 1)
        for one in value.values():
            yield from leaves(inner, one)
    elif isinstance(value, tuple) and (fixed := _fixed(hint, len(value))) is not None:
        for position, one in zip(fixed, value, strict=True):
            yield from leaves(position, one)
    elif isinstance(value, list | tuple | set | frozenset):
        inner = _inner(hint, (*_SERIES, tuple), 0)
        for one in value:
            yield from leaves(inner, one)
    else:
        yield value, hint


def members(hint: Any) -> tuple[Any, ...]:
    """The alternatives of a union, or the annotation itself."""
    while typing.get_origin(hint) is Annotated:
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) in (Union, types.UnionType):
        return tuple(one for inner in typing.get_args(hint) for one in members(inner))
    return (hint,)


def is_reference(hint: Any) -> bool:
    """Whether the annotation is ``ActorRef``, or that of one class of actors."""
    return hint is ActorRef or typing.get_origin(hint) is ActorRef


def mentions_reference(hint: Any) -> bool:
    """Whether references stand in the annotation, at any depth."""
    return is_reference(hint) or any(mentions_reference(one) for one in typing.get_args(hint))


def text_of(hint: Any) -> str:
    """The annotation as one writes it."""
    if hint is type(None):
        return "None"
    if isinstance(hint, type) and typing.get_origin(hint) is None:
        return hint.__name__
    if typing.get_origin(hint) is ActorRef:
        return f"ActorRef[{' | '.join(text_of(one) for one in typing.get_args(hint))}]"
    alternatives = members(hint)
    return " | ".join(map(text_of, alternatives)) if len(alternatives) > 1 else str(hint)


def _inner(hint: Any, origins: tuple[Any, ...], index: int) -> Any:
    """The annotation within a container's; ``Any`` where it says none."""
    for one in members(hint):
        arguments = typing.get_args(one)
        if typing.get_origin(one) in origins and len(arguments) > index:
            return arguments[index]
    return Any


def _fixed(hint: Any, length: int) -> tuple[Any, ...] | None:
    """The annotations of a tuple of that many."""
    for one in members(hint):
        arguments = typing.get_args(one)
        if typing.get_origin(one) is tuple and len(arguments) == length and ... not in arguments:
            return arguments
    return None
