"""What is wrong with a class of actors is said when it is defined, or before one is made."""

from __future__ import annotations

import asyncio
import re
import typing
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pykka
import pytest

from actors import (
    Actor,
    ActorFailed,
    ActorGraph,
    ActorRef,
    ActorSystem,
    Deployment,
    HandlerError,
    HandlerWarning,
    Inline,
    Message,
    NotStarted,
    Process,
    Processes,
    Simulated,
    run,
)
from actors.handlers import handlers_of
from actors.testing import dead_letters

EVERYWHERE = pytest.mark.parametrize(
    "on", [Inline(), Simulated(1), Processes(1)], ids=["inline", "simulated", "processes"]
)
T = TypeVar("T")


class Count(Message[int]):
    word: str = ""


class Words(Message[int]):
    pass


class Note(Message[None]):
    later: bool = False


class Done(Message[list[str]]):
    pass


class Plain:
    """No message."""


def refused(cls: type, sentence: str) -> None:
    with pytest.raises(HandlerError, match=re.escape(sentence)) as caught:
        handlers_of(cls)
    assert "\n" not in str(caught.value)


def warned(cls: type, sentence: str) -> None:
    with pytest.warns(HandlerWarning, match=re.escape(sentence)) as caught:
        handlers_of(cls)
    assert [Path(one.filename).name for one in caught] == [Path(__file__).name]
    handlers_of(cls)  # told once: here a further warning would be an error


# -- what looks like a handler ---------------------------------------------------------------------


def test_an_annotation_that_does_not_resolve_is_refused_with_the_nearest_message() -> None:
    class Counter(Actor):
        def count(self, message: Cuont) -> int:  # type: ignore[name-defined]  # noqa: F821
            return 1

    refused(
        Counter,
        "Counter.count cannot be read (name 'Cuont' is not defined); did you mean 'Count'? import "
        "the names they use at the top of the module, outside TYPE_CHECKING, or begin the name of",
    )


def no_annotation() -> type:
    class Counter(Actor):
        def count(self, message):  # type: ignore[no-untyped-def]
            return 1

    return Counter


def no_message() -> type:
    class Counter(Actor):
        def count(self, message: Plain) -> int:
            return 1

    return Counter


def text() -> type:
    class Counter(Actor):
        def count(self, word: str) -> int:
            return 1

    return Counter


def alternatives() -> type:
    class Counter(Actor):
        def count(self, message: Count | Words) -> int:
            return 1

    return Counter


def anything() -> type:
    class Counter(Actor):
        def count(self, message: Message[Any]) -> int:
            return 1

    return Counter


def with_sender() -> type:
    class Counter(Actor):
        def count(self, message: Count, sender: ActorRef) -> int:
            return 1

    return Counter


def with_default() -> type:
    class Counter(Actor):
        def count(self, message: Count, loud: bool = False) -> int:
            return 1

    return Counter


def in_a_thread() -> type:
    class Counter(pykka.ThreadingActor):
        def count(self, word: str) -> int:
            return 1

    return Counter


def any_message_of_pykka() -> type:
    class Counter(pykka.ThreadingActor):
        def on_receive(self, message: Any) -> Any:
            return 1

    return Counter


def from_a_mixin() -> type:
    class Mixin:
        def count(self, message):  # type: ignore[no-untyped-def]
            return 1

    class Counter(Mixin, Actor):
        pass

    return Counter


LOOKS: list[tuple[Callable[[], type], str]] = [
    (no_annotation, ("count looks like a handler and is none, so no message gets there: annotate "
     "'message' with the class of its messages; or begin its name with an underscore")),
    (no_message, "Plain is no Message; derive it, as in `class Plain(Message[None])`"),
    (text, "str is no Message; declare one that has it as a field"),
    (alternatives, "a handler is for one class of messages; write one for each"),
    (anything, "a handler is for one class of messages; write one for each"),
    (with_sender, "takes the message alone, and this one sender as well; make that a field"),
    (with_default, "takes the message alone, and this one loud as well; make that a field"),
    (in_a_thread, "str is no Message; declare one that has it as a field"),
    (any_message_of_pykka, "Counter.on_receive looks like a handler and is none"),
    (from_a_mixin, "annotate 'message' with the class of its messages"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "sentence"), LOOKS, ids=[one.__name__ for one, _ in LOOKS])
def test_what_looks_like_a_handler_and_nobody_uses_is_warned_of(
    make: Callable[[], type], sentence: str
) -> None:
    warned(make(), sentence)


@EVERYWHERE
@pytest.mark.filterwarnings("ignore::actors.HandlerWarning")
def test_an_actor_that_is_warned_of_runs(on: Deployment) -> None:
    async def main() -> None:
        g = ActorGraph("g")
        with g.supervisor("root"):
            g.actors("odd{}", 2, Odd, place=Process())
        async with g.start(on) as live:
            assert await live["odd1"].ask(Count("a"), timeout=10) == 1

    run(main(), on=on)


