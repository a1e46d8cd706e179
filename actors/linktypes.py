"""Whether a linked actor is of the class that a constructor's annotation asks for."""

from __future__ import annotations

import typing
from collections.abc import Callable
from typing import Any

from actors.declared import Handle
from actors.hints import leaves, members, text_of
from actors.ref import ActorRef


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
    for one, inner in leaves(hint, value):
        if isinstance(one, Handle) and not _allows(inner, class_of(one)):
            return one, text_of(inner)
    return None


def _allows(hint: Any, cls: Any) -> bool:
    return any(_allows_one(one, cls) for one in members(hint))


def _allows_one(hint: Any, cls: Any) -> bool:
    if hint is Any:
        return True
    if typing.get_origin(hint) is ActorRef:
        (wanted,) = typing.get_args(hint)
        for one in members(wanted):
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
