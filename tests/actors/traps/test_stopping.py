"""Nothing holds up a stop: no hook that hangs, no flood of timers, no flood of messages."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

import actors
from actors import (
    Actor,
    ActorGraph,
    ActorRef,
    Custom,
    Message,
    Process,
    one_for_one,
)
from actors.deploy import Deployment
from tests.actors.traps.places import (
    INLINE,
    LIMIT,
    PROCESSES,
    SIMULATED,
    Heard,
    alone,
    answered,
    started,
    virtual,
)

everywhere = pytest.mark.parametrize("on", [SIMULATED, INLINE, PROCESSES], ids=str)


class Go(Message[int]):
    pass


# A hook that hangs


class Ends(Actor):
    """Says when it stops, and how it takes it."""

    def __init__(self, how: str) -> None:
        self.how = how

    async def on_stop(self) -> None:
        self.publish("stops", name=self.ref.name)
        if self.how == "hangs":
            await asyncio.Event().wait()
        # One time more than it is cancelled before it is left: its process ends it then.
        for _ in range(7 if self.how == "catches" else 0):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        self.publish("stopped", name=self.ref.name)

    def go(self, message: Go) -> int:
        return 1


def family(how: str) -> ActorGraph:
    graph = ActorGraph("family")
    with graph.supervisor("root", place=Process("one")):
        graph.actor("first", Ends, how="ends")
        with graph.supervisor("pool"):
            graph.actor("second", Ends, how="ends")
            graph.actor("third", Ends, how=how, stop_timeout=0.3)
            graph.actor("fourth", Ends, how="ends")
    return graph


@pytest.mark.parametrize(
    ("how", "on", "least", "most"),
    [
        ("hangs", SIMULATED, 0.3, 0.4),
        ("hangs", INLINE, 0.29, 5.0),
        ("hangs", PROCESSES, 0.29, 5.0),
    ],
    ids=str,
)
def test_a_child_that_hangs_in_its_stop_hook_holds_up_nobody_beyond_its_limit(
    how: str, on: Deployment, least: float, most: float
) -> None:
    async def main() -> None:
        said = Heard(Custom)
        loop = asyncio.get_running_loop()
        async with started(family(how), on, said) as live:
            for name in ("first", "second", "third", "fourth"):
                assert await live[name].ask(Go(), timeout=10) == 1
            began = loop.time()
            await live.system.stop_all()
            took = loop.time() - began
            assert least <= took < most, took
        told = [(event.kind, event.fields["name"]) for event in said.events]
        stops = [name for kind, name in told if kind == "stops"]
        siblings = [name for name in stops if name != "first"]
        assert siblings == ["fourth", "third", "second"], "in reverse order"
        assert {name for kind, name in told if kind == "stopped"} == {"fourth", "second", "first"}

    actors.run(main(), on=on)


# Floods


class Tick(Message[None]):
    pass


class Ticking(Actor):
    """Is woken more often than it can work, and again by each of its own messages."""

    def __init__(self, timers: int, work: float) -> None:
        self.work = work
        self.ticks = 0
        for number in range(timers):
            self.timers.start(f"t{number}", Tick(), after=0.001, every=0.001)

    async def tick(self, message: Tick) -> None:
        self.ticks += 1
        self.ref.tell(Tick())
        if self.work:
            await self.clock.sleep(self.work)

    def go(self, message: Go) -> int:
        return self.ticks


# In virtual time what takes none never ends.
@pytest.mark.parametrize(
    ("work", "on"), [(0.02, SIMULATED), (0.02, INLINE), (0.0, INLINE)], ids=str
)
def test_a_flood_of_timers_delays_no_stop(work: float, on: Deployment) -> None:
    async def main() -> None:
        async with alone(on) as system:
            ref = await system.spawn("ticking", Ticking, timers=300, work=work)
            cell = system.cell(ref)
            assert cell is not None
            async with asyncio.timeout(LIMIT):
                while cell.handled < 20 or not cell.statistics().mailbox:
                    await system.world.clock.sleep(0.001)
            loop = asyncio.get_running_loop()
            began = loop.time()
            assert await system.stop(ref) == "stopped"
            # The message that is being handled may end.
            assert loop.time() - began < (work + 0.001 if virtual(on) else 2.0)
            assert not system.statistics().actors

    actors.run(main(), on=on)


class Flood(Message[None]):
    target: ActorRef
    on: bool = True


class Flooding(Actor):
    """Tells another as much as its link takes, until it is told to stop that."""

    def __init__(self) -> None:
        self.floods = False

    def flood(self, message: Flood) -> None:
        self.floods = message.on
        self._go_on(message)

    def _go_on(self, message: Flood) -> None:
        async def told() -> Flood:
            await message.target.drain()
            for _ in range(100):
                message.target.tell(Tick())
            await self.clock.sleep(0.001)
            return message

        if self.floods:
            self.pipe_to_self(told(), lambda m: Again(m.target))

    def again(self, message: Again) -> None:
        self._go_on(Flood(message.target))


class Again(Message[None]):
    target: ActorRef


class Flooded(Actor):
    """Its mailbox only ever grows."""

    async def tick(self, message: Tick) -> None:
        await self.clock.sleep(0.01)

    def go(self, message: Go) -> int:
        return 1


@everywhere
def test_a_flood_of_messages_delays_no_stop(on: Deployment) -> None:
    async def main() -> None:
        graph = ActorGraph("flood")
        with graph.supervisor("root", one_for_one(3)):
            graph.actor("flooding", Flooding, place=Process("one"))
            graph.actor("other", Ends, how="ends", place=Process("two"))
            flooded = graph.actor(
                "flooded", Flooded, place=Process("two"), restart="temporary", mailbox=1_000
            )
        assert flooded.name == "flooded"
        loop = asyncio.get_running_loop()
        async with started(graph, on) as live:
            ref = live["flooded"]
            live["flooding"].tell(Flood(ref))
            async with asyncio.timeout(LIMIT):  # until its mailbox takes no more
                while True:
                    try:
                        await ref.ask(Go(), timeout=0.05)
                    except actors.MailboxFull:
                        break
                    except actors.AskTimeout:
                        continue
            began = loop.time()
            assert await live.system.stop(ref) == "stopped"
            took = loop.time() - began
            assert took < (0.05 if virtual(on) else 2.0), took
            # Who floods learns nothing of it, and who lives beside it is well.
            assert await answered(live["other"], Go()) == 1
            live["flooding"].tell(Flood(ref, on=False))

    actors.run(main(), on=on)
