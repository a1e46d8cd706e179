"""Whatever a person may write in a configuration refuses what is of another type in a sentence."""

from __future__ import annotations

import dataclasses
import importlib
import re
import typing
from collections.abc import Iterator
from typing import Any

import pytest

import actorfl
from actorfl import registry
from actorfl.errors import WrongType, WrongValue

#: Of the fields that have no default.
_NEEDED: dict[Any, Any] = {int: 2, float: 0.5, str: "accuracy"}
#: Without which a field says nothing.
_BESIDE: dict[tuple[type[Any], str], dict[str, Any]] = {(actorfl.Star, "shards"): {"workers": 4}}
#: What a graph is made with beside the field in question.
_GRAPHS: dict[type[Any], dict[str, Any]] = {
    actorfl.BlockModelGraph: {"blocks": (2, 2), "p": ((1.0, 0.5), (0.5, 1.0))},
    actorfl.EdgeListGraph: {"edges": (("w0", "w1"),)},
    actorfl.ErdosRenyiGraph: {"p": 0.9},
    actorfl.ScheduleGraph: {"edges": ((("w0", "w1"),),)},
}
_NUMBERS = {int, float, int | None, float | None}


def _load(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def _parts() -> Iterator[type[Any]]:
    """All that a configuration is made of: the kinds of each slot, and what stands beside them."""
    yield from (actorfl.Every, actorfl.Supervision)
    for slot in registry.SLOTS.values():
        yield from (_load(target) for target in slot.kinds.values())


def _numbers() -> Iterator[tuple[type[Any], str, Any]]:
    for cls in _parts():
        hints = typing.get_type_hints(cls)
        for field in dataclasses.fields(cls):
            if field.init and hints[field.name] in _NUMBERS:
                yield cls, field.name, hints[field.name]


@pytest.mark.parametrize(
    ("cls", "name", "hint"),
    [pytest.param(*one, id=f"{one[0].__name__}.{one[1]}") for one in _numbers()],
)
def test_a_number_of_another_type_is_refused_in_a_sentence(
    cls: type[Any], name: str, hint: object
) -> None:
    hints = typing.get_type_hints(cls)
    graph = _GRAPHS.get(cls, {})
    if issubclass(cls, actorfl.Peers) and "edges" not in graph and "blocks" not in graph:
        graph = {"nodes": 6, **graph}
    needed = {
        field.name: graph[field.name] if field.name in graph else _NEEDED[hints[field.name]]
        for field in dataclasses.fields(cls)
        if field.name in graph
        or (field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING)
    }
    wrong: list[object] = ["3", True, [3]]
    if hint in (int, int | None):
        wrong.append(2.5)
    if hint in (int, float):
        wrong.append(None)
    for value in wrong:
        with pytest.raises((WrongType, WrongValue), match=re.escape(name)):
            cls(**{**needed, **_BESIDE.get((cls, name), {}), name: value})
