"""Actors on one node: messages, asks, mailboxes, failures, restarts, watching."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from actors import (
    Actor,
    ActorFailed,
    ActorFailure,
    ActorRef,
    ActorRestarted,
    ActorSystem,
    AskTimeout,
    CannotEncode,
    GaveUp,
    HandlerError,
    MailboxFull,
    Message,
    NoSuchActor,
    SpawnFailed,
    Supervisor,
    SupervisorGaveUp,
    UsageError,
    WouldDeadlock,
    one_for_one,
)
from actors.message import lane_of, reply_type
from actors.signals import Failed, Failure, kinds_of
from actors.supervisor import Child
from actors.testing import TestProbe, dead_letters, record
from transports import Weights

pytest_plugins = ["actors.testing.pytest_plugin"]


class Echo(Message[str]):
    text: str


class Boom(Message[None]):
    kind: str = "ValueError"


class Count(Message[int]):
    pass


class Hold(Message[int]):
    """Answered when the test says so."""


class SelfAsk(Message[str]):
    pass


class AskOther(Message[str]):
    other: ActorRef


class Sum(Message[float]):
    weights: Weights


class Worker(Actor):
    def __init__(self, gate: asyncio.Event | None = None, log: list[str] | None = None) -> None:
        self.gate = gate
        self.log = log if log is not None else []
        self.count = 0

    async def on_start(self) -> None:
        self.log.append("start")

    async def on_stop(self) -> None:
        self.log.append("stop")

    async def echo(self, message: Echo) -> str:
        self.count += 1
        return message.text

    def counted(self, message: Count) -> int:
        return self.count

    async def boom(self, message: Boom) -> None:
        if message.kind == "SystemExit":
            raise SystemExit(3)
        if message.kind == "KeyboardInterrupt":
            raise KeyboardInterrupt
        if message.kind == "CancelledError":
            raise asyncio.CancelledError
        raise ValueError("boom")

    async def hold(self, message: Hold) -> int:
        assert self.gate is not None
        self.log.append("holding")
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.log.append("cancelled")
            raise
        return 1

    async def self_ask(self, message: SelfAsk) -> str:
        return await self.ref.ask(Echo("x"), timeout=5)

    async def ask_other(self, message: AskOther) -> str:
        return await message.other.ask(AskOther(self.ref), timeout=5)

    def sum(self, message: Sum) -> float:
        return float(message.weights["w"].sum())


def supervised(
    system: ActorSystem, cls: type[Actor], **arguments: Any
) -> tuple[ActorRef, Callable[[], Sequence[Child]]]:
    ref = system.new_ref("child", above="/sup")

    def start(parent: ActorRef) -> None:
        system.make("child", cls, arguments, parent=parent, ref=ref)

    return ref, lambda: [Child(ref, start)]


# -- messages --------------------------------------------------------------------------------------


def test_a_message_is_frozen_positional_tagged_and_names_its_reply() -> None:
    message = Echo("hi")
    with pytest.raises(AttributeError):
        message.text = "ho"
    assert message == Echo("hi")
    assert reply_type(Echo) is str
    assert reply_type(Boom) is type(None)
    assert lane_of(Echo) == "control"
    assert lane_of(Sum) == "bulk"


def test_a_handler_whose_return_disagrees_with_its_message_is_refused() -> None:
    class Wrong(Actor):
        def echo(self, message: Echo) -> int:
            return 1

    async def main() -> None:
        async with ActorSystem("node") as system:
            with pytest.raises(HandlerError, match=r"returns int, but Echo is a Message\[str\]"):
                await system.spawn("wrong", Wrong)

    asyncio.run(main())


# -- asking and telling ----------------------------------------------------------------------------


async def test_an_ask_gets_the_typed_reply(system: ActorSystem) -> None:
    ref = await system.spawn("worker", Worker)
    assert await ref.ask(Echo("hello"), timeout=5) == "hello"
    assert repr(ref) == "<ActorRef test/worker running mailbox=0/10000 restarts=0>"


async def test_tells_arrive_in_order_and_before_a_later_ask(system: ActorSystem) -> None:
    ref = await system.spawn("worker", Worker)
    for i in range(500):
        ref.tell(Echo(str(i)))
    assert await ref.ask(Count(), timeout=5) == 500


async def test_weights_travel_within_a_message(system: ActorSystem) -> None:
    ref = await system.spawn("worker", Worker)
    weights = Weights.of({"w": np.ones(100_000, dtype=np.float32)})
    assert await ref.ask(Sum(weights), timeout=5) == 100_000.0


async def test_a_handler_that_raises_fails_the_ask_with_its_traceback(system: ActorSystem) -> None:
    ref = await system.spawn("worker", Worker)
    with pytest.raises(ActorFailed, match="ValueError: boom") as caught:
        await ref.ask(Boom(), timeout=5)
    assert 'raise ValueError("boom")' in caught.value.remote_traceback


@pytest.mark.parametrize("kind", ["SystemExit", "KeyboardInterrupt", "CancelledError"])
async def test_an_exception_that_ends_processes_ends_only_its_actor(
    kind: str, system: ActorSystem
) -> None:
    ref = await system.spawn("worker", Worker)
    other = await system.spawn("other", Worker)
    with pytest.raises(ActorFailed, match=kind):
        await ref.ask(Boom(kind), timeout=5)
    assert await other.ask(Echo("still here"), timeout=5) == "still here"


async def test_an_ask_that_is_not_answered_in_time_times_out(system: ActorSystem) -> None:
    gate = asyncio.Event()
    ref = await system.spawn("worker", Worker, gate=gate)
    with pytest.raises(AskTimeout, match=r"Hold within 0\.05 s"):
        await ref.ask(Hold(), timeout=0.05)
    gate.set()


async def test_asking_itself_is_refused_and_not_hung(system: ActorSystem) -> None:
    ref = await system.spawn("worker", Worker)
    with pytest.raises(ActorFailed, match="WouldDeadlock"):
        await ref.ask(SelfAsk(), timeout=5)


async def test_asking_in_a_circle_is_refused_and_not_hung(system: ActorSystem) -> None:
    one = await system.spawn("one", Worker)
    two = await system.spawn("two", Worker)
    with pytest.raises(ActorFailed, match=WouldDeadlock.__name__):
        await one.ask(AskOther(two), timeout=5)


async def test_a_stopped_actor_is_no_such_actor_and_a_tell_to_it_is_a_dead_letter(
    system: ActorSystem,
) -> None:
    ref = await system.spawn("worker", Worker)
    assert await system.stop(ref) == "stopped"
    with dead_letters(system) as letters:
        with pytest.raises(NoSuchActor):
            await ref.ask(Echo("x"), timeout=5)
        await letters.expect(Echo, reason="no such actor")
        ref.tell(Echo("y"))
        await letters.expect(Echo, reason="no such actor")


async def test_a_full_mailbox_refuses_the_ask_and_counts_the_tell(system: ActorSystem) -> None:
    gate = asyncio.Event()
    cell = system.make("worker", Worker, {"gate": gate}, mailbox=2)
    await cell.started
    with dead_letters(system) as letters:
        for _ in range(10):
            cell.ref.tell(Hold())
        with pytest.raises(MailboxFull):
            await cell.ref.ask(Hold(), timeout=5)
        gate.set()
        for _ in range(9):  # of eleven, which came together: two waited
            await letters.expect(Hold, reason="mailbox full")
        await letters.expect_none(where=lambda letter: letter.reason == "mailbox full")
    await system.stop(cell.ref)


async def test_cancelling_an_ask_cancels_its_handler(system: ActorSystem) -> None:
    log: list[str] = []
    ref = await system.spawn("worker", Worker, gate=asyncio.Event(), log=log)
    task = asyncio.create_task(ref.ask(Hold(), timeout=60))
    async with asyncio.timeout(5):
        while "holding" not in log:
            await asyncio.sleep(0)
        task.cancel()
        while "cancelled" not in log:
            await asyncio.sleep(0)
    assert await ref.ask(Echo("alive"), timeout=5) == "alive"


async def test_what_does_not_travel_is_refused_with_a_sentence(system: ActorSystem) -> None:
    class Wrong(Message[None]):
        thing: Any

    ref = await system.spawn("worker", Worker)
    with pytest.raises(CannotEncode, match=r"arrays travel inside Weights"):
        ref.tell(Wrong(np.zeros(3)))


# -- stopping and watching -------------------------------------------------------------------------


async def test_stop_lets_the_current_message_finish(system: ActorSystem) -> None:
    log: list[str] = []
    gate = asyncio.Event()
    ref = await system.spawn("worker", Worker, gate=gate, log=log)
    asked = asyncio.create_task(ref.ask(Hold(), timeout=5))
    async with asyncio.timeout(5):
        while "holding" not in log:
            await asyncio.sleep(0)
    ref.stop()
    gate.set()
    assert await asked == 1


async def test_a_watcher_hears_once_and_at_once_when_the_actor_is_dead_already(
    system: ActorSystem,
) -> None:
    ref = await system.spawn("worker", Worker)
    early, late = [await TestProbe.on(system) for _ in range(2)]
    early.watch(ref)
    await system.stop(ref)
    assert (await early.expect_terminated(ref)).reason == "stopped"
    gone = await late.expect_terminated(ref)
    assert (gone.reason, gone.cause) == ("stopped", "stopped")
    assert (await late.expect_terminated(system.new_ref("nobody"))).cause == "not_found"
    await early.expect_no_message()
    await late.expect_no_message()


async def test_watching_without_a_handler_for_it_is_refused(system: ActorSystem) -> None:
    class Blind(Actor):
        def __init__(self, target: ActorRef) -> None:
            self.watch(target)

    ref = await system.spawn("worker", Worker)
    with pytest.raises(SpawnFailed, match="no handler for Terminated"):
        await system.spawn("blind", Blind, target=ref)


@pytest.mark.parametrize("name", ["", "a/b", "-x", "é", "x" * 65])
async def test_what_is_no_name_is_refused(name: str, system: ActorSystem) -> None:
    with pytest.raises(UsageError, match="is not a name"):
        await system.spawn(name, Worker)


# -- supervision -----------------------------------------------------------------------------------


async def test_a_restart_keeps_reference_and_mailbox_and_drops_the_failing_message(
    system: ActorSystem,
) -> None:
    log: list[str] = []
    ref, children = supervised(system, Worker, log=log)
    restarts = record(system, ActorRestarted)
    await system.spawn("sup", Supervisor, strategy=one_for_one(3), children=children)
    ref.tell(Echo("before"))
    ref.tell(Boom())
    ref.tell(Echo("after"))
    assert (await restarts.next()).error == "ValueError: boom"
    # A fresh instance, which has seen the one message that waited behind the failing one.
    assert await ref.ask(Count(), timeout=5) == 1
    assert log == ["start", "stop", "start"]


async def test_a_supervisor_gives_up_after_its_intensity_and_says_whom(
    system: ActorSystem,
) -> None:
    ref, children = supervised(system, Worker)
    restarts = record(system, ActorRestarted)
    await system.spawn("sup", Supervisor, strategy=one_for_one(2, per=60), children=children)
    for _ in range(2):
        ref.tell(Boom())
        await restarts.next()
    ref.tell(Boom())
    async with asyncio.timeout(5):
        failure = await system.failure
    assert failure.kind == "GaveUp"
    assert "child failed again after 2 restarts within 60 s" in failure.message


async def test_giving_up_while_a_restart_is_under_way_warns_of_nothing(
    system: ActorSystem,
) -> None:
    """A coroutine that was never awaited would warn, and warnings are errors here."""
    ref, one = supervised(system, Worker)
    other, two = supervised(system, Worker)
    supervisor = await system.spawn(
        "sup", Supervisor, strategy=one_for_one(1), children=lambda: [*one(), *two()]
    )
    await ref.ask(Count(), timeout=5)
    # In one turn of the loop: the restart cannot have begun.
    system.signal(supervisor.parts, Failed(ref.parts, Failure("ValueError", "no")))
    hopeless = Failure("GaveUp", "no", kinds=kinds_of(GaveUp))
    system.signal(supervisor.parts, Failed(other.parts, hopeless))
    async with asyncio.timeout(5):
        assert (await system.failure).kind == "GaveUp"
    await asyncio.sleep(0)
    gc.collect()


async def test_a_constructor_that_fails_is_a_failure_like_any_other(system: ActorSystem) -> None:
    class Stillborn(Actor):
        def __init__(self) -> None:
            raise OSError("no luck")

    with pytest.raises(SpawnFailed, match="OSError: no luck"):
        await system.spawn("direct", Stillborn)
    _, children = supervised(system, Stillborn)
    failures = record(system, ActorFailure)
    with pytest.raises(SpawnFailed, match="gives up: OSError: no luck"):
        await system.spawn("sup", Supervisor, strategy=one_for_one(1), children=children)
    for _ in range(2):
        assert "no luck" in (await failures.next()).error


async def test_statistics_and_repr_tell_the_state(system: ActorSystem) -> None:
    ref = await system.spawn("worker", Worker)
    await ref.ask(Echo("x"), timeout=5)
    (cell,) = system.statistics().actors
    assert (cell.path, cell.kind, cell.state, cell.handled) == ("/worker", "Worker", "running", 1)
    assert repr(system).startswith("<ActorSystem test#")


async def test_a_permanent_child_that_stops_by_itself_is_made_anew_within_its_budget(
    system: ActorSystem,
) -> None:
    ref, children = supervised(system, Worker)
    restarts = record(system, ActorRestarted)
    gave_up = record(system, SupervisorGaveUp)
    await system.spawn("sup", Supervisor, strategy=one_for_one(1), children=children)
    ref.stop()
    assert "stopped by itself" in (await restarts.next()).error
    assert await ref.ask(Echo("again"), timeout=5) == "again"
    ref.stop()
    event = await gave_up.next()
    assert (event.child, event.restarts) == ("/sup/child", 1)
