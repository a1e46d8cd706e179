"""Whatever a person may write in a configuration refuses what is of another type in a sentence."""

from __future__ import annotations

import dataclasses
import importlib
import re
import typing
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import actorfl
from actorfl import registry
from actorfl.errors import WrongType, WrongValue
from actorfl.peersampling.protocols import GenericProtocol

#: Of the fields that have no default.
_NEEDED: dict[Any, Any] = {int: 2, float: 0.5, str: "accuracy"}
#: Without which a field says nothing.
_BESIDE: dict[tuple[type[Any], str], dict[str, Any]] = {
    (actorfl.Star, "shards"): {"workers": 4},
    (actorfl.Sample, "by"): {"count": 1},
    (actorfl.Available, "by"): {"count": 1},
    (actorfl.Target, "mode"): {"patience": 1},
}
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


def _words() -> Iterator[tuple[type[Any], str]]:
    for cls in _parts():
        hints = typing.get_type_hints(cls)
        for field in dataclasses.fields(cls):
            kinds = (hints[field.name], *typing.get_args(hints[field.name]))
            if field.init and any(typing.get_origin(kind) is typing.Literal for kind in kinds):
                yield cls, field.name


def _named() -> Iterator[type[Any]]:
    """The topologies whose nodes or workers may have names."""
    for target in registry.SLOTS["topology"].kinds.values():
        cls = _load(target)
        if any(field.name == "named" for field in dataclasses.fields(cls)):
            yield cls


def _beside(cls: type[Any]) -> dict[str, Any]:
    """Without which none of a class can be made."""
    hints = typing.get_type_hints(cls)
    graph = _GRAPHS.get(cls, {})
    if issubclass(cls, actorfl.Peers) and "edges" not in graph and "blocks" not in graph:
        graph = {"nodes": 6, **graph}
    return {
        field.name: graph[field.name] if field.name in graph else _NEEDED[hints[field.name]]
        for field in dataclasses.fields(cls)
        if field.name in graph
        or (field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING)
    }


@pytest.mark.parametrize(
    ("cls", "name", "hint"),
    [pytest.param(*one, id=f"{one[0].__name__}.{one[1]}") for one in _numbers()],
)
def test_a_number_of_another_type_is_refused_in_a_sentence(
    cls: type[Any], name: str, hint: object
) -> None:
    wrong: list[object] = ["3", True, [3]]
    if hint in (int, int | None):
        wrong.append(2.5)
    if hint in (int, float):
        wrong.append(None)
    for value in wrong:
        with pytest.raises((WrongType, WrongValue), match=re.escape(name)):
            cls(**{**_beside(cls), **_BESIDE.get((cls, name), {}), name: value})


@pytest.mark.parametrize(
    ("cls", "name"),
    [pytest.param(cls, name, id=f"{cls.__name__}.{name}") for cls, name, _ in _numbers()],
)
def test_a_whole_number_of_any_length_is_taken_or_refused_in_a_short_sentence(
    cls: type[Any], name: str
) -> None:
    # Above 10^308 it is no float; above 10^4300 Python does not write it.
    for value in (10**400, -(10**400), 10**5000):
        sentence = name
        try:
            cls(**{**_beside(cls), **_BESIDE.get((cls, name), {}), name: value})
        except (WrongType, WrongValue) as error:
            sentence = str(error)
        assert name in sentence
        assert len(sentence) < 300


@pytest.mark.parametrize(
    ("cls", "name"), [pytest.param(*one, id=f"{one[0].__name__}.{one[1]}") for one in _words()]
)
def test_what_is_none_of_a_field_s_words_is_refused_in_a_sentence(
    cls: type[Any], name: str
) -> None:
    wrong: list[object] = ["no such word", [], {}, ["push"], np.array(3), np.array([1, 2]), 2.5]
    for value in wrong:
        with pytest.raises((WrongType, WrongValue), match=re.escape(name)):
            cls(**{**_beside(cls), **_BESIDE.get((cls, name), {}), name: value})


@pytest.mark.parametrize("cls", [*_named()], ids=lambda cls: cls.__name__)
def test_what_is_no_tuple_of_names_is_refused_and_not_taken_for_nothing(cls: type[Any]) -> None:
    needed = {"levels": (("root", 1), ("worker", 2))} if cls is actorfl.Tree else _beside(cls)
    wrong = [None, False, 5, "", "ab", b"", b"ab", np.array(3), np.array([1, 2])]
    for value in wrong:
        with pytest.raises((WrongType, WrongValue), match="named of"):
            cls(**{**needed, "named": value})


@pytest.mark.parametrize(
    "changed",
    [
        *({"blocks": blocks} for blocks in (None, True, 5, 1.5, [2, 2], "22", np.array([2, 2]))),
        *({"p": p} for p in (None, True, 0.5, 10**400, (1, 2), b"x", "x", [1], np.array(3))),
        *({"p": p} for p in (np.array([1, 2]), ((10**400, 0), (0, 1)), (("a", "b"), ("c", "d")))),
    ],
    ids=repr,
)
def test_what_is_no_block_model_is_refused_in_a_sentence(changed: dict[str, Any]) -> None:
    (name,) = changed
    given = {**_GRAPHS[actorfl.BlockModelGraph], **changed}
    with pytest.raises((WrongType, WrongValue), match=f"`{name}` of BlockModelGraph"):
        actorfl.BlockModelGraph(**given)


@pytest.mark.parametrize("name", ["select", "exchange"])
def test_so_is_a_word_of_peer_sampling_that_is_none(name: str) -> None:
    wrong: tuple[Any, ...] = ("no such word", [], np.array([1, 2]))
    for value in wrong:
        with pytest.raises((WrongType, WrongValue), match=f"`{name}` of GenericProtocol"):
            GenericProtocol(**{name: value})


def test_rows_of_a_block_model_may_be_lists() -> None:
    rows = [[1.0, 0.5], [0.5, 1.0]]
    assert actorfl.BlockModelGraph(blocks=(2, 2), p=rows).p == ((1.0, 0.5), (0.5, 1.0))  # type: ignore[arg-type]  # as who writes Python may
