"""A running graph tells its live state, to itself and to those who look on and may do no more."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

import actors
from actors import (
    Actor,
    ActorGraph,
    ActorRestarted,
    ActorSystem,
    Deployment,
    Drop,
    Duplicate,
    FaultPlan,
    Inline,
    LiveState,
    Message,
    Process,
    Processes,
    Simulated,
    UsageError,
    one_for_one,
)
from actors.signals import Stop
from actors.sim import Simulation
from actors.state import Part, assemble
from actors.statistics import CellStatistics, ChildStatistics, ProcessStatistics
from tests.actors.echoes import Add, Adder, Fail

pytestmark = pytest.mark.timeout(120)

EVERYWHERE = [Inline(), Processes(2), Simulated(2)]


def sums() -> ActorGraph:
    g = ActorGraph("sums")
    with g.supervisor("root", one_for_one(3, per=60)):
        store = g.actor("store", Adder, start=100)
        with g.supervisor("pool", one_for_one(3), place=Process()):
            g.actors("adder{}", 4, Adder, start=0, peer=store)
    return g


def on_its_loop(on: Deployment, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    actors.run(main(), on=on)


async def until(state: Callable[[], Coroutine[Any, Any, LiveState]], seen: Any) -> LiveState:
    """Look again and again until that is seen."""
    async with asyncio.timeout(30):
        while True:
            now = await state()
            if seen(now):
                return now
            await asyncio.sleep(0.05)


def all_run(state: LiveState) -> bool:
    return len(state.actors) == 7 and {a.state for a in state.actors} == {"running"}


@pytest.mark.parametrize("on", EVERYWHERE, ids=str)
def test_a_graph_tells_its_tree_its_nodes_and_its_links(on: Deployment) -> None:
    async def main() -> None:
        async with sums().start(on) as live:
            await live["store"].ask(Add(1), timeout=10)
            for index in range(4):
                for _ in range(index + 1):
                    await live[f"adder{index}"].ask(Add(1), timeout=10)
            state = await live.state()

        assert [a.path for a in state.actors] == [
            "/root", "/root/pool", *(f"/root/pool/adder{i}" for i in range(4)), "/root/store",
        ]  # fmt: skip
        assert [a.depth for a in state.actors] == [0, 1, 2, 2, 2, 2, 1]
        assert {a.state for a in state.actors} == {"running"}
        adders = state.actors[2:6]
        assert [a.handled for a in adders] == [1, 2, 3, 4]
        assert {(a.kind, a.mailbox, a.bound, a.oldest) for a in adders} == {
            ("Adder", 0, 10_000, None)
        }
        assert state.actor("pool").children == 4
        assert state.actor("adder1").parent == "/root/pool"

        inline = isinstance(on, Inline)
        assert [node.name for node in state.nodes] == ["sums"] if inline else ["sums", "p0", "p1"]
        assert {node.state for node in state.nodes} == {"up"}
        places = [a.node for a in adders]
        assert places == (["sums"] * 4 if inline else ["p0", "p1", "p0", "p1"])
        launcher = state.nodes[0]
        assert (launcher.pid, launcher.actors) == (os.getpid(), 7 if inline else 3)
        assert launcher.local is not None
        assert launcher.local.control.messages_in > 0
        for node in state.nodes[1:]:
            assert node.pid != launcher.pid
            (link,) = [each for each in node.links if each.peer.name == "sums"]
            assert (link.state, link.control.state, link.bulk.state) == ("up", "up", "up")
            assert min(link.control.messages_in, link.control.bytes_out) > 0
            assert node.dead_letters == node.asks == 0

    on_its_loop(on, main)


@pytest.mark.parametrize("on", EVERYWHERE, ids=str)
def test_failures_and_restarts_are_told(on: Deployment) -> None:
    async def main() -> None:
        async with sums().start(on) as live:
            restarted = asyncio.Event()
            live.system.events.subscribe(ActorRestarted, lambda _: restarted.set())
            live["adder1"].tell(Fail())
            async with asyncio.timeout(30):
                await restarted.wait()
            adder = (await live.state()).actor("adder1")
            assert (adder.state, adder.restarts, adder.failures) == ("running", 1, 1)

    on_its_loop(on, main)


@pytest.mark.parametrize("on", EVERYWHERE[1:], ids=str)
def test_restarts_after_a_process_died_are_told_as_well(on: Deployment) -> None:
    async def main() -> None:
        async with sums().start(on) as live:
            assert live.processes is not None
            before = (await live.state()).node("p0")
            live.processes.kill("p0")
            state = await until(
                live.state, lambda s: s.actor("adder0").state == "running" and s.actor("adder0").restarts
            )  # fmt: skip
            assert [state.actor(f"adder{i}").restarts for i in range(2)] == [1, 0]
            p0 = state.node("p0")
            assert (p0.starts, p0.state) == (2, "up")
            assert (p0.pid, p0.incarnation) != (before.pid, before.incarnation)

    on_its_loop(on, main)


async def test_a_frozen_process_is_shown_as_stuck_and_holds_nobody_up() -> None:
    async with sums().start(Processes(2)) as live:
        assert live.processes is not None
        pid = live.processes.pid("p0")
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            state = await live.state(limit=0.5)
            assert (state.node("p0").state, state.node("p0").pid) == ("stuck", pid)
            assert state.node("p0").dead_letters is None
            assert state.node("p1").state == "up"
            # Its supervisor knows of what lives there; nobody else can tell more.
            shown = {a.name: a.state for a in state.actors}
            assert [shown[f"adder{i}"] for i in range(4)] == ["unknown", "running"] * 2
            assert state.actor("adder0").node == "p0"
        finally:
            os.kill(pid, signal.SIGCONT)
        await until(live.state, lambda s: s.node("p0").state == "up")


def test_a_frozen_simulated_node_is_asked_until_it_counts_as_stuck_and_no_more() -> None:
    on = Simulated(2)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with Simulation(on).running() as simulation:
            async with sums().start(on, world=simulation.world("sums")) as live:
                await until(live.state, all_run)
                simulation.network.freeze("p0")
                began = loop.time()
                assert (await live.state()).node("p0").state == "stuck"
                assert loop.time() - began == pytest.approx(2.0, abs=0.1)
                await asyncio.sleep(10.0)
                began = loop.time()
                state = await live.state()
                assert (state.node("p0").state, state.node("p1").state) == ("stuck", "up")
                assert loop.time() - began < 0.5
                assert state.node("p0").silent > 9.0
                simulation.network.thaw("p0")
                await until(live.state, lambda s: s.node("p0").state == "up")

    on_its_loop(on, main)


def test_questions_that_get_lost_are_asked_again() -> None:
    plan = FaultPlan(Drop(0.2), Duplicate(0.2), seed=3, until=1000.0)
    on = Simulated(2, seed=1, faults=plan)

    async def main() -> None:
        async with sums().start(on) as live:
            states = [await live.state(limit=20.0) for _ in range(10)]
            assert {n.state for s in states for n in s.nodes} == {"up"}
            assert {len(s.actors) for s in states} == {7}

    on_its_loop(on, main)


class Hold(Message[None]):
    seconds: float


class Holding(Actor):
    async def hold(self, message: Hold) -> None:
        await self.clock.sleep(message.seconds)


def test_the_oldest_message_is_as_old_as_it_is() -> None:
    on = Simulated(1)
    g = ActorGraph("ages")
    with g.supervisor("root"):
        g.actor("holding", Holding)

    async def main() -> None:
        async with g.start(on) as live:

            async def oldest() -> float | None:
                return (await live.state()).actor("holding").oldest

            holding = live["holding"]
            assert await oldest() is None
            holding.tell(Hold(30.0))
            await asyncio.sleep(10.0)
            assert await oldest() is None  # it is being handled, and does not wait
            holding.tell(Hold(50.0))  # finds a busy actor and an empty mailbox
            await asyncio.sleep(5.0)
            holding.tell(Hold(1.0))
            assert await oldest() == pytest.approx(5.0, abs=0.01)
            await asyncio.sleep(4.0)
            assert await oldest() == pytest.approx(9.0, abs=0.01)
            # The second is being handled. The third came at 15, between looks at 15 and 19.
            await asyncio.sleep(20.0)
            age = await oldest()
            assert age is not None
            assert 24.0 - 0.01 <= age <= 24.1
            await asyncio.sleep(60.0)
            assert await oldest() is None

    on_its_loop(on, main)


async def test_10_000_actors_are_told_of_and_the_loop_is_never_held_up_for_long() -> None:
    async with ActorSystem("many") as system:
        async with asyncio.TaskGroup() as group:
            for index in range(10_000):
                group.create_task(_spawned(system, index))
        loop, longest, last = asyncio.get_running_loop(), 0.0, 0.0
        looking = asyncio.ensure_future(system.observing.look())
        gc.collect()
        gc.disable()
        try:
            last = loop.time()
            while not looking.done():
                await asyncio.sleep(0)
                now = loop.time()
                longest, last = max(longest, now - last), now
        finally:
            gc.enable()
        assert longest < 0.25  # of some 0.1 s altogether; others run on this machine, too
        parts = await looking
        assert len(parts) > 20
        assert max(map(len, parts)) < 1 << 18
        state = assemble(map(msgspec.msgpack.Decoder(Part).decode, parts))
        assert len(state.actors) == state.nodes[0].actors == 10_000
        assert state.more == 0
        cells = list(system.cells.values())
        for one in cells:
            one.signal(Stop())
        await asyncio.gather(*(one.stopped for one in cells))


async def _spawned(system: ActorSystem, index: int) -> None:
    cell = system.make(f"adder{index}", Adder, {"start": index})
    await cell.started


# -- what is told is put together --------------------------------------------------------------------


def cell(path: str, **told: Any) -> CellStatistics:
    values: dict[str, Any] = {
        "kind": "A", "state": "running", "mailbox": 0, "bound": 10, "handled": 0, "restarts": 0,
        "failures": 0, "children": 0, "watchers": 0, **told,
    }  # fmt: skip
    return CellStatistics(path, **values)


def test_actors_without_a_known_parent_stand_at_the_top_and_children_behind_theirs() -> None:
    state = assemble([
        Part("n", actors=(cell("/a"), cell("/gone/b"), cell("/a/w10"))),
        Part("m", actors=(cell("/a/w2"), cell("/a/w10/e"), cell("/a/w"))),
    ])  # fmt: skip
    assert [a.path for a in state.actors] == [
        "/a",
        "/a/w",
        "/a/w2",
        "/a/w10",
        "/a/w10/e",
        "/gone/b",
    ]
    assert [n.actors for n in state.nodes] == [0, 0]  # neither told of itself


def test_a_supervisor_knows_of_more_restarts_than_the_process_and_of_those_who_are_silent() -> None:
    noted = (ChildStatistics("/s/a", "p", 7), ChildStatistics("/s/b", "q", 2))
    state = assemble([
        Part("l", actors=(cell("/s", noted=noted),)),
        Part("p", actors=(cell("/s/a", restarts=1),)),
        Part("q", process=ProcessStatistics("q", 12, 1, "stuck")),
    ])  # fmt: skip
    assert [(a.path, a.state, a.node, a.restarts) for a in state.actors] == [
        ("/s", "running", "l", 0), ("/s/a", "running", "p", 7), ("/s/b", "unknown", "q", 2),
    ]  # fmt: skip
    with pytest.raises(KeyError, match="0 actors are called"):
        state.actor("nobody")
    with pytest.raises(KeyError, match="no node 'x'"):
        state.node("x")


async def test_a_system_that_does_not_run_and_a_limit_of_nothing_are_refused() -> None:
    system = ActorSystem("closed")
    with pytest.raises(UsageError, match="does not run"):
        await system.state()
    async with system:
        with pytest.raises(UsageError, match="above 0"):
            await system.state(limit=0.0)
    with pytest.raises(UsageError, match="does not run"):
        await system.listen_for_observers("ipc:///nowhere/at-all")
