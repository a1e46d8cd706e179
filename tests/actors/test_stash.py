"""What an actor puts aside is handled later, in order, or accounted for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

import actors
from actors import (
    Actor,
    ActorFailed,
    ActorSystem,
    AskTimeout,
    DeadLetter,
    Message,
    NoSuchActor,
    Simulated,
    StashFull,
    UsageError,
)
from actors.cell import Cell
from actors.signals import Halt, Restart
from actors.sim import Simulation
from transports import Weights


class Open(Message[None]):
    pass


class Get(Message[int]):
    number: int


class Note(Message[None]):
    text: str


class Sum(Message[float]):
    weights: Weights


class Break(Message[None]):
    pass


class Twice(Message[int]):
    pass


class Raise(Message[int]):
    pass


class Linger(Message[int]):
    pass


class Door(Actor):
    """Closed at first: whoever asks waits until it is opened."""

    def __init__(self, log: list[str], capacity: int = 100) -> None:
        self.stash_capacity = capacity
        self.open = False
        self.log = log

    def opened(self, message: Open) -> None:
        self.open = True
        self.stash.unstash_all()

    def get(self, message: Get) -> int:
        if not self.open:
            return self.stash.stash(message)
        self.log.append(f"get {message.number}")
        return message.number

    def note(self, message: Note) -> None:
        if not self.open:
            return self.stash.stash(message)
        self.log.append(message.text)
        return None

    async def sum(self, message: Sum) -> float:
        if not self.open:
            return self.stash.stash(message)
        return float(message.weights["w"].sum())

    def fail(self, message: Break) -> None:
        raise ValueError("as told")

    def twice(self, message: Twice) -> int:
        self.stash.stash(message)
        return self.stash.stash(message)

    def stash_and_raise(self, message: Raise) -> int:
        self.stash.stash(message)
        raise ValueError("after all")

    async def linger(self, message: Linger) -> int:
        later = self.stash.stash(message)
        self.log.append("lingers")
        await asyncio.Event().wait()
        return later


@pytest.fixture
async def system() -> AsyncIterator[ActorSystem]:
    async with ActorSystem("node") as system:
        yield system


async def until(stashed: int, cell: Cell) -> None:
    async with asyncio.timeout(5):
        while cell.statistics().stashed != stashed:
            await asyncio.sleep(0)


async def door(system: ActorSystem, log: list[str], **arguments: Any) -> Cell:
    cell = system.cell(await system.spawn("door", Door, log=log, **arguments))
    assert cell is not None
    return cell


def letters(system: ActorSystem) -> list[DeadLetter]:
    heard: list[DeadLetter] = []
    system.events.subscribe(DeadLetter, heard.append)
    return heard


async def test_what_was_put_aside_is_handled_in_order_before_what_waits(
    system: ActorSystem,
) -> None:
    log: list[str] = []
    cell = await door(system, log)
    weights = Weights.of({"w": np.ones(100_000, dtype=np.float32)})
    async with asyncio.TaskGroup() as group:
        asked = group.create_task(cell.ref.ask(Get(1), timeout=5))
        summed = group.create_task(cell.ref.ask(Sum(weights), timeout=5))
        await until(2, cell)
        cell.ref.tell(Note("two"))
        await until(3, cell)
        assert cell.statistics().handled == 0
        cell.ref.tell(Open())
        cell.ref.tell(Note("three"))
    assert (asked.result(), summed.result()) == (1, 100_000.0)
    assert await cell.ref.ask(Get(4), timeout=5) == 4
    assert log == ["get 1", "two", "three", "get 4"]
    assert cell.statistics().handled == 6
    assert cell.statistics().stashed == 0


def test_the_deadline_of_an_ask_goes_on_in_the_stash() -> None:
    on = Simulated()

    async def main() -> None:
        async with ActorSystem("node", world=Simulation(on).world("node")) as system:
            log: list[str] = []
            heard = letters(system)
            cell = await door(system, log)
            with pytest.raises(AskTimeout):
                await cell.ref.ask(Get(1), timeout=2.0)
            assert cell.statistics().stashed == 1
            await asyncio.sleep(1.0)
            cell.ref.tell(Open())
            assert await cell.ref.ask(Get(2), timeout=5) == 2
            assert log == ["get 2"]
            assert [(one.message, one.reason) for one in heard] == [("Get", "the asker gave up")]

    actors.run(main(), on=on)


async def test_a_cancelled_ask_leaves_the_stash_at_once(system: ActorSystem) -> None:
    heard = letters(system)
    cell = await door(system, [])
    asked = asyncio.create_task(cell.ref.ask(Get(1), timeout=60))
    await until(1, cell)
    asked.cancel()
    await until(0, cell)
    assert [(one.message, one.reason) for one in heard] == [("Get", "the asker gave up")]


async def test_an_ask_that_is_cancelled_while_its_handler_goes_on_leaves_the_stash(
    system: ActorSystem,
) -> None:
    log: list[str] = []
    cell = await door(system, log)
    asked = asyncio.create_task(cell.ref.ask(Linger(), timeout=60))
    await until(1, cell)
    asked.cancel()
    await until(0, cell)
    cell.ref.tell(Open())
    assert await cell.ref.ask(Get(1), timeout=5) == 1
    assert log == ["lingers", "get 1"]


async def test_a_full_stash_fails_the_actor_unless_it_catches_that(system: ActorSystem) -> None:
    cell = await door(system, [], capacity=2)
    for number in range(2):
        cell.ref.tell(Note(str(number)))
    with pytest.raises(ActorFailed, match=f"{StashFull.__name__}: the stash of /door holds 2"):
        await cell.ref.ask(Get(3), timeout=5)


def test_asks_that_were_given_up_make_room() -> None:
    on = Simulated()

    async def main() -> None:
        async with ActorSystem("node", world=Simulation(on).world("node")) as system:
            cell = await door(system, [], capacity=1)
            with pytest.raises(AskTimeout):
                await cell.ref.ask(Get(1), timeout=2.0)
            assert cell.statistics().stashed == 1
            await asyncio.sleep(1.0)
            asked = asyncio.create_task(cell.ref.ask(Get(2), timeout=5))
            await asyncio.sleep(1.0)
            assert cell.statistics().stashed == 1
            cell.ref.tell(Open())
            assert await asked == 2

    actors.run(main(), on=on)


async def test_a_stop_makes_dead_letters_of_the_stash_and_tells_askers(
    system: ActorSystem,
) -> None:
    heard = letters(system)
    cell = await door(system, [])
    asked = asyncio.create_task(cell.ref.ask(Get(1), timeout=60))
    await until(1, cell)
    cell.ref.tell(Note("two"))
    await until(2, cell)
    await system.stop(cell.ref)
    with pytest.raises(NoSuchActor, match="/door did not handle Get: stopped"):
        await asked
    assert [(one.message, one.reason) for one in heard] == [
        *(("Get", "stopped"), ("Note", "stopped"))
    ]


async def test_a_restart_puts_the_stash_back_into_the_mailbox(system: ActorSystem) -> None:
    class Keeper(Actor):
        def child_failed(self, child: Any, failure: Any) -> None:
            self.system.signal(child.parts, Halt())

        def child_halted(self, child: Any) -> None:
            self.system.signal(child.parts, Restart())

    keeper = await system.spawn("keeper", Keeper)
    log: list[str] = []
    cell = system.make("door", Door, {"log": log}, parent=keeper)
    asked = asyncio.create_task(cell.ref.ask(Get(1), timeout=5))
    await until(1, cell)
    cell.ref.tell(Break())
    cell.ref.tell(Note("two"))
    async with asyncio.timeout(5):
        while cell.restarts == 0:
            await asyncio.sleep(0)
    await until(2, cell)  # the new instance has put both of them aside
    cell.ref.tell(Open())
    assert await asked == 1
    assert await cell.ref.ask(Get(3), timeout=5) == 3
    assert log == ["get 1", "two", "get 3"]
    await system.stop(cell.ref)


async def test_one_message_is_stashed_once(system: ActorSystem) -> None:
    cell = await door(system, [])
    with pytest.raises(ActorFailed, match="UsageError: /door has stashed this Twice already"):
        await cell.ref.ask(Twice(), timeout=5)


async def test_a_message_whose_handler_raises_is_not_kept(system: ActorSystem) -> None:
    cell = await door(system, [])
    with pytest.raises(ActorFailed, match="after all"):
        await cell.ref.ask(Raise(), timeout=5)
    assert cell.statistics().stashed == 0


async def test_a_stash_without_room_is_refused(system: ActorSystem) -> None:
    cell = await door(system, [], capacity=0)
    with pytest.raises(ActorFailed, match=UsageError.__name__):
        await cell.ref.ask(Get(1), timeout=5)
