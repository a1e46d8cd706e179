"""Watching what is not there yet, and watching again what is not back yet."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import actors
from actors import (
    Actor,
    ActorGraph,
    ActorRef,
    ActorSystem,
    Backoff,
    Inline,
    Message,
    Process,
    Processes,
    Simulated,
    Terminated,
    one_for_one,
)
from actors.nodesignals import MOST_EARLY
from actors.testing import systems
from actors.watching import AGAIN_AFTER, Watching
from tests.actors.supervision.family import Name

APART = [pytest.param(Simulated(2), id="simulated"), pytest.param(Processes(2), id="processes")]


class Heard(Message[list[str]]):
    pass


class Until(Message[None]):
    """Answered once so many ends were heard."""

    count: int


class Away(Message[None]):
    ref: ActorRef


class Look(Message[None]):
    """Watch so many that never were."""

    count: int


class Ends(Message[int]):
    pass


class Crowd(Actor):
    def __init__(self) -> None:
        self._ends = 0

    def look(self, message: Look) -> None:
        for number in range(message.count):
            self.watch(self.system.new_ref(f"a{number}"))

    def gone(self, message: Terminated) -> None:
        self._ends += 1

    def ends(self, message: Ends) -> int:
        return self._ends


class Worker(Actor):
    def name(self, message: Name) -> str:
        return "here"


class Watcher(Actor):
    """Watches from its constructor; and again, at once, whenever it is told of an end."""

    def __init__(self, whom: ActorRef, again: bool) -> None:
        self._whom = whom
        self._again = again
        self._heard: list[str] = []
        self._more = asyncio.Event()
        self.watch(whom)

    def gone(self, message: Terminated) -> None:
        self._heard.append(message.cause)
        self._more.set()
        if self._again:
            self.watch(self._whom)

    def heard(self, message: Heard) -> list[str]:
        return self._heard

    def away(self, message: Away) -> None:
        self.unwatch(message.ref)


def deep(*, again: bool = False, restart: Any = "permanent") -> ActorGraph:
    """The watcher is made before the worker, which stands two supervisors deeper."""
    graph = ActorGraph("deep")
    with graph.supervisor("root", one_for_one(3, backoff=Backoff(2.0, jitter=0.0))):
        with graph.supervisor("upper"), graph.supervisor("lower", one_for_one(1)):
            worker = graph.actor("worker", Worker, place=Process("p0"), restart=restart)
        graph.actor("watcher", Watcher, place=Process("p1"), whom=worker, again=again)
    return graph


@pytest.mark.parametrize("on", [*APART, pytest.param(Inline(), id="inline")])
def test_one_that_is_watched_before_it_is_made_is_watched(on: Any) -> None:
    async def main() -> None:
        async with asyncio.timeout(60), deep(restart="temporary").start(on) as live:
            assert await live["watcher"].ask(Heard(), timeout=10) == []
            live["worker"].stop()
            async with asyncio.timeout(10):
                while not (heard := await live["watcher"].ask(Heard(), timeout=10)):
                    await asyncio.sleep(0.01)
            assert heard == ["stopped"]

    actors.run(main(), on=on)


@pytest.mark.parametrize("on", APART)
def test_watching_again_at_once_waits_for_the_process_and_turns_in_no_circle(on: Any) -> None:
    async def main() -> None:
        graph = deep(again=True)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(120), graph.start(on) as live:
            assert live.processes is not None
            before = loop.time()
            live.processes.kill("p0")
            async with asyncio.timeout(60):
                await live.until(back(live["worker"]))
                heard = await live["watcher"].ask(Heard(), timeout=10)
                took = loop.time() - before
                assert heard[0] == "killed"
                # Each answer took its time; and the last watch stands.
                assert len(heard) <= 2 * (took / AGAIN_AFTER + 1)
                live.processes.kill("p0")
                while len(await live["watcher"].ask(Heard(), timeout=10)) == len(heard):
                    await asyncio.sleep(0.01)

    actors.run(main(), on=on)


async def back(worker: ActorRef) -> None:
    while True:
        try:
            await worker.ask(Name(), timeout=10)
        except actors.AskError:
            await asyncio.sleep(0.01)
        else:
            return


@pytest.mark.parametrize("stays", [True, False], ids=["stays", "goes"])
async def test_who_is_gone_before_the_actor_is_made_watches_it_no_more(stays: bool) -> None:
    async with ActorSystem("alone") as system:
        later = system.new_ref("later")
        watcher = await system.spawn("watcher", Watcher, whom=later, again=False)
        if not stays:
            await system.stop(watcher)
        made = system.make("later", Worker, {}, ref=later)
        assert list(made.watchers) == ([watcher.uid] if stays else [])
        await system.stop(later)
        if stays:
            assert await watcher.ask(Heard(), timeout=5) == ["stopped"]


def test_no_more_than_a_bound_wait_for_what_is_not_made() -> None:
    async def main() -> None:
        async with systems("alone", on=Simulated()) as there:
            crowd = await there["alone"].spawn("crowd", Crowd)
            await crowd.ask(Look(MOST_EARLY + 7), timeout=30)
            assert await crowd.ask(Ends(), timeout=5) == 7  # at once
            await asyncio.sleep(2.0)  # of virtual time: longer than anybody waits
            assert await crowd.ask(Ends(), timeout=5) == MOST_EARLY + 7
            await crowd.ask(Look(MOST_EARLY), timeout=30)  # there is room again
            assert await crowd.ask(Ends(), timeout=5) == MOST_EARLY + 7

    actors.run(main(), on=Simulated())


async def test_a_stop_of_what_is_not_made_is_no_end_of_what_is_made_then() -> None:
    async with ActorSystem("alone") as system:
        later = system.new_ref("later")
        watcher = await system.spawn("watcher", Watcher, whom=later, again=False)
        assert await system.stop(later) == "no such actor"
        assert watcher.uid in system.make("later", Worker, {}, ref=later).watchers
        assert await watcher.ask(Heard(), timeout=5) == []
        await system.stop(later)
        assert await watcher.ask(Heard(), timeout=5) == ["stopped"]


async def test_the_third_watch_of_one_that_is_gone_waits_a_moment() -> None:
    async with ActorSystem("alone") as system:
        ref, watching = system.new_ref("somebody"), Watching()
    for _ in range(2):
        assert watching.watch(ref, 10.0) == 0.0
        assert watching.gone(ref.uid) is ref
        assert watching.told(ref.uid, 10.0)
    assert watching.watch(ref, 10.0) == pytest.approx(AGAIN_AFTER)
    assert watching.unwatch(ref.uid)
    assert watching.watch(ref, 10.0 + AGAIN_AFTER / 4) == pytest.approx(AGAIN_AFTER * 3 / 4)
    assert watching.unwatch(ref.uid)
    assert watching.watch(ref, 10.0 + AGAIN_AFTER) == 0.0
