"""Tells in a row to an actor of the same node travel together, and nobody sees it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import Any

import pytest

from actors import Actor, ActorSystem, CannotEncode, Message
from actors.testing import dead_letters
from actors.world import World
from transports import Limits, LinkFull

pytest_plugins = ["actors.testing.pytest_plugin"]


class Number(Message[None]):
    number: int


class Text(Message[None]):
    text: str


class Many(Message[None]):
    numbers: list[int]


class Anything(Message[None]):
    what: Any


class Picky(Message[None]):
    """Its own check lets it out of the sender's hands and not into the receiver's."""

    number: int
    made_here: bool = False

    def __post_init__(self) -> None:
        if self.number < 0 and not self.made_here:
            raise ValueError("it is below 0")


class Log(Message[list[str]]):
    """What came, in order."""


class Keeper(Actor):
    class Inner(Message[None]):
        number: int

    def __init__(self) -> None:
        self.came: list[str] = []

    def number(self, message: Number) -> None:
        self.came.append(str(message.number))

    def text(self, message: Text) -> None:
        self.came.append(message.text)

    def many(self, message: Many) -> None:
        self.came.append(str(message.numbers))

    def picky(self, message: Picky) -> None:
        self.came.append(f"picky {message.number}")

    def inner(self, message: Keeper.Inner) -> None:
        self.came.append(str(message.number))

    def log(self, message: Log) -> list[str]:
        return self.came.copy()


async def test_tells_of_several_types_and_asks_between_them_keep_their_order(
    system: ActorSystem,
) -> None:
    one, other = await system.spawn("one", Keeper), await system.spawn("other", Keeper)
    for number in range(20):
        one.tell(Number(number))
        one.tell(Text(f"after {number}"))
        if number % 5 == 4:
            other.tell(Number(number))
            assert len(await one.ask(Log(), timeout=5)) == 2 * number + 2
    expected = [word for n in range(20) for word in (str(n), f"after {n}")]
    assert await one.ask(Log(), timeout=5) == expected
    assert await other.ask(Log(), timeout=5) == ["4", "9", "14", "19"]


async def test_an_ask_stands_between_the_tells_of_one_turn(system: ActorSystem) -> None:
    ref = await system.spawn("keeper", Keeper)

    async def tell(*numbers: int) -> list[str]:
        for number in numbers:
            ref.tell(Number(number))
        return []

    answers = await asyncio.gather(
        tell(1, 2), ref.ask(Log(), timeout=5), tell(3, 4, 5), ref.ask(Log(), timeout=5)
    )
    assert answers[1] == ["1", "2"]
    assert answers[3] == ["1", "2", "3", "4", "5"]


async def test_those_that_wait_at_a_stop_are_dead_letters_by_one_name(system: ActorSystem) -> None:
    ref = await system.spawn("keeper", Keeper)
    system.debug.suspend(ref)
    with dead_letters(system) as letters:
        ref.tell(Keeper.Inner(0))
        await ref.drain()
        for number in range(1, 4):
            ref.tell(Keeper.Inner(number))
        async with asyncio.timeout(5):  # a question about its state may overtake them
            while len((state := await system.debug.get_state(ref)).mailbox) < 4:
                await asyncio.sleep(0)
        await system.stop(ref)
        for _ in range(4):
            await letters.expect(Keeper.Inner, reason="stopped")
    assert state.mailbox == ("Keeper.Inner",) * 4


async def test_what_a_sender_does_to_a_list_after_telling_it_nobody_sees(
    system: ActorSystem,
) -> None:
    ref, numbers = await system.spawn("keeper", Keeper), [1]
    for number in (2, 3):
        ref.tell(Many(numbers))
        numbers.append(number)
    assert await ref.ask(Log(), timeout=5) == ["[1]", "[1, 2]"]


async def test_one_that_the_receiver_cannot_read_takes_none_along(system: ActorSystem) -> None:
    ref = await system.spawn("keeper", Keeper)
    with dead_letters(system) as letters:
        for number in (1, -1, 2):
            ref.tell(Picky(number, made_here=True) if number > 0 else _unreadable(number))
        await letters.expect(Picky, reason="not understood: it is below 0")
    assert await ref.ask(Log(), timeout=5) == ["picky 1", "picky 2"]


def _unreadable(number: int) -> Message[Any]:
    class Picky(Message[None], tag="tests.actors.test_runs:Picky"):
        number: int

    return Picky(number)


async def test_one_that_nobody_handles_is_a_dead_letter_among_others(system: ActorSystem) -> None:
    ref = await system.spawn("keeper", Keeper)
    with dead_letters(system) as letters:
        for what in (Number(1), Anything(2), Number(3)):
            ref.tell(what)
        await letters.expect(Anything)
    assert await ref.ask(Log(), timeout=5) == ["1", "3"]


async def test_one_that_cannot_be_encoded_raises_and_the_others_arrive(system: ActorSystem) -> None:
    ref = await system.spawn("keeper", Keeper)
    ref.tell(Number(1))
    ref.tell(Number(2))
    with pytest.raises(CannotEncode, match="Anything cannot be encoded"):
        ref.tell(Anything(object()))
    ref.tell(Number(3))
    assert await ref.ask(Log(), timeout=5) == ["1", "2", "3"]


async def test_a_mailbox_takes_what_it_has_room_for_and_the_rest_are_dead_letters(
    system: ActorSystem,
) -> None:
    cell = system.make("keeper", Keeper, {}, mailbox=3)
    await cell.started
    system.debug.suspend(cell.ref)
    with dead_letters(system) as letters:
        for number in range(10):
            cell.ref.tell(Number(number))
        for _ in range(7):
            await letters.expect(Number, reason="mailbox full")
    system.debug.resume(cell.ref)
    while cell.handled < 3:
        await system.world.clock.sleep(0)
    assert await cell.ref.ask(Log(), timeout=5) == ["0", "1", "2"]
    await system.stop(cell.ref)


async def test_those_to_an_actor_that_is_gone_are_a_dead_letter_each(system: ActorSystem) -> None:
    ref = await system.spawn("keeper", Keeper)
    await system.stop(ref)
    with dead_letters(system) as letters:
        for number in range(3):
            ref.tell(Number(number))
        for _ in range(3):
            await letters.expect(Number, reason="no such actor")


async def test_the_window_bounds_them_and_each_is_counted() -> None:
    limits = Limits(control_window=4000, max_message=1000, batch_bytes=700)
    async with ActorSystem("node", world=replace(World(), limits=limits)) as system:
        ref = await system.spawn("keeper", Keeper)
        before, told = _counted(system), 0
        with contextlib.suppress(LinkFull):
            while told < 1000:
                ref.tell(Number(told))
                told += 1
        local = system.router.endpoint.local
        assert local.statistics().control.held <= 4000
        await ref.drain()
        assert local.statistics().control.held <= 2000
        assert await ref.ask(Log(), timeout=5) == [str(number) for number in range(told)]
        assert 10 < told < 1000
        assert _counted(system) - before == told + 2, "an ask and its answer came after them"


def _counted(system: ActorSystem) -> int:
    return system.router.endpoint.local.statistics().control.messages_in
