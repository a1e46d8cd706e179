"""Messages: frozen typed structures that name their reply."""

from __future__ import annotations

import functools
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar, dataclass_transform

import msgspec

from transports import Weights

# Covariant: where an object is wanted, as in print(await ref.ask(...)), a Message[str] is fine.
R_co = TypeVar("R_co", covariant=True)
Lane = Literal["control", "bulk"]

#: Modules that ``actors.code`` loads from a file carry this prefix; see ``home_of``.
FILE_MODULE_PREFIX = "_actorfl_file_"


def home_of(module: str) -> str:
    """The name under which every process knows this module's messages and exceptions.

    A script is ``__main__`` where it was started and a privately named module where a node loaded
    it from its file, so classes defined in one go by the file's name. What was started by
    ``python -m`` other processes import by its name.
    """
    spec = getattr(sys.modules.get(module), "__spec__", None)
    if module == "__main__" and spec is not None:
        return str(spec.name)
    if module == "__main__" or module.startswith(FILE_MODULE_PREFIX):
        file = getattr(sys.modules.get(module), "__file__", None)
        if file:
            return Path(file).name
    return module


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class _MessageMeta(msgspec.StructMeta):
    """Makes each subclass frozen, array-like (new fields go at the end) and tagged by its home."""

    def __new__(
        mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any
    ) -> Any:
        options.setdefault("frozen", True)
        options.setdefault("array_like", True)
        options.setdefault("tag", f"{home_of(namespace['__module__'])}:{namespace['__qualname__']}")
        return super().__new__(mcls, name, bases, namespace, **options)


class Message(msgspec.Struct, Generic[R_co], metaclass=_MessageMeta):
    """Base of all messages: ``class Greet(Message[str])`` is answered by a ``str``.

    Fields are declared as in a dataclass; new ones go at the end, with a default, so that older
    nodes still understand. A message is immutable. One that is only ever told is ``Message[None]``.

    Arrays travel only inside a frozen :class:`transports.Weights`; a type that has one among its
    fields travels on the bulk lane, every other on the control lane. The order of messages from
    one actor to another is kept per lane.

    A class that is derived from another class of messages has its fields and its reply, and is a
    type of its own: a handler for that one does not get it.
    """

    #: Set by hand to move a type to the bulk lane that carries no arrays.
    lane: ClassVar[Lane | None] = None


@functools.cache  # as many as there are message types in the program
def reply_type(message: type[Message[Any]]) -> Any:
    """The ``R`` of ``Message[R]``.

    Raises:
        TypeError: the class names no reply.
    """
    for cls in message.__mro__:
        for base in getattr(cls, "__orig_bases__", ()):
            origin = typing.get_origin(base)
            if origin is not None and isinstance(origin, type) and issubclass(origin, Message):
                (reply,) = typing.get_args(base)
                if isinstance(reply, TypeVar):
                    continue
                return _resolve(reply, cls)
    msg = (
        f"{message.__qualname__} does not say what answers it; write "
        f"`class {message.__name__}(Message[Reply])`, or Message[None] for one that is only told"
    )
    raise TypeError(msg)


def kinds_below(kind: type) -> Iterator[type]:
    """The classes that are derived from one, at any depth, as far as they are loaded."""
    derived: list[type] = kind.__subclasses__()
    for one in derived:
        yield one
        yield from kinds_below(one)


def _resolve(reply: Any, cls: type) -> Any:
    if _names_later(reply):
        scope = vars(sys.modules[cls.__module__])
        text = reply.__forward_arg__ if isinstance(reply, typing.ForwardRef) else reply
        return typing.get_type_hints(
            type("_", (), {"__annotations__": {"r": text}}), scope, include_extras=True
        )["r"]
    return type(None) if reply is None else reply


def _names_later(reply: Any) -> bool:
    """Whether the type names, somewhere in it, a class that need not exist yet."""
    if isinstance(reply, typing.ForwardRef | str):
        return True
    if typing.get_origin(reply) is Literal:
        return False
    return any(_names_later(inner) for inner in typing.get_args(reply))


_lanes: dict[Any, Lane] = {}

#: Types that are known to travel on the control lane: what a sender asks first.
CONTROL: set[type] = set()


def lane_of(kind: type[Message[Any]]) -> Lane:
    """The lane of a message type: bulk where it can carry ``Weights``.

    Raises:
        TypeError: it is none.
    """
    try:
        return _lanes[kind]
    except KeyError:
        if Message not in kind.__mro__:
            msg = f"{kind.__qualname__} is no class of messages; derive it from Message"
            raise TypeError(msg) from None
        lane: Lane = kind.lane or ("bulk" if _carries_weights(kind, set()) else "control")
        _lanes[kind] = lane
        if lane == "control":
            CONTROL.add(kind)
        return lane


def _carries_weights(kind: Any, seen: set[Any]) -> bool:
    if kind is Weights:
        return True
    aliased = getattr(kind, "__value__", None)  # a `type X = ...` of Python 3.12
    if aliased is not None and not isinstance(kind, type):
        return _carries_weights(aliased, seen)
    if typing.get_origin(kind) is not None or isinstance(kind, types.UnionType):
        return any(_carries_weights(a, seen) for a in typing.get_args(kind))
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in seen:
        seen.add(kind)
        hints = typing.get_type_hints(kind)
        return any(_carries_weights(hints[f], seen) for f in kind.__struct_fields__)
    return False
