"""What is told to a node that dies is accounted for where it was sent from; watches keep their word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

import actors
from actors import (
    Actor,
    ActorGraph,
    ActorRef,
    ActorSystem,
    AskError,
    Backoff,
    DeadLetter,
    Message,
    Process,
    Simulated,
    Terminated,
    Unacknowledged,
    Unreachable,
    one_for_one,
)
from actors.cell import Cell
from actors.live import Live
from actors.signals import Overflow, Watch
from actors.sim import Simulation
from actors.watching import Watching
from transports import NodeId, Weights


class Note(Message[None]):
    number: int


class Load(Message[None]):
    weights: Weights


class Work(Message[None]):
    seconds: float


class Look(Message[None]):
    whom: ActorRef
    away: bool = False


class Told(Message[list[str]]):
    """The paths of those that were said to be gone, in order."""


class Worker(Actor):
    def __init__(self) -> None:
        self.told: list[str] = []

    def note(self, message: Note) -> None:
        pass

    def load(self, message: Load) -> None:
        message.weights.release()

    async def work(self, message: Work) -> None:
        await self.clock.sleep(message.seconds)

    def look(self, message: Look) -> None:
        if message.away:
            self.unwatch(message.whom)
        else:
            self.watch(message.whom)

    def terminated(self, message: Terminated) -> None:
        self.told.append(message.path)

    def what(self, message: Told) -> list[str]:
        return self.told


ON = Simulated(1)


def working(place: Process | None) -> ActorGraph:
    graph = ActorGraph("working")
    often = one_for_one(100, outside=100, backoff=Backoff(0.1, jitter=0))
    with graph.supervisor("root", often):
        graph.actor("here", Worker)
        graph.actor("worker", Worker, place=place)
    return graph


def load(floats: int) -> Load:
    return Load(Weights.of({"w": np.ones(floats, np.float32)}))


async def heard_of(disturb: Any) -> list[Unacknowledged | DeadLetter]:
    """What the launcher accounts for while p0 is disturbed, until it is closed."""
    events: list[Unacknowledged | DeadLetter] = []
    with Simulation(ON).running() as simulation:
        async with working(Process()).start(ON, world=simulation.world("working")) as live:
            await asyncio.sleep(1.0)
            live.system.events.subscribe(Unacknowledged, events.append)
            live.system.events.subscribe(DeadLetter, events.append)
            await disturb(live, simulation)
            found = events[:]
    return found


def ranges(events: list[Unacknowledged | DeadLetter], *, taken: bool) -> dict[str, list[int]]:
    """The numbers in the ranges, by lane."""
    found: dict[str, list[int]] = {}
    for event in events:
        if isinstance(event, Unacknowledged) and event.taken == taken:
            assert (event.node, event.reason) == ("p0", "killed by signal 9 (SIGKILL)")
            assert event.count == event.last - event.first + 1
            found.setdefault(event.lane, []).extend(range(event.first, event.last + 1))
    return found


def kill(live: Live) -> None:
    assert live.processes is not None
    live.processes.kill("p0")


def test_what_waited_in_the_mailbox_of_a_dead_node_lies_in_a_range_that_was_taken() -> None:
    async def disturb(live: Live, simulation: Simulation) -> None:
        worker = live["worker"]
        worker.tell(Work(5.0))
        await asyncio.sleep(0.1)
        worker.tell(Note(1))
        worker.tell(load(10))
        await asyncio.sleep(0.1)
        kill(live)
        await asyncio.sleep(1.0)

    events = actors.run(heard_of(disturb), on=ON)
    taken = ranges(events, taken=True)
    assert taken["control"][0] == 1
    assert len(taken["control"]) == taken["control"][-1] >= 2
    assert taken["bulk"] == [1]
    assert not [event for event in events if isinstance(event, DeadLetter)]


def test_what_left_and_was_never_acknowledged_lies_in_a_range_that_was_not_taken() -> None:
    numbers: list[int] = []

    async def disturb(live: Live, simulation: Simulation) -> None:
        simulation.network.freeze("p0")
        worker = live["worker"]
        link = live.system.router.link_to("p0")
        assert link is not None
        for number in range(3):
            worker.tell(Note(number))
            numbers.append(link.statistics().control.messages_out)
            await asyncio.sleep(0.01)
        worker.tell(load(10))
        worker.tell(load(1_000_000))
        asking = asyncio.ensure_future(worker.ask(Told(), timeout=50.0))
        await asyncio.sleep(0.1)
        kill(live)
        with pytest.raises(AskError, match="whether it was handled is unknown"):
            await asking

    events = actors.run(heard_of(disturb), on=ON)
    lost = ranges(events, taken=False)
    assert set(numbers) <= set(lost["control"])
    assert lost["bulk"] == [1, 2]
    assert not [event for event in events if isinstance(event, DeadLetter)]


def test_what_never_left_for_a_dead_node_is_a_dead_letter_and_its_ask_is_known_not_to_have() -> (
    None
):
    outcome: list[BaseException] = []

    async def disturb(live: Live, simulation: Simulation) -> None:
        simulation.network.cut("p0", "working")
        await asyncio.sleep(0.1)
        worker = live["worker"]
        for number in range(3):
            worker.tell(Note(number))
        asking = asyncio.ensure_future(worker.ask(Told(), timeout=50.0))
        await asyncio.sleep(0.1)
        kill(live)
        with pytest.raises(Unreachable) as refused:
            await asking
        outcome.append(refused.value)

    events = actors.run(heard_of(disturb), on=ON)
    letters = [event for event in events if isinstance(event, DeadLetter)]
    assert [letter.message for letter in letters] == ["Note", "Note", "Note", "Told"]
    assert {letter.reason for letter in letters} == {"unreachable: killed by signal 9 (SIGKILL)"}
    sentence = "Told did not leave for node p0: unreachable: killed by signal 9 (SIGKILL)"
    assert str(outcome[0]) == sentence


def test_a_graph_that_is_stopped_in_order_loses_no_mailbox() -> None:
    events: list[Unacknowledged] = []

    async def main() -> None:
        async with working(Process()).start(
            ON, before=lambda system: system.events.subscribe(Unacknowledged, events.append)
        ) as live:
            await live["worker"].ask(Told(), timeout=5.0)

    actors.run(main(), on=ON)
    assert not [event for event in events if event.taken]


@pytest.fixture
async def system() -> AsyncIterator[ActorSystem]:
    async with asyncio.timeout(20), ActorSystem("here") as system:
        yield system


async def stopped(system: ActorSystem, name: str) -> ActorRef:
    ref = await system.spawn(name, Worker)
    await system.stop(ref)
    return ref


async def told(watcher: ActorRef) -> list[str]:
    """What it was told, once all that it was sent before has had its effects."""
    await watcher.ask(Told(), timeout=5)
    return await watcher.ask(Told(), timeout=5)


async def test_one_that_is_watched_twice_before_its_end_is_told_is_told_once(
    system: ActorSystem,
) -> None:
    watcher = await system.spawn("watcher", Worker)
    dead = await stopped(system, "dead")
    watcher.tell(Look(dead))
    watcher.tell(Look(dead))
    assert await told(watcher) == ["/dead"]
    watcher.tell(Look(dead))  # another watch, another answer
    assert await told(watcher) == ["/dead", "/dead"]


async def test_news_that_waits_answers_every_watch_until_it_is_told(system: ActorSystem) -> None:
    watching, ref = Watching(), await stopped(system, "dead")
    assert watching.watch(ref, 0.0) == 0.0
    assert watching.watch(ref, 0.0) is None
    assert watching.gone(ref.uid) is ref
    assert watching.watch(ref, 0.0) is None
    assert watching.gone(ref.uid) is None
    assert watching.told(ref.uid, 0.0)
    assert not watching.told(ref.uid, 0.0)
    assert watching.watch(ref, 0.0) == 0.0


async def test_nothing_is_told_of_one_that_is_no_longer_watched(system: ActorSystem) -> None:
    watcher = await system.spawn("watcher", Worker)
    dead = await stopped(system, "dead")
    watcher.tell(Look(dead))
    watcher.tell(Look(dead, away=True))
    assert await told(watcher) == []


@pytest.mark.parametrize("overflow", ["reject", "drop_oldest", "drop_new"])
async def test_a_full_mailbox_loses_no_end_of_a_watched_actor(
    system: ActorSystem, overflow: Overflow
) -> None:
    watched = await system.spawn("watched", Worker)
    cell: Cell = system.make("watcher", Worker, {}, mailbox=3, overflow=overflow)
    await cell.started
    cell.ref.tell(Look(watched))
    await cell.ref.ask(Told(), timeout=5)
    cell.ref.tell(Work(0.3))
    await asyncio.sleep(0.05)
    for number in range(3):
        cell.ref.tell(Note(number))
    while cell.statistics().mailbox < 3:
        await asyncio.sleep(0.001)
    await system.stop(watched)
    for number in range(10):
        cell.ref.tell(Note(number))
    while cell.statistics().mailbox:
        await asyncio.sleep(0.01)
    assert await cell.ref.ask(Told(), timeout=5) == ["/watched"]
    cell.ref.stop()
    await cell.stopped


def test_a_watcher_whose_node_has_died_is_forgotten() -> None:
    async def main() -> None:
        async with working(Process()).start(ON) as live:
            here = live["here"]
            live["worker"].tell(Look(here))
            await asyncio.sleep(0.1)
            cell = live.system.cell(here)
            assert cell is not None
            assert cell.statistics().watchers == 1
            kill(live)
            await asyncio.sleep(0.1)
            assert cell.statistics().watchers == 0

    actors.run(main(), on=ON)


async def test_what_is_said_while_a_node_closes_leaves_no_timer_behind() -> None:
    async with asyncio.timeout(20):
        system = ActorSystem("here")
        await system.start()
        system.router.node_up(NodeId("there", 7), "ipc:///nowhere/at/all")
        system.router.signal("there", 0, Watch(system.guardian))
        closing = asyncio.ensure_future(system.close(linger=0.1))
        await asyncio.sleep(0.02)
        system.router.signal("there", 0, Watch(system.guardian))
        await closing
        assert not system.router._resends
