"""Whether a constructor takes the arguments that it is given, before it is called."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter
from typing import Any

from actors.arguments import hints_of
from actors.errors import GraphError, UsageError
from actors.given import what_instead
from actors.hints import is_reference, leaves, members, mentions_reference, text_of
from actors.suggest import meant, shown


@dataclass(frozen=True)
class _Takes:
    """What a constructor takes by name."""

    names: frozenset[str]
    needed: frozenset[str]
    anything: bool
    #: In the order of the constructor, for sentences.
    order: tuple[str, ...]
    #: Annotations in which references stand.
    references: Mapping[str, Any]


def check_arguments(
    name: str,
    cls: Any,
    arguments: Mapping[str, Any],
    *,
    options: Sequence[str] = (),
    in_graph: bool = False,
) -> None:
    """Refuse arguments that a constructor does not take, needs, or wants to be references.

    Args:
        name: of the actor, for the sentence.
        cls: its class; what is none is refused by others.
        arguments: by name.
        options: of the call, which a constructor's own parameters cannot be named as.
        in_graph: a handle becomes a reference, and what is raised is a ``GraphError``.

    Raises:
        UsageError: they are such.
    """
    error = GraphError if in_graph else UsageError
    takes = _takes(cls)
    if takes is None:
        return
    given = arguments.keys()
    if not given >= takes.needed or not (takes.anything or given <= takes.names):
        raise error(_misfit(name, cls, takes, arguments, options))
    if takes.references:
        wrong = _no_reference(name, cls, takes, arguments, in_graph=in_graph)
        if wrong:
            raise error(wrong)


def _misfit(
    name: str, cls: type, takes: _Takes, arguments: Mapping[str, Any], options: Sequence[str]
) -> str:
    """What is wrong comes first: what is missing may be what it was meant as."""
    unknown = [] if takes.anything else [one for one in arguments if one not in takes.names]
    missing = [one for one in takes.order if one in takes.needed and one not in arguments]
    free = [one for one in (*takes.order, *options) if one not in arguments]
    parts = []
    for one in unknown:
        own = f"it takes {', '.join(takes.order)}" if takes.order else "it takes none"
        parts.append(f"takes no argument {one!r} ({meant(one, free)}{own})")
    if missing:
        parts.append(f"needs {', '.join(map(repr, missing))}")
    taken = [one for one in takes.order if one in options]
    hint = (
        f"; {taken[0]!r} is an option of the call itself: rename the parameter"
        if taken
        else "; give it by name"
        if missing and not unknown
        else ""
    )
    return f"{name!r} cannot be made: {cls.__qualname__} {' and '.join(parts)}{hint}"


def _no_reference(
    name: str, cls: type, takes: _Takes, arguments: Mapping[str, Any], *, in_graph: bool
) -> str:
    """What stands where only a reference can; "" where nothing does."""
    for parameter, hint in takes.references.items():
        if parameter not in arguments:
            continue
        for value, inner in leaves(hint, arguments[parameter]):
            if value is None or not _only_references(inner) or hasattr(type(value), "tell"):
                continue  # also a stand-in of a test's own, as long as it can be told something
            if in_graph and _is_handle(value):
                continue
            return (
                f"{parameter!r} of {name!r} is {shown(value)}, but {cls.__qualname__} wants "
                f"{text_of(inner)} there; {_instead(value, in_graph=in_graph)}"
            )
    return ""


def _instead(value: Any, *, in_graph: bool) -> str:
    if in_graph and isinstance(value, str):
        return f"give the handle that actor() returned, or link({value!r}) of the graph"
    return what_instead(value)


def _is_handle(value: Any) -> bool:
    from actors.declared import Handle  # of graphs, which a node that runs one actor never loads

    return isinstance(value, Handle)


def _only_references(hint: Any) -> bool:
    kinds = [one for one in members(hint) if one is not type(None)]
    return bool(kinds) and all(map(is_reference, kinds))


def _takes(cls: Any) -> _Takes | None:
    if not isinstance(cls, type):
        return None
    known = _known.get(cls)
    if known is None:
        try:
            signature = inspect.signature(cls)
        except (TypeError, ValueError):  # of C, or odd: the constructor itself says what it takes
            return None
        known = _known[cls] = _read(cls, list(signature.parameters.values()))
    return known


def _read(cls: type, parameters: Sequence[Parameter]) -> _Takes:
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    # What is taken by position alone is needed and cannot be given: it is named, and never there.
    needed = [
        p.name
        for p in parameters
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    try:
        hints = hints_of(cls)
    except (UsageError, TypeError):
        hints = {}  # within a process nobody has to read them
    return _Takes(
        frozenset(p.name for p in named),
        frozenset(needed),
        any(p.kind is p.VAR_KEYWORD for p in parameters),
        tuple(p.name for p in parameters if p in named or p.name in needed),
        {p.name: hints[p.name] for p in named if mentions_reference(hints.get(p.name))},
    )


#: As many as there are actor classes in the program; a class that goes takes its entry along.
_known: weakref.WeakKeyDictionary[type, _Takes] = weakref.WeakKeyDictionary()
