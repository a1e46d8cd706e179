"""Names that a class of actors cannot have for itself, and hooks that are defined as called.

Looked at once, when the class is defined: for an ``Actor`` by its base, for one of pykka's when its
handlers are collected.
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any, Final

from actors.errors import HandlerError

#: What an actor may define anew: called by the runtime, or read by it.
HOOKS: Final = frozenset(
    {
        "on_start", "on_stop", "stop_wanted", "child_failed", "child_stopped", "child_halted",
        "child_started", "child_restarts",
    }
)  # fmt: skip
SETTINGS: Final = frozenset({"stash_capacity"})
#: Of these a coroutine is awaited; what the others return is not.
_AWAITED: Final = frozenset({"on_start", "on_stop"})

_STORE_ATTR: Final = dis.opmap["STORE_ATTR"]

#: The runtime's own note in each actor; a natural name, so it is told of like the public ones.
_PRIVATE: Final = frozenset({"_cell"})

#: Of a blocking actor, what pykka and the runtime call, and what they keep there. Its
#: ``on_receive`` is a name for a handler like any other.
BLOCKING_HOOKS: Final = frozenset({"on_start", "on_stop", "on_failure"})
BLOCKING_RESERVED: Final = frozenset(
    {"actor_inbox", "actor_ref", "actor_stopped", "actor_urn", "start", "stop"}
)


def reserved_names(base: type) -> frozenset[str]:
    """The names of the base class of actors that one derived from it cannot have for itself."""
    public = {name for name in vars(base) if not name.startswith("_")}
    return frozenset(public - HOOKS - SETTINGS)


def check_reserved(cls: type, base: type) -> None:
    """Refuse a class of actors that hides a name which it needs, or whose hooks cannot be called.

    A method of the base may be defined anew with the parameters that it has there.

    Args:
        cls: the class.
        base: ``Actor``.

    Raises:
        HandlerError: it does.
    """
    _check(cls, base, reserved_names(base) | _PRIVATE, HOOKS, _AWAITED)


def check_blocking(cls: type, base: type) -> None:
    """The same for a blocking actor.

    Args:
        cls: the class.
        base: ``pykka.ThreadingActor``.

    Raises:
        HandlerError: see ``check_reserved``.
    """
    _check(cls, base, BLOCKING_RESERVED, BLOCKING_HOOKS, frozenset())


def _check(
    cls: type,
    base: type,
    reserved: frozenset[str],
    hooks: frozenset[str],
    awaited: frozenset[str],
) -> None:
    for owner, name, value in _defined(cls, base):
        if name in reserved:
            original = inspect.getattr_static(base, name, None)
            if not _same_parameters(original, value):
                raise _hides(cls, base, f"{owner.__qualname__}.{name}", name)
        elif name in hooks:
            _check_hook(cls, base, name, value, awaits=name in awaited)
        if isinstance(value, FunctionType):
            for stored in _stored(value, reserved):
                where = f"self.{stored} set in {owner.__qualname__}.{name}"
                raise _hides(cls, base, where, stored)


def _defined(cls: type, base: type) -> Iterator[tuple[type, str, Any]]:
    """(Class, name, what) of all that stands before the base, nearest last."""
    for owner in reversed(cls.__mro__[: cls.__mro__.index(base)]):
        # An annotation alone is a field of a dataclass, which sets it.
        for name in (*vars(owner).get("__annotations__", ()), *tuple(vars(owner))):
            yield owner, name, vars(owner).get(name)


def _same_parameters(original: Any, value: Any) -> bool:
    if not (isinstance(original, FunctionType) and isinstance(value, FunctionType)):
        return False
    if inspect.iscoroutinefunction(original) != inspect.iscoroutinefunction(inspect.unwrap(value)):
        return False

    def named(function: FunctionType) -> list[tuple[str, Any]]:
        return [(p.name, p.kind) for p in inspect.signature(function).parameters.values()]

    return named(original) == named(value)


def _hides(cls: type, base: type, what: str, name: str) -> HandlerError:
    kind = f"{base.__name__}'s own {name!r}" if hasattr(base, name) else f"the runtime's {name!r}"
    return HandlerError(
        f"{what} hides {kind}, which each actor needs, so {cls.__name__} would not work; choose "
        "another name"
    )


def _check_hook(cls: type, base: type, name: str, value: Any, *, awaits: bool) -> None:
    if not isinstance(value, FunctionType):
        return
    original = getattr(base, name)
    wanted = list(inspect.signature(original).parameters.values())
    called = f"{name}({', '.join(p.name for p in wanted[1:])})"
    if inspect.iscoroutinefunction(value) and not awaits:
        msg = (
            f"{cls.__qualname__}.{name} is `async def`, but this hook is not awaited; write "
            f"`def {called.replace('(', '(self, ' if wanted[1:] else '(self')}`"
        )
        raise HandlerError(msg)
    try:
        inspect.signature(value).bind(*wanted)
    except TypeError:
        msg = (
            f"{cls.__qualname__}.{name} hides the hook of this name, which is called as {called}; "
            "take its parameters, or choose another name for a handler"
        )
        raise HandlerError(msg) from None


def _stores(code: CodeType, reserved: frozenset[str]) -> bool:
    """Whether any such name is set of anything: few are, and to disassemble takes a while.

    A process that starts would else spend a fifth of its imports on the methods of its actors.
    """
    names = code.co_names
    if reserved.isdisjoint(names):
        return False
    operations, arguments = code.co_code[::2], code.co_code[1::2]
    at = operations.find(_STORE_ATTR)
    while at >= 0:
        # An argument above 255 has its upper bits in the instruction before.
        if len(names) > 256 or names[arguments[at]] in reserved:
            return True
        at = operations.find(_STORE_ATTR, at + 1)
    return False


def _stored(function: FunctionType, reserved: frozenset[str]) -> Iterator[str]:
    """The reserved names that a method sets on its own instance."""
    code = function.__code__
    if not code.co_argcount or not _stores(code, reserved):
        return
    own, before = code.co_varnames[0], None
    for one in dis.get_instructions(code):
        if one.opcode == dis.EXTENDED_ARG:  # the upper bits of the argument of the next one
            continue
        if one.opname == "STORE_ATTR" and one.argval in reserved and before is not None:
            # Newer versions load two variables at once; the last of them is the one on top.
            loaded = before.argval[-1] if isinstance(before.argval, tuple) else before.argval
            if before.opname.startswith("LOAD_FAST") and loaded == own:
                yield one.argval
        before = one
