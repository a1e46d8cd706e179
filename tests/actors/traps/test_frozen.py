"""A node that freezes holds up nobody but those who ask it; one that returns from the dead leaves."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

import actors
from actors import (
    Actor,
    ActorGraph,
    ActorRef,
    ActorRestarted,
    AskTimeout,
    Message,
    NodeDied,
    Process,
    Unreachable,
)
from actors.deploy import Deployment
from actors.live import Live
from actors.serving import EXIT_CUT_OFF
from actors.sim import Simulation
from actors.world import World
from tests.actors.traps.places import (
    LIMIT,
    PROCESSES,
    SIMULATED,
    Heard,
    answered,
    started,
    virtual,
)
from tests.actors.traps.withheld import Withholding
from transports import LinkFull
from transports.statistics import LinkStatistics

everywhere = pytest.mark.parametrize("on", [SIMULATED, PROCESSES], ids=str)


class Load(Message[None]):
    text: str


class Count(Message[int]):
    pass


class Pid(Message[int]):
    pass


class Taker(Actor):
    def __init__(self) -> None:
        self.count = 0

    def load(self, message: Load) -> None:
        self.count += 1

    def counted(self, message: Count) -> int:
        return self.count

    def pid(self, message: Pid) -> int:
        return self.system.node.incarnation


def takers() -> ActorGraph:
    graph = ActorGraph("takers")
    with graph.supervisor("root"):
        graph.actor("taker", Taker, place=Process("one"), mailbox=1_000_000)
        graph.actor("other", Taker, place=Process("two"))
    return graph


class Freezer:
    """Freezes a node and thaws it, in its world."""

    def __init__(self, live: Live, simulation: Simulation | None) -> None:
        self._live = live
        self._simulation = simulation
        assert live.processes is not None
        self.pid = live.processes.pid("one")

    def freeze(self) -> None:
        if self._simulation is not None:
            self._simulation.network.freeze("one")
        else:
            assert self.pid is not None
            os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        if self._simulation is not None:
            self._simulation.network.thaw("one")
        else:
            assert self.pid is not None
            os.kill(self.pid, signal.SIGCONT)


@asynccontextmanager
async def freezing(on: Deployment, *heard: Heard[NodeDied]) -> AsyncIterator[tuple[Live, Freezer]]:
    if virtual(on):
        assert on == SIMULATED
        with Simulation(SIMULATED).running() as simulation:
            async with started(takers(), on, *heard, world=simulation.world("takers")) as live:
                yield live, Freezer(live, simulation)
    else:
        async with started(takers(), on, *heard) as live:
            yield live, Freezer(live, None)


def to_the_brim(ref: ActorRef) -> int:
    """Tell until the link takes no more; how often it did."""
    message, told, sentence = Load("x" * 10_000), 0, ""
    while not sentence:
        try:
            ref.tell(message)
            told += 1
        except LinkFull as full:
            sentence = str(full)
    assert "await link.drain() and send again" in sentence
    return told


def link(live: Live) -> LinkStatistics:
    found = live.system.router.link_to("one")
    assert found is not None
    return found.statistics()


@everywhere
def test_a_full_link_to_a_frozen_node_says_so_costs_no_memory_and_empties_when_it_thaws(
    on: Deployment,
) -> None:
    async def main() -> None:
        died = Heard(NodeDied)
        loop = asyncio.get_running_loop()
        async with freezing(on, died) as (live, freezer):
            taker, other = live["taker"], live["other"]
            assert await taker.ask(Count(), timeout=LIMIT) == 0
            assert await other.ask(Count(), timeout=LIMIT) == 0
            freezer.freeze()
            left = asyncio.ensure_future(taker.ask(Count(), timeout=0.3))
            await asyncio.sleep(0)
            told = to_the_brim(taker)
            window = link(live).control.window
            assert window - 10_100 < link(live).control.held <= window
            # Those who ask it: one whose ask had left, and one whose ask finds no room.
            began = loop.time()
            with pytest.raises(AskTimeout, match=r"did not answer Count within 0\.3 s"):
                await left
            with pytest.raises(Unreachable, match=r"stayed full for 0\.3 s"):
                await taker.ask(Load("x" * 10_000), timeout=0.3)
            assert loop.time() - began < (0.61 if virtual(on) else 5.0)
            # Those who do not.
            assert await other.ask(Count(), timeout=10) == 0
            # However often it is tried.
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            for _ in range(20_000):
                with pytest.raises(LinkFull):
                    taker.tell(Load("x" * 10_000))
            assert link(live).control.held <= window
            assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB
            freezer.thaw()
            async with asyncio.timeout(LIMIT):
                await taker.drain()
            assert await taker.ask(Count(), timeout=LIMIT) == told
            assert not died.events

    actors.run(main(), on=on)


async def test_a_node_that_returns_after_it_was_declared_dead_is_refused_and_leaves() -> None:
    """Its kill does not reach it, as that of a machine that was cut off for a while."""
    died, restarted = Heard(NodeDied), Heard(ActorRestarted)
    spawner = Withholding("one")
    world = replace(World(), spawner=spawner)
    async with started(takers(), PROCESSES, died, restarted, world=world) as live:
        taker, other = live["taker"], live["other"]
        await other.ask(Count(), timeout=LIMIT)
        first = await taker.ask(Pid(), timeout=LIMIT)
        assert live.processes is not None
        ghost = live.processes.pid("one")
        assert ghost is not None
        os.kill(ghost, signal.SIGSTOP)
        link = live.system.router.link_to("one")
        assert link is not None
        asking = asyncio.ensure_future(taker.ask(Pid(), timeout=3600))  # it waits in the ghost
        await asyncio.sleep(0)
        live.processes.kill("one")
        await restarted.number(1)
        with pytest.raises(actors.PeerLost):
            await asking
        second = await answered(taker, Pid())
        assert second != first
        refused = live.system.router.endpoint.statistics().refused
        os.kill(ghost, signal.SIGCONT)
        assert spawner.ghost is not None
        async with asyncio.timeout(LIMIT):
            ended = await spawner.ghost.wait()
        assert ended.code == EXIT_CUT_OFF
        assert any("node one leaves: " in line for line in spawner.ghost.last_lines())
        now = live.system.router.endpoint.statistics().refused
        assert sum(now.values()) > sum(refused.values()), (refused, now)
        # Its successor knows nothing of it, and nobody else died.
        assert await taker.ask(Pid(), timeout=10) == second
        assert await other.ask(Count(), timeout=10) == 0
        assert len(died.events) == 1
        assert len(restarted.events) == 1
