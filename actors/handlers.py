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
from types import FunctionType
from typing import Any, TypeGuard

import msgspec

from actors.errors import HandlerError
from actors.handlercheck import (
    check_class,
    check_runs,
    methods_of,
    waits_at_times,
    warn_of_no_handler,
)
from actors.message import Message, reply_type
from actors.signals import Terminated
from actors.suggest import meant


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

    A method that looks like a handler and is none is told of as ``HandlerWarning``.

    Raises:
        HandlerError: two methods take the same message type, a method's return annotation
            disagrees with the ``R`` of ``Message[R]``, its annotations cannot be read, or it
            cannot run as a handler.
    """
    known = _known.get(cls)
    if known is not None:
        return known
    check_class(cls)
    found: dict[type[Message[Any]], Callable[[Any, Any], Any]] = {}
    for name, function in methods_of(cls):
        hints = _hints(cls, name, function)
        message = None if hints is None else _message_of(cls, name, function, hints)
        if hints is None or message is None:
            warn_of_no_handler(cls, name, function, hints or {})
            continue
        if message in found:
            other = found[message].__name__
            msg = (
                f"{cls.__qualname__} handles {message.__name__} twice, in {other} and {name}; "
                "keep one"
            )
            raise HandlerError(msg)
        check_runs(cls, name, function)
        _check_reply(cls, name, message, hints)
        found[message] = function
    wire: list[Any] = [m for m in found if m is not Terminated]
    union: Any = functools.reduce(operator.or_, wire) if wire else None
    made = _known[cls] = Handlers(found, union)
    return made


def _hints(cls: type, name: str, function: FunctionType) -> dict[str, Any] | None:
    """The annotations of a method that may be a handler; None where it takes none or is not one."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    if not any(p.annotation is not p.empty for p in parameters):
        return None
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError) as error:
        if len(parameters) != 1:
            return None  # a helper, whoever it is for
        wrong = getattr(error, "name", None)
        known = [n for n, v in function.__globals__.items() if _is_message_class(v)]
        hint = meant(wrong, known) if wrong else ""
        msg = (
            f"the annotations of {cls.__qualname__}.{name} cannot be read ({error}); {hint}"
            "import the names they use at the top of the module, outside TYPE_CHECKING, or begin "
            "the name of what is no handler with an underscore"
        )
        raise HandlerError(msg) from None


def _message_of(
    cls: type, name: str, function: FunctionType, hints: dict[str, Any]
) -> type[Message[Any]] | None:
    """The class of messages that a method handles; None for a helper."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    if len(parameters) != 1:
        return None
    (parameter,) = parameters
    message = hints.get(parameter.name)
    if not _is_message_class(message):
        return None
    if parameter.kind not in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
        msg = (
            f"{cls.__qualname__}.{name} takes its {message.__name__} as {parameter}, but a handler "
            f"is given its message by position; write `def {name}(self, message: "
            f"{message.__name__})`"
        )
        raise HandlerError(msg)
    return message


def _is_message_class(value: Any) -> TypeGuard[type[Message[Any]]]:
    return isinstance(value, type) and issubclass(value, Message)


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
    if returned != expected and not waits_at_times(cls, name, returned, expected):
        msg = (
            f"{cls.__qualname__}.{name} returns {_text(returned)}, but {message.__name__} is a "
            f"Message[{_text(expected)}]; make the two agree"
        )
        raise HandlerError(msg)


def _text(kind: Any) -> str:
    if kind is type(None):
        return "None"
    return kind.__name__ if isinstance(kind, type) else str(kind)
