"""What looks like a handler and cannot be one, or is none: refused, or warned of.

What cannot work is refused. What may be a helper is warned of only where no code of its class uses
it: nobody can call a method of an actor from outside.
"""

from __future__ import annotations

import inspect
import sys
import typing
import warnings
from collections.abc import Coroutine, Iterator, Mapping
from types import CodeType, FunctionType
from typing import Any, Final

from actors.actor import Actor
from actors.errors import HandlerError, HandlerWarning
from actors.message import Message
from actors.reserved import BLOCKING_HOOKS, HOOKS, check_blocking

_NO_HANDLERS: Final = HOOKS | BLOCKING_HOOKS


def check_class(cls: type) -> None:
    """Refuse a blocking actor that hides what it needs; an ``Actor`` was looked at when defined.

    Raises:
        HandlerError: it does.
    """
    base = _blocking_base(cls)
    if base is not None:
        check_blocking(cls, base)


def methods_of(cls: type) -> Iterator[tuple[str, FunctionType]]:
    """The methods of an actor's class that may be handlers, by name."""
    base = Actor if issubclass(cls, Actor) else _blocking_base(cls)
    for name, function in inspect.getmembers(cls, inspect.isfunction):
        if name.startswith("_") or name in _NO_HANDLERS:
            continue
        if getattr(base, name, None) is function:
            continue
        if not isinstance(inspect.getattr_static(cls, name), staticmethod):
            yield name, function


def check_runs(cls: type, name: str, function: FunctionType) -> None:
    """Refuse a handler that would not run, or whose answer nobody could read.

    Raises:
        HandlerError: a generator, or a coroutine in a thread.
    """
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        msg = (
            f"{cls.__qualname__}.{name} has a `yield`, so nothing of it runs when it is called; "
            "return the answer, or tell it in parts"
        )
        raise HandlerError(msg)
    if inspect.iscoroutinefunction(function) and _blocking_base(cls) is not None:
        msg = (
            f"{cls.__qualname__}.{name} is `async def`, but the handlers of blocking actors are "
            f"plain functions, which run in a thread; write `def {name}`, or derive "
            f"{cls.__name__} from actors.Actor"
        )
        raise HandlerError(msg)


def waits_at_times(cls: type, name: str, returned: Any, reply: Any) -> bool:
    """Whether a handler gives a reply, or a coroutine of it where it has something to wait for."""
    if _blocking_base(cls) is not None or inspect.iscoroutinefunction(getattr(cls, name)):
        return False
    kinds = typing.get_args(returned)
    coroutines = [kind for kind in kinds if typing.get_origin(kind) is Coroutine]
    replies = tuple(kind for kind in kinds if typing.get_origin(kind) is not Coroutine)
    if len(coroutines) != 1 or not replies:
        return False
    later = typing.get_args(coroutines[0])[-1]
    at_once: Any = typing.Union[replies]  # noqa: UP007  (of what is known only now)
    return bool(at_once == reply and (later or type(None)) == reply)


def warn_of_no_handler(
    cls: type, name: str, function: FunctionType, hints: Mapping[str, Any]
) -> None:
    """Warn of a public method that is no handler and that no code of its class uses.

    Args:
        cls: the class.
        name: of the method.
        function: the method.
        hints: its annotations.
    """
    parameters = list(inspect.signature(function).parameters.values())[1:]
    why = _why_none(parameters, hints)
    if why is None or name in _used_names(cls):
        return
    sentence = (
        f"{cls.__qualname__}.{name} looks like a handler and is none, so no message gets there: "
        f"{why}; or begin its name with an underscore"
    )
    code = inspect.unwrap(function).__code__
    warnings.warn_explicit(sentence, HandlerWarning, code.co_filename, code.co_firstlineno)


def _why_none(parameters: list[inspect.Parameter], hints: Mapping[str, Any]) -> str | None:
    """What keeps a method from being a handler, and what to do; None where it looks like none."""
    messages = [p for p in parameters if _holds_message(hints.get(p.name))]
    if len(parameters) != 1:
        if not messages:
            return None
        others = ", ".join(p.name for p in parameters if p is not messages[0])
        return (
            f"a handler takes the message alone, and this one {others} as well; make that a field "
            "of the message"
        )
    (parameter,) = parameters
    hint = hints.get(parameter.name)
    if hint is None:
        return f"annotate {parameter.name!r} with the class of its messages"
    if messages:
        return "a handler is for one class of messages; write one for each"
    text = hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
    if isinstance(hint, type) and hint.__module__ != "builtins":
        return f"{text} is no Message; derive it, as in `class {text}(Message[None])`"
    return f"{text} is no Message; declare one that has it as a field"


def _holds_message(hint: Any) -> bool:
    """Whether classes of messages stand in an annotation: alone, as alternatives, or any."""
    if isinstance(hint, type) and typing.get_origin(hint) is None:
        return issubclass(hint, Message)
    if typing.get_origin(hint) is Message:
        return True
    return any(map(_holds_message, typing.get_args(hint)))


def _used_names(cls: type) -> set[str]:
    """All names that the code of a class mentions, that of the user's bases included."""
    names: set[str] = set()
    ours = {*Actor.__mro__, *getattr(_blocking_base(cls), "__mro__", ())}
    for owner in cls.__mro__:
        if owner in ours:
            continue
        for value in tuple(vars(owner).values()):
            function = getattr(value, "__func__", None) or getattr(value, "fget", None) or value
            function = inspect.unwrap(function) if callable(function) else function
            if isinstance(function, FunctionType):
                _collect(function.__code__, names)
    return names


def _collect(code: CodeType, names: set[str]) -> None:
    names.update(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _collect(constant, names)


def _blocking_base(cls: type) -> type | None:
    """``pykka.ThreadingActor`` where the class is derived from it; pykka is not imported for it."""
    pykka = sys.modules.get("pykka")
    if pykka is None or issubclass(cls, Actor) or not issubclass(cls, pykka.ThreadingActor):
        return None
    base: type = pykka.ThreadingActor
    return base
