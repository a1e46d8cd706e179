"""One handler method per message type, found by its parameter's annotation.

Methods whose name begins with an underscore are helpers, never handlers.
"""

from __future__ import annotations

import functools
import inspect
import operator
import typing
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from actors.actor import Actor
from actors.errors import HandlerError
from actors.message import Message, reply_type
from actors.signals import Terminated


@dataclass(frozen=True)
class Handlers:
    """What an actor class understands.

    Attributes:
        by_type: message type to method.
        union: type that decodes any message that came over the wire, or None.
    """

    by_type: Mapping[type, Callable[[Any, Any], Any]]
    union: Any


def handlers_of(cls: type) -> Handlers:
    """The handlers of an actor class.

    Raises:
        HandlerError: two methods take the same message type, or a method's return annotation
            disagrees with the ``R`` of ``Message[R]``.
    """
    known = _known.get(cls)
    if known is not None:
        return known
    found: dict[type[Message[Any]], Callable[[Any, Any], Any]] = {}
    for name, function in inspect.getmembers(cls, inspect.isfunction):
        if name.startswith("_") or getattr(Actor, name, None) is function:
            continue
        parameters = list(inspect.signature(function).parameters.values())[1:]
        if len(parameters) != 1 or parameters[0].annotation is inspect.Parameter.empty:
            continue
        try:
            hints = typing.get_type_hints(function)
        except (NameError, TypeError) as error:
            msg = (
                f"the annotations of {cls.__qualname__}.{name} cannot be read ({error}); import "
                "the names they use at the top of the module, outside TYPE_CHECKING"
            )
            raise HandlerError(msg) from None
        message = hints.get(parameters[0].name)
        if not (isinstance(message, type) and issubclass(message, Message)):
            continue
        if message in found:
            other = found[message].__name__
            msg = (
                f"{cls.__qualname__} handles {message.__name__} twice, in {other} and {name}; "
                "keep one"
            )
            raise HandlerError(msg)
        _check_reply(cls, name, message, hints)
        found[message] = function
    wire: list[Any] = [m for m in found if m is not Terminated]
    union: Any = functools.reduce(operator.or_, wire) if wire else None
    made = _known[cls] = Handlers(found, union)
    return made


def handle_undecoded(cls: type, take: Callable[[Any, msgspec.Raw], Any]) -> None:
    """Have an actor class take every message that is sent to it as it came, whatever its type.

    What the node itself delivers (``Terminated``) still goes to the handler for it.

    Args:
        cls: the actor class.
        take: its method; ``cell.current`` has the arrays and says whether it is an ask.
    """
    own = handlers_of(cls).by_type
    _known[cls] = Handlers({**own, msgspec.Raw: take}, msgspec.Raw)


#: As many as there are actor classes in the program; a class that goes takes its entry along.
_known: weakref.WeakKeyDictionary[type, Handlers] = weakref.WeakKeyDictionary()


def _check_reply(cls: type, name: str, message: type[Message[Any]], hints: dict[str, Any]) -> None:
    try:
        expected = reply_type(message)
    except (TypeError, NameError) as error:
        msg = f"{cls.__qualname__}.{name}: {error}"
        raise HandlerError(msg) from None
    returned = hints.get("return", inspect.Parameter.empty)
    if returned is inspect.Parameter.empty:
        msg = (
            f"{cls.__qualname__}.{name} needs a return annotation: {_text(expected)}, as "
            f"{message.__name__} says"
        )
        raise HandlerError(msg)
    if returned != expected:
        msg = (
            f"{cls.__qualname__}.{name} returns {_text(returned)}, but {message.__name__} is a "
            f"Message[{_text(expected)}]; make the two agree"
        )
        raise HandlerError(msg)


def _text(kind: Any) -> str:
    return "None" if kind is type(None) else getattr(kind, "__name__", str(kind))
