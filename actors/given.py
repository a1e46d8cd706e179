"""What the public calls were given: refused in a sentence where it cannot be meant."""

from __future__ import annotations

import inspect
import math
from collections.abc import Collection
from types import UnionType
from typing import Any

from actors.errors import UsageError
from actors.message import Message
from actors.quantities import is_finite
from actors.ref import ActorRef
from actors.suggest import among, shown


def check_ref(call: str, value: Any) -> None:
    """Refuse what is no reference of an actor.

    Args:
        call: as the user writes it, for the sentence: ``watch``.
        value: what it was given.

    Raises:
        UsageError: it is none.
    """
    if not isinstance(value, ActorRef):
        msg = f"{call}() takes an ActorRef, not {shown(value)}; {what_instead(value)}"
        raise UsageError(msg)


def what_instead(value: Any) -> str:
    """How to get at the reference that was meant, whatever was given for it."""
    if isinstance(value, str):
        return (
            "that may be an actor's name: give what spawn returned, live[name] of a graph that "
            "runs, or what the receptionist finds"
        )
    if isinstance(value, type):
        return "that is a class: give the reference of an actor, as spawn returns it"
    return where_its_ref_is(value) or "give what spawn returned, or live[name] of a graph that runs"


def where_its_ref_is(value: Any) -> str:
    """How to get at the reference of what stands for an actor; "" for anything else."""
    from actors.declared import Handle  # which itself needs references

    if isinstance(value, Handle):
        return f"the reference of that handle is live[{value.name!r}], once its graph runs"
    # Not getattr: what a property of a user's class does is not asked for.
    if any("ref" in vars(cls) for cls in type(value).__mro__):
        return "give its .ref"
    return ""


def check_message(call: str, value: Any) -> None:
    """Refuse what is no message.

    Raises:
        UsageError: it is a class of messages, or something else.
    """
    if not isinstance(value, Message):
        raise UsageError(why_no_message(call, value))


def why_no_message(call: str, value: Any) -> str:
    """The sentence about what was sent and is no message."""
    if isinstance(value, type):
        name = value.__name__
        if issubclass(value, Message):
            return f"{call}() takes a message, not the class {name}; write {call}({name}(…))"
        return (
            f"{call}() takes a message, not the class {name}; derive one, as in "
            f"`class {name}(Message[None])`, and make an instance of it"
        )
    return (
        f"{call}() takes a message, not {shown(value)}; declare `class Note(Message[None])` with "
        "what it holds as fields, and send an instance of it"
    )


def check_class_of(call: str, what: str, value: Any, base: type) -> None:
    """Refuse what is no class that is derived from another.

    Args:
        call: as the user writes it, for the sentence: ``subscribe``.
        what: its instances are, in the plural: ``events``.
        value: what it was given.
        base: that it is, or is derived from.

    Raises:
        UsageError: it is an instance, or something else.
    """
    if not (isinstance(value, type) and issubclass(value, base)):
        hint = (
            f"write {type(value).__name__}"
            if isinstance(value, base)
            else f"give {base.__name__} or one derived from it"
        )
        msg = f"{call}() takes a class of {what}, not {shown(value)}; {hint}"
        raise UsageError(msg)


def check_timeout(call: str, value: Any, name: str = "timeout") -> None:
    """Refuse what is no time to wait: a number of seconds from 0; infinity is one.

    Raises:
        UsageError: it is none.
    """
    if not (is_finite(value) or value == math.inf) or value < 0:
        msg = f"{call}({name}={shown(value)}) is no time to wait; give a number of seconds from 0"
        raise UsageError(msg)


def check_text(call: str, what: str, value: Any) -> None:
    """Refuse what is no text.

    Raises:
        UsageError: it is none.
    """
    if not isinstance(value, str):
        msg = f"{call}() takes {what} as a string, not {shown(value)}"
        raise UsageError(msg)


def check_callable(call: str, what: str, value: Any) -> None:
    """Refuse what cannot be called.

    Raises:
        UsageError: it cannot.
    """
    if not callable(value):
        hint = ""
        if inspect.iscoroutine(value):
            value.close()  # it is told of here, and not once more by Python
            hint = "; leave out the parentheses after it"
        msg = f"{call}() takes a function as {what}, not {shown(value)}{hint}"
        raise UsageError(msg)


def check_awaitable(call: str, value: Any) -> None:
    """Refuse what cannot be awaited.

    Raises:
        UsageError: it cannot.
    """
    if not inspect.isawaitable(value):
        hint = f"; call it: {value.__name__}()" if inspect.iscoroutinefunction(value) else ""
        msg = f"{call}() takes what can be awaited, not {shown(value)}{hint}"
        raise UsageError(msg)


def check_coroutine(call: str, value: Any) -> None:
    """Refuse what is no coroutine.

    Raises:
        UsageError: it is a function that makes one, or something else.
    """
    if not inspect.iscoroutine(value):
        hint = f"; write {call}({value.__name__}())" if inspect.isroutine(value) else ""
        msg = f"{call}() takes a coroutine, not {shown(value)}{hint}"
        raise UsageError(msg)


def check_kind(call: str, what: str, value: Any, cls: type | UnionType) -> None:
    """Refuse what is not of a class of ours.

    Raises:
        UsageError: it is of another.
    """
    if not isinstance(value, cls):
        msg = f"{call}() takes {what}, not {shown(value)}"
        raise UsageError(msg)


def check_known(what: str, name: Any, names: Collection[str]) -> None:
    """Refuse a name that nobody has.

    Args:
        what: has names, in words: ``process``.
        name: that was given.
        names: that exist, in the order in which to show them.

    Raises:
        UsageError: nobody has it; the nearest is named.
    """
    if not isinstance(name, str) or name not in names:
        msg = f"there is no {what} named {shown(name)}; {among(name, list(names))}"
        raise UsageError(msg)
