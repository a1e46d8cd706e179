"""Names that a class of actors cannot have for itself are refused when it is defined."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

import pykka
import pytest

from actors import (
    Actor,
    ActorGraph,
    ActorRef,
    Deployment,
    HandlerError,
    Inline,
    Message,
    Process,
    Processes,
    Simulated,
    Terminated,
    run,
)
from actors.handlers import handlers_of
from actors.reserved import (
    BLOCKING_HOOKS,
    BLOCKING_RESERVED,
    HOOKS,
    SETTINGS,
    reserved_names,
)

EVERYWHERE = pytest.mark.parametrize(
    "on", [Inline(), Simulated(1), Processes(1)], ids=["inline", "simulated", "processes"]
)
T = TypeVar("T")


class Count(Message[int]):
    word: str = ""


def refused(cls: type, sentence: str) -> None:
    with pytest.raises(HandlerError, match=re.escape(sentence)) as caught:
        handlers_of(cls)
    assert "\n" not in str(caught.value)


def defined(body: Callable[[], type]) -> str:
    """What is said of a class when it is defined."""
    with pytest.raises(HandlerError) as caught:
        body()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def handler_stop() -> type:
    class Bad(Actor):
        def stop(self, message: Count) -> int:  # type: ignore[override]
            return 1

    return Bad


def attribute_ref() -> type:
    class Bad(Actor):
        ref = None  # type: ignore[assignment]

    return Bad


def a_class_of_messages() -> type:
    class Bad(Actor):
        class watch(Message[None]):  # noqa: N801
            pass

    return Bad


def set_in_the_constructor() -> type:
    class Bad(Actor):
        def __init__(self) -> None:
            self.spawn = 5  # type: ignore[method-assign, assignment]

    return Bad


def set_later() -> type:
    class Bad(Actor):
        def count(self, message: Count) -> int:
            if message.word:
                self.timers = {}  # type: ignore[misc, assignment]
            return 1

    return Bad


def the_private_one() -> type:
    class Bad(Actor):
        def __init__(self) -> None:
            self._cell = 5  # type: ignore[assignment]

    return Bad


def another_property() -> type:
    class Bad(Actor):
        @property
        def clock(self) -> int:  # type: ignore[override]
            return 1

    return Bad


def of_a_mixin() -> type:
    class Mixin:
        def publish(self, text: str) -> None:
            pass

    class Bad(Mixin, Actor):  # type: ignore[misc]
        pass

    return Bad


def a_field() -> type:
    @dataclasses.dataclass
    class Bad(Actor):
        stash: int  # type: ignore[assignment]

    return Bad


def plain_spawn() -> type:
    class Bad(Actor):
        def spawn(self, name: str, cls: Any, /, **arguments: Any) -> ActorRef:  # type: ignore[override]
            raise NotImplementedError

    return Bad


HIDES: list[tuple[Callable[[], type], str]] = [
    (handler_stop, "Bad.stop hides Actor's own 'stop', which each actor needs"),
    (attribute_ref, "Bad.ref hides Actor's own 'ref'"),
    (a_class_of_messages, "Bad.watch hides Actor's own 'watch'"),
    (set_in_the_constructor, "self.spawn set in handler"),
    (set_later, "self.timers set in"),
    (the_private_one, "hides the runtime's '_cell', which each actor needs, so Bad would not work"),
    (another_property, "Bad.clock hides"),
    (of_a_mixin, "Mixin.publish hides Actor's own 'publish', which each actor needs, so Bad would"),
    (a_field, "Bad.stash hides"),
    (plain_spawn, "Bad.spawn hides"),
]


@pytest.mark.parametrize(("make", "sentence"), HIDES, ids=[one.__name__ for one, _ in HIDES])
def test_what_hides_a_name_of_the_base_is_refused_when_it_is_defined(
    make: Callable[[], type], sentence: str
) -> None:
    said = defined(make)
    assert sentence.replace("set in handler", "set in ") in said
    assert said.endswith("choose another name")


@pytest.mark.parametrize("name", sorted(reserved_names(Actor)))
def test_each_reserved_name_is_refused_as_a_handler_and_as_an_attribute(name: str) -> None:
    def handler(self: Any, message: Count) -> int:
        return 1

    for value in (handler, 5, None):
        with pytest.raises(HandlerError, match=f"Bad.{name} hides"):
            type("Bad", (Actor,), {name: value})
    scope: dict[str, Any] = {}
    exec(f"def __init__(self):\n    self.{name} = 5", scope)
    with pytest.raises(HandlerError, match=f"self.{name} set in"):
        type("Bad", (Actor,), {"__init__": scope["__init__"]})


@pytest.mark.parametrize("others", [0, 1, 253, 254, 255, 256, 257, 700])
def test_a_name_that_is_set_is_found_among_however_many(others: int) -> None:
    names = "".join(f"    self.own{number} = 1\n" for number in range(others))
    scope: dict[str, Any] = {}
    exec(f"def __init__(self):\n{names}    self.spawn = 1\n{names}", scope)
    with pytest.raises(HandlerError, match=r"self\.spawn set in"):
        type("Bad", (Actor,), {"__init__": scope["__init__"]})
    # It is neither a name that is only read, nor one of another object.
    exec(f"def count(self, message):\n{names}    self.clock\n    message.spawn = 1\n", scope)
    type("Good", (Actor,), {"__init__": scope["count"]})


def hook_as_handler() -> type:
    class Bad(Actor):
        def on_start(self, message: Count) -> int:  # type: ignore[override]
            return 1

    return Bad


def hook_awaited() -> type:
    class Bad(Actor):
        async def child_failed(self, child: ActorRef, failure: Any) -> None:  # type: ignore[override]
            pass

    return Bad


def hook_awaited_alone() -> type:
    class Bad(Actor):
        async def stop_wanted(self) -> None:  # type: ignore[override]
            pass

    return Bad


def hook_with_less() -> type:
    class Bad(Actor):
        def child_stopped(self, child: ActorRef) -> None:  # type: ignore[override]
            pass

    return Bad


HOOKED: list[tuple[Callable[[], type], str]] = [
    (
        hook_as_handler,
        "Bad.on_start hides the hook of this name, which is called as on_start(); ta",
    ),
    (hook_awaited, "is not awaited; write `def child_failed(self, child, failure)`"),
    (hook_awaited_alone, "is not awaited; write `def stop_wanted(self)`"),
    (hook_with_less, "which is called as child_stopped(child, reason, cause); take its parameters"),
]


@pytest.mark.parametrize(("make", "sentence"), HOOKED, ids=[one.__name__ for one, _ in HOOKED])
def test_a_hook_that_cannot_be_called_is_refused_when_it_is_defined(
    make: Callable[[], type], sentence: str
) -> None:
    assert sentence in defined(make)


def test_a_blocking_actor_that_hides_what_it_needs_is_refused() -> None:
    class Starts(pykka.ThreadingActor):
        def start(self, message: Count) -> int:  # type: ignore[override]
            return 1

    refused(Starts, "Starts.start hides ThreadingActor's own 'start', which each actor needs")

    class Awaits(pykka.ThreadingActor):
        async def on_start(self) -> None:  # type: ignore[override]
            pass

    refused(Awaits, "Awaits.on_start is `async def`, but this hook is not awaited; write `def on_s")

    class Fails(pykka.ThreadingActor):
        def on_failure(self, message: Count) -> int:  # type: ignore[override]
            return 1

    refused(Fails, "called as on_failure(exception_type, exception_value, traceback)")

    class Sets(pykka.ThreadingActor):
        def count(self, message: Count) -> int:
            self.actor_ref = None  # type: ignore[assignment, misc]
            return 1

    refused(Sets, "self.actor_ref set in ")


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def called(*arguments: Any) -> Any:
        return function(*arguments)

    return called


class Fine(Actor, Generic[T]):
    """Names near to those that are taken, hooks of all kinds, and a method defined anew."""

    stash_capacity = 5

    def __init__(self, other: Any = None) -> None:
        if other is not None:
            other.stop = 5  # of something else
        self.stopped = False

    def on_start(self) -> None:  # type: ignore[override]  # a plain one is as good
        pass

    @logged
    async def on_stop(self) -> None:
        pass

    def child_failed(self, child: ActorRef, failure: Any, more: int = 0) -> None:
        child.stop()

    def child_stopped(self, *about: Any) -> None:
        pass

    def stop(self, ref: ActorRef | None = None) -> None:
        self.stopped = True
        super().stop(ref)

    async def spawn(self, name: str, cls: Any, /, **arguments: Any) -> ActorRef:
        return await super().spawn(name, cls, **arguments)

    def gone(self, message: Terminated) -> None:
        pass

    @logged
    def count(self, message: Count) -> int:
        return len(message.word)


@EVERYWHERE
def test_what_only_looks_near_is_allowed_and_works(on: Deployment) -> None:
    async def main() -> None:
        g = ActorGraph("g")
        with g.supervisor("root"):
            g.actor("fine", Fine, place=Process())
        async with g.start(on) as live:
            assert await live["fine"].ask(Count("four"), timeout=10) == 4

    run(main(), on=on)


def test_the_page_names_all_names_that_are_taken_and_those_that_are_hooks() -> None:
    page = (Path(__file__).parents[2] / "docs" / "actors.md").read_text()
    listed = {
        kind: set(re.findall(r"`(\w+)`", line))
        for kind, line in re.findall(
            r"^\| (taken|hooks|settings|taken in pykka's|hooks of pykka's) \| (.*) \|$",
            page,
            re.MULTILINE,
        )
    }
    assert listed == {
        "taken": {*reserved_names(Actor), "_cell"},
        "hooks": set(HOOKS),
        "settings": set(SETTINGS),
        "taken in pykka's": set(BLOCKING_RESERVED),
        "hooks of pykka's": set(BLOCKING_HOOKS),
    }
    public = {name for name in dir(Actor) if not name.startswith("_")}
    assert public == listed["taken"] - {"_cell"} | listed["hooks"] | listed["settings"]
    of_pykka = {name for name in dir(pykka.ThreadingActor) if not name.startswith("_")}
    ours = listed["taken in pykka's"] | listed["hooks of pykka's"]
    assert of_pykka - ours == {"on_receive", "use_daemon_thread"}
