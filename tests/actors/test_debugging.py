from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict, deque
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from actors.debugging import state_of
from actors.shortened import shortened
from actors.signals import ActorState


class Rude:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __repr__(self) -> str:
        raise self.error


class Sorted(list[int]):
    def __iter__(self) -> Any:
        raise AssertionError


def state_with(**attributes: object) -> ActorState:
    cell: Any = SimpleNamespace(
        actor=SimpleNamespace(**attributes), path="/a", cls=Rude,
        state=SimpleNamespace(value="running"),
    )  # fmt: skip
    state = state_of(cell, [], "")
    return msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=ActorState)


@pytest.mark.parametrize("error", [ValueError(), SystemExit(3), KeyboardInterrupt()])
def test_what_an_attributes_repr_raises_is_shown_and_ends_nothing(error: BaseException) -> None:
    said = f"<its repr() raised {type(error).__name__}>"
    assert state_with(a=Rude(error), b=[1, Rude(error)]).attributes == {
        "a": said,
        "b": f"[1, {said}]",
    }


def test_a_repr_that_sets_attributes_disturbs_nobody() -> None:
    actor = SimpleNamespace()

    class Lazy:
        def __repr__(self) -> str:
            actor.more = 1
            return "lazy"

    actor.first = Lazy()
    actor.last = 2
    cell: Any = SimpleNamespace(actor=actor, path="/a", cls=Lazy, state=SimpleNamespace(value="x"))
    assert state_of(cell, [], "").attributes == {"first": "lazy", "last": "2"}


def test_attributes_that_cannot_be_encoded_or_have_endless_names_are_shown_even_so() -> None:
    attributes = state_with(**{"\ud800": "\udfff", "n" * 10_000: Rude}).attributes
    assert attributes["\\ud800"] == repr("\udfff")
    assert max(map(len, attributes)) == 200


def test_containers_and_their_subclasses_are_written_as_far_as_there_is_room() -> None:
    many = range(1_000_000)
    big: list[Any] = [defaultdict(int, dict.fromkeys(many, 1)), Counter(many), Sorted(many)]
    big += [set(many), deque(many), dict.fromkeys(many), "x" * 10_000_000, bytes(10_000_000)]
    began = time.process_time()
    texts = [shortened(value, 100) for value in big]
    assert time.process_time() - began < 0.1  # a single full repr takes longer
    assert {len(text) for text in texts} == {100}
    assert texts[0].startswith("defaultdict({0: 1, 1: 1, ")
    assert texts[2].startswith("Sorted([0, 1, 2, ")


def test_a_container_that_holds_itself_comes_to_an_end() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert shortened(loop, 100) == "[[[[[[[...]]]]]]]"
    assert shortened(((1,), {"a": frozenset([2])}, {}), 100) == "((1,), {'a': frozenset({2})}, {})"
    assert shortened(10**5000, 100).startswith("<its repr() raised ValueError") or (
        sys.get_int_max_str_digits() == 0
    )