class Odd(Actor):
    def count(self, message: Count) -> int:
        return len(message.word)

    def words(self, message: int) -> int:
        return message


class Helped(Actor):
    """Helpers of all kinds, none of which is to be warned of."""

    def __init__(self, log: list[str] | None = None) -> None:
        self.log = log if log is not None else []
        self.callback = self.add

    def count(self, message: Count) -> int:
        self.pipe_to_self(self.later(message.word), Words, lambda _: self.said(message))  # type: ignore[no-untyped-call]
        return self.length(message.word) + self.either(message) + self.both(message, 1)

    def words(self, message: Words) -> int:
        return self.count(Count("x"))

    def length(self, word: str) -> int:
        return len(word)

    def either(self, message: Count | Words) -> int:
        return 0

    def both(self, message: Count, more: int) -> int:
        return more

    async def later(self, word: str) -> None:
        pass

    def said(self, message):  # type: ignore[no-untyped-def]
        return message

    def add(self, word: str) -> None:
        self.log.append(word)

    def nothing(self) -> int:
        return 0

    def two(self, one: int, other: int) -> int:
        return one + other

    def _hidden(self, message: Plain) -> None:
        pass

    @staticmethod
    def parse(text: str) -> str:
        return text

    @staticmethod
    def of_two(first: int, message: Words) -> int:
        return 1

    @classmethod
    def named(cls, name: str) -> str:
        return name

    @property
    def size(self) -> int:
        return 1


class Later(Helped):
    """Uses nothing of its base again."""


def test_helpers_are_no_handlers_and_not_warned_of() -> None:
    for cls in (Helped, Later):
        assert set(handlers_of(cls).by_type) == {Count, Words}


def test_a_handler_that_cannot_run_is_refused() -> None:
    class Yields(Actor):
        def count(self, message: Count) -> int:  # type: ignore[misc]
            yield 1

    refused(Yields, "Yields.count has a `yield`, so nothing of it runs when it is called")

    class YieldsLater(Actor):
        async def count(self, message: Count) -> int:  # type: ignore[misc]
            yield 1

    refused(YieldsLater, "YieldsLater.count has a `yield`")

    class ByName(Actor):
        def count(self, *, message: Count) -> int:
            return 1

    refused(ByName, "ByName.count takes its Count as message: ")

    class Many(Actor):
        def count(self, *message: Count) -> int:
            return 1

    refused(Many, "write `def count(self, message: Count)`")

    class Awaits(pykka.ThreadingActor):
        async def count(self, message: Count) -> int:
            return 1

    refused(
        Awaits,
        "Awaits.count is `async def`, but the handlers of blocking actors are plain functions, "
        "which run in a thread; write `def count`, or derive Awaits from actors.Actor",
    )


class Seldom(Actor):
    """Waits where a word is given, and says what it has done in which order."""

    def __init__(self) -> None:
        self._done: list[str] = []

    def count(self, message: Count) -> Coroutine[Any, Any, int] | int:
        if message.word:
            return self._count_later(message.word)
        self._done.append("at once")
        return len(self._done)

    async def _count_later(self, word: str) -> int:
        await self.clock.sleep(0.01)
        if word == "raise":
            raise ValueError(word)
        self._done.append(word)
        return len(self._done)

    def note(self, message: Note) -> Coroutine[Any, Any, None] | None:
        if message.later:
            return self._note_later()
        self._done.append("noted")
        return None

    async def _note_later(self) -> None:
        await self.clock.sleep(0.01)
        self._done.append("noted later")

    def done(self, message: Done) -> list[str]:
        return self._done


@EVERYWHERE
def test_a_handler_may_wait_at_times_and_the_next_message_waits_for_it(on: Deployment) -> None:
    async def main() -> None:
        g = ActorGraph("g")
        with g.supervisor("root"):
            g.actor("seldom", Seldom, place=Process())
        async with g.start(on) as live:
            seldom = live["seldom"]
            assert await seldom.ask(Count(), timeout=10) == 1
            assert await seldom.ask(Count("later"), timeout=10) == 2
            seldom.tell(Note(later=True))
            seldom.tell(Note())
            assert await seldom.ask(Count(), timeout=10) == 5
            done = ["at once", "later", "noted later", "noted", "at once"]
            assert await seldom.ask(Done(), timeout=10) == done
            with pytest.raises(ActorFailed, match="ValueError: raise"):
                await seldom.ask(Count("raise"), timeout=10)

    run(main(), on=on)


