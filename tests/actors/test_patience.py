"""How long an actor that is to stop may go on with what it is at; then it is cancelled, and left."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

import pytest

import actors
from actors import Actor, ActorFailed, ActorGraph, ActorSystem, Message, Simulated
from actors.sim import Simulation


class Small(Message[int]):
    text: str = ""


class Careful(Actor):
    """Needs almost all of its time for a message, and then some to clean up."""

    def __init__(self, cleaned: list[str]) -> None:
        self.cleaned = cleaned

    async def small(self, message: Small) -> int:
        await asyncio.sleep(0.9)
        return 1

    async def on_stop(self) -> None:
        await asyncio.sleep(0.5)
        self.cleaned.append("all")


class Deaf(Actor):
    """Catches every cancellation."""

    async def small(self, message: Small) -> int:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            if message.text == "once":
                return 1


def in_virtual_time(main: Callable[[ActorSystem], Coroutine[Any, Any, None]]) -> None:
    on = Simulated(1)

    async def within() -> None:
        with Simulation(on).running() as simulation:
            world = simulation.world("alone")
            async with asyncio.timeout(60), ActorSystem("alone", world=world) as system:
                await main(system)

    actors.run(within(), on=on)


def test_what_an_actor_does_at_its_end_has_a_time_of_its_own() -> None:
    cleaned: list[str] = []

    async def main(system: ActorSystem) -> None:
        ref = system.new_ref("careful")
        cell = system.make("careful", Careful, {"cleaned": cleaned}, ref=ref)
        cell.stop_timeout = 1.0
        ask = asyncio.ensure_future(ref.ask(Small(), timeout=30))
        await asyncio.sleep(0.1)
        assert await system.stop(ref) == "stopped"
        assert await ask == 1

    in_virtual_time(main)
    assert cleaned == ["all"]


class Slow(Actor):
    """Fails once, and then does not let its ``on_stop`` be cancelled at the first attempt."""

    made: ClassVar[list[int]] = []

    def __init__(self) -> None:
        self.first = not self.made
        self.made.append(1)

    async def small(self, message: Small) -> int:
        if self.first:
            raise ValueError("as told")
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return 1

    async def on_stop(self) -> None:
        if self.first:
            for _ in range(2):
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.Event().wait()


def test_what_the_end_of_one_instance_needed_is_forgotten_with_it() -> None:
    on = Simulated(1)
    Slow.made.clear()

    async def main() -> None:
        graph = ActorGraph("slow")
        with graph.supervisor("root"):
            graph.actor("slow", Slow, mailbox=7, stop_timeout=1.0)
        async with asyncio.timeout(60), graph.start(on) as live:
            ref = live["slow"]
            cell = live.system.cell(ref)
            assert cell is not None
            assert (cell.stop_timeout, cell.bound) == (1.0, 7), "as the graph says"
            with pytest.raises(ActorFailed, match="as told"):
                await ref.ask(Small(), timeout=5)
            await asyncio.sleep(5)
            assert cell.restarts == 1
            ask = asyncio.ensure_future(ref.ask(Small(), timeout=30))
            await asyncio.sleep(0.1)
            ask.cancel()
            await asyncio.sleep(0.1)
            assert not cell.busy
            assert cell.handled == 1
            assert cell.task is not None
            assert cell.task.cancelling() == 0

    actors.run(main(), on=on)


@pytest.mark.parametrize(("text", "reason"), [("once", "stopped"), ("", "abandoned: it caught 5")])
def test_an_actor_that_catches_its_cancellation_is_cancelled_again_and_left_at_last(
    text: str, reason: str
) -> None:
    async def main(system: ActorSystem) -> None:
        ref = system.new_ref("deaf")
        cell = system.make("deaf", Deaf, {}, ref=ref)
        cell.stop_timeout = 1.0
        ask = asyncio.ensure_future(ref.ask(Small(text), timeout=30))
        await asyncio.sleep(0.1)
        began = asyncio.get_running_loop().time()
        assert (await system.stop(ref)).startswith(reason)
        assert asyncio.get_running_loop().time() - began < 7.0
        ask.cancel()
        assert cell.task is not None
        cell.task.get_coro().close()  # it would catch all others, too

    in_virtual_time(main)
