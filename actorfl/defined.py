"""What a class of the user's own must define, looked at before anything starts."""

from __future__ import annotations

import inspect
from abc import ABC
from typing import Any, Self

from actorfl.errors import ConfigError

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def is_ours(cls: type) -> bool:
    """Whether a class comes with actorfl, and not from who uses it."""
    return cls.__module__.startswith("actorfl.")


class Abstract(ABC):  # noqa: B024  (subclasses say what is abstract)
    """Base of classes whose subclasses have to define something."""

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Make one.

        Raises:
            ConfigError: the class leaves something undefined, named in the sentence.
        """
        missing = sorted(getattr(cls, "__abstractmethods__", ()))
        if missing:
            raise ConfigError(f"{cls.__name__} does not define {' and '.join(missing)}; add it")
        return super().__new__(cls)


def check_defined(thing: object, base: type, *names: str) -> None:
    """Refuse an object whose class does not override what it must.

    Args:
        thing: an instance of a subclass of `base`.
        base: the class that only says what is to be defined.
        names: of the methods.

    Raises:
        ConfigError: one is missing.
    """
    cls = type(thing)
    missing = [name for name in names if getattr(cls, name) is getattr(base, name)]
    if missing:
        raise ConfigError(f"{cls.__name__} does not define {' and '.join(missing)}; add it")


def check_signatures(thing: object, base: type) -> None:
    """Refuse an object whose methods cannot be called as those of `base` are.

    Args:
        thing: an instance of a subclass of `base`.
        base: whose public methods are looked at; what `thing` inherits from it is fine.

    Raises:
        ConfigError: a method takes other arguments, or is to be a coroutine and is none, or is one
            and is to be none.
    """
    cls = type(thing)
    for name, declared in vars(base).items():
        if name.startswith("_") or not inspect.isfunction(declared):
            continue
        own = getattr(cls, name)
        if own is declared or not callable(own):
            continue
        try:
            signature = inspect.signature(getattr(thing, name))
        except (TypeError, ValueError):  # code that is not Python's
            continue
        _, *wanted = inspect.signature(declared).parameters.values()
        given = [each.name for each in wanted if each.kind in _POSITIONAL]
        named = {each.name: None for each in wanted if each.kind not in _POSITIONAL}
        coroutine = inspect.iscoroutinefunction(declared)
        header = f"{'async ' if coroutine else ''}def {name}({', '.join(['self', *given])})"
        try:
            signature.bind(*given, **named)
        except TypeError:
            raise ConfigError(
                f"{name} of {cls.__name__} takes {signature}; write {header}"
            ) from None
        if coroutine and not inspect.iscoroutinefunction(inspect.unwrap(own)):
            raise ConfigError(f"{name} of {cls.__name__} is no coroutine; write {header}")
        if not coroutine and inspect.iscoroutinefunction(inspect.unwrap(own)):
            raise ConfigError(f"{name} of {cls.__name__} is a coroutine; write {header}")