def test_what_a_handler_that_may_wait_returns_agrees_with_its_message() -> None:
    class Other(Actor):
        def count(self, message: Count) -> Coroutine[Any, Any, str] | int:
            return 1

    refused(Other, "Count is a Message[int]; make the two agree")

    class Always(Actor):
        def count(self, message: Count) -> Coroutine[Any, Any, int]:
            raise NotImplementedError

    refused(Always, "Count is a Message[int]; make the two agree")

    class Twice(Actor):
        async def count(self, message: Count) -> Coroutine[Any, Any, int] | int:
            return 1

    refused(Twice, "Coroutine[typing.Any, typing.Any, int] | int, but Count is a Message[int]; ")

    class Threaded(pykka.ThreadingActor):
        def count(self, message: Count) -> Coroutine[Any, Any, int] | int:
            return 1

    refused(Threaded, "Coroutine[typing.Any, typing.Any, int] | int, but Count is a Message[int]; ")


class Answer(Message[int | str]):
    pass


def test_a_coroutine_of_typing_and_a_reply_of_several_types_agree_too() -> None:
    class Old(Actor):
        def count(self, message: Count) -> typing.Coroutine[Any, Any, int] | int:
            return 1

    class Several(Actor):
        def answer(self, message: Answer) -> Coroutine[Any, Any, int | str] | int | str:
            return "1"

    assert set(handlers_of(Old).by_type) == {Count}
    assert set(handlers_of(Several).by_type) == {Answer}


class Hands(pykka.ThreadingActor):
    """Returns a coroutine where its answer should be."""

    def count(self, message: Count) -> int:
        answer: Any = self._later()
        return answer  # type: ignore[no-any-return]

    async def _later(self) -> int:
        return 1


@EVERYWHERE
def test_a_coroutine_as_the_answer_of_a_blocking_actor_is_told_of(on: Deployment) -> None:
    async def main() -> None:
        g = ActorGraph("g")
        with g.supervisor("root"):
            g.actor("hands", Hands, place=Process())
        async with g.start(on) as live:
            with pytest.raises(
                ActorFailed, match=r"the coroutine _later cannot be .* are plain fu"
            ):
                await live["hands"].ask(Count(), timeout=10)

    run(main(), on=on)


# -- derived messages, and the stash ---------------------------------------------------------------


class Shape(Message[str]):
    name: str


class Square(Shape):
    side: int = 1


class Board(Actor):
    def shape(self, message: Shape) -> str:
        return f"shape {message.name}"


class FullBoard(Board):
    def square(self, message: Square) -> str:
        return f"square {message.name} of {message.side}"

    def tick(self, message: Words) -> int:
        self.timers.start("derived", Tilted("t", 5), after=0.0)
        return 1


class Tilted(Square):
    pass


@EVERYWHERE
def test_a_handler_takes_its_own_class_and_none_that_is_derived_from_it(on: Deployment) -> None:
    async def main() -> None:
        g = ActorGraph("g")
        with g.supervisor("root"):
            g.actor("board", Board, place=Process())
            g.actor("full", FullBoard, place=Process())
        async with g.start(on) as live:
            board, full = live["board"], live["full"]
            assert await board.ask(Shape("a"), timeout=10) == "shape a"
            with pytest.raises(
                NotStarted,
                match="it handles only Shape, and the handler of Shape takes no Square, which is "
                "derived from it: add a handler for it",
            ):
                await board.ask(Square("b", 2), timeout=10)
            assert await full.ask(Square("b", 2), timeout=10) == "square b of 2"
            assert await full.ask(Shape("b"), timeout=10) == "shape b"

    run(main(), on=on)


async def test_a_derived_message_of_a_timer_is_a_dead_letter_too() -> None:
    async with ActorSystem("node") as system:
        with dead_letters(system) as letters:
            full = await system.spawn("full", FullBoard)
            await full.ask(Words(), timeout=5)
            await letters.expect(reason="takes no Tilted, which is derived from it", to=full)


class Impatient(Actor):
    def __init__(self) -> None:
        self._open = False

    def count(self, message: Count) -> int:
        if not self._open:
            self.stash.stash(message)
        return len(message.word)

    def words(self, message: Words) -> int:
        self._open = True
        self.stash.unstash_all()
        return 0


async def test_a_handler_that_stashes_and_goes_on_to_an_answer_is_told_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with ActorSystem("node") as system, asyncio.TaskGroup() as group:
        impatient = await system.spawn("impatient", Impatient)
        asked = group.create_task(impatient.ask(Count("tea"), timeout=5))
        while "went on" not in caplog.text:
            await asyncio.sleep(0)
        await impatient.ask(Words(), timeout=5)
        assert await asked == 3
    (record,) = caplog.records
    assert record.getMessage().startswith(
        "/impatient has stashed Count and went on, to an answer (3)"
    )
    assert "write `return self.stash.stash(message)`" in record.getMessage()
