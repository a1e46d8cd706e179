"""Timers, work beside the mailbox, and the event stream: what of them ends with what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from actors import (
    Actor,
    ActorFailure,
    ActorRef,
    ActorSystem,
    DeadLetter,
    Event,
    EventStream,
    Message,
    UsageError,
)
from actors.events import Custom
from actors.signals import Failure, Halt, Restart


class Work(Message[None]):
    how: str


class Outcome(Message[None]):
    text: str


class Log(Message[list[str]]):
    pass


class Keeper(Actor):
    """Restarts what fails."""

    def child_failed(self, child: ActorRef, failure: Failure) -> None:
        self.system.signal(child.parts, Halt())

    def child_halted(self, child: ActorRef) -> None:
        self.system.signal(child.parts, Restart())


class Worker(Actor):
    def __init__(self, log: list[str]) -> None:
        self._log = log

    async def on_stop(self) -> None:
        # Of the instance that ends: none of it reaches the next one.
        self.timers.start("late", Outcome("a timer of the one before"), after=0.0)
        self.pipe_to_self(asyncio.sleep(0.0), lambda _: Outcome("work of the one before"))

    def work(self, message: Work) -> None:
        match message.how:
            case "mapped":
                self.pipe_to_self(self.fails(), Outcome, lambda error: Outcome(f"said: {error}"))
            case "unmapped":
                self.pipe_to_self(self.fails(), Outcome)
            case "cancelled":
                task = asyncio.ensure_future(asyncio.sleep(60.0, "never"))
                self.pipe_to_self(task, Outcome, lambda error: Outcome(f"said: {error}"))
                task.cancel()
            case "stubborn" | "bitter":
                self.pipe_to_self(self.stays(message.how), Outcome)
            case _:
                raise ValueError("as told")

    async def fails(self) -> str:
        raise ValueError("no luck")

    async def stays(self, how: str) -> str:
        try:
            await asyncio.sleep(60.0)
        except asyncio.CancelledError:
            self._log.append("caught")
        if how == "bitter":
            raise ValueError("it came back")
        return "came back"

    def outcome(self, message: Outcome) -> None:
        self._log.append(message.text)

    def log(self, message: Log) -> list[str]:
        return self._log


@pytest.fixture
async def system() -> AsyncIterator[ActorSystem]:
    async with ActorSystem("node") as system:
        yield system


async def settled(system: ActorSystem, *works: str) -> tuple[list[str], list[str]]:
    """What a worker has logged after these, and what failed it."""
    failures: list[str] = []
    system.events.subscribe(ActorFailure, lambda event: failures.append(event.error))
    keeper = await system.spawn("keeper", Keeper)
    log: list[str] = []
    cell = system.make("worker", Worker, {"log": log}, parent=keeper)
    await cell.started
    for work in works:
        cell.ref.tell(Work(work))
        if work in ("stubborn", "bitter"):
            await cell.ref.ask(Log(), timeout=5)  # it has begun then
    async with asyncio.timeout(5):
        while not failures and not log:
            await asyncio.sleep(0)
        while failures and cell.restarts < len(failures):
            await asyncio.sleep(0)
    for _ in range(20):
        await cell.ref.ask(Log(), timeout=5)
    result = list(log)
    await system.stop(cell.ref)
    return result, failures


async def test_a_failure_of_piped_work_is_a_message_where_it_is_mapped(system: ActorSystem) -> None:
    assert await settled(system, "mapped") == (["said: no luck"], [])


async def test_a_failure_of_piped_work_fails_its_actor_else(system: ActorSystem) -> None:
    assert await settled(system, "unmapped") == ([], ["ValueError: no luck"])


async def test_work_that_somebody_else_cancels_fails_its_actor(system: ActorSystem) -> None:
    assert await settled(system, "cancelled") == ([], ["CancelledError"])


@pytest.mark.parametrize("how", ["stubborn", "bitter"])
async def test_nothing_of_an_incarnation_reaches_the_next_one(
    system: ActorSystem, how: str
) -> None:
    assert await settled(system, how, "raise") == (["caught"], ["ValueError: as told"])


async def test_a_timer_takes_seconds(system: ActorSystem) -> None:
    class Timing(Actor):
        def work(self, message: Work) -> None:
            for wrong in ({"after": -1.0}, {"after": 0.0, "every": 0.0}):
                with pytest.raises(UsageError, match="timer 'k' cannot start with"):
                    self.timers.start("k", Outcome(""), **wrong)
            assert not self.timers.is_active("k")

        def outcome(self, message: Outcome) -> None:
            pass

    ref = await system.spawn("timing", Timing)
    await ref.ask(Work(""), timeout=5)


def custom(kind: str) -> Custom:
    return Custom(source="test", kind=kind, fields={})


def test_a_subscriber_that_unsubscribes_hears_nothing_from_then_on() -> None:
    stream = EventStream()
    heard: list[str] = []
    ends: list[Any] = []

    def first(event: Event) -> None:
        heard.append("first")
        ends[1]()

    ends += [stream.subscribe(Event, first), stream.subscribe(Event, lambda _: heard.append("2"))]
    stream.publish(custom("a"))
    assert heard == ["first"]


def test_two_subscriptions_of_one_callback_end_each_for_itself() -> None:
    stream = EventStream()
    heard: list[Event] = []
    end = stream.subscribe(Event, heard.append)
    stream.subscribe(Event, heard.append)
    end()
    end()
    stream.publish(custom("a"))
    assert len(heard) == 1


def test_a_subscriber_that_publishes_what_it_subscribes_to_ends_somewhere() -> None:
    stream = EventStream()
    heard: list[Event] = []

    def again(event: DeadLetter) -> None:
        heard.append(event)
        stream.publish(event)

    stream.subscribe(DeadLetter, again)
    stream.publish(DeadLetter(to="a", message="M", reason="r"))
    assert len(heard) == 16
    stream.publish(custom("b"))
    assert "published" in repr(stream)
