"""Actor graphs: checked before start, and alike inline and over processes."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors import (
    Actor,
    ActorFailed,
    ActorGraph,
    ActorRestarted,
    ActorSystem,
    AskError,
    CodeTravelError,
    Deployment,
    GaveUp,
    GraphError,
    Inline,
    NodeDied,
    NodeStarted,
    NodeStartFailed,
    PopenSpawner,
    Process,
    Processes,
    ProcessSpec,
    UsageError,
    World,
    one_for_one,
)
from actors.spawner import PopenChild
from tests.actors.echoes import Add, Adder, Exit, Fail, Pid, PidOfPeer, Scale
from transports import Weights

pytestmark = pytest.mark.timeout(120)


def graph(intensity: int = 3) -> ActorGraph:
    g = ActorGraph("sums")
    with g.supervisor("root", one_for_one(intensity, per=60)):
        store = g.actor("store", Adder, start=100, place=Process("store"))
        with g.supervisor("pool", one_for_one(intensity), place=Process()):
            g.actors("adder{}", 4, Adder, start=0, peer=store)
    return g


@pytest.mark.parametrize("on", [Inline(), Processes(2)], ids=str)
async def test_one_graph_runs_inline_and_over_processes(on: Deployment) -> None:
    async with graph().start(on) as live:
        assert await live["store"].ask(Add(1), timeout=10) == 101
        assert await live["adder3"].ask(Add(5), timeout=10) == 5
        pids = {await live[f"adder{i}"].ask(Pid(), timeout=10) for i in range(4)}
        store = await live["store"].ask(Pid(), timeout=10)
        # Two processes that know each other through a constructor argument alone.
        assert await live["adder0"].ask(PidOfPeer(), timeout=10) == store
        if isinstance(on, Inline):
            assert pids == {store} == {os.getpid()}
        else:
            assert len(pids) == 2
            assert not pids & {store, os.getpid()}


@pytest.mark.parametrize("on", [Inline(), Processes(1)], ids=str)
@pytest.mark.parametrize("elements", [1000, 2_000_000])
async def test_weights_travel_both_ways(on: Deployment, elements: int) -> None:
    async with graph().start(on) as live:
        sent = Weights.of({"w": np.arange(elements, dtype=np.float32)})
        back = await live["adder0"].ask(Scale(sent, 2.0), timeout=20)
        assert np.array_equal(back["w"], sent["w"] * 2)


@pytest.mark.parametrize("on", [Inline(), Processes(1)], ids=str)
async def test_a_restart_within_a_node_keeps_the_reference(on: Deployment) -> None:
    async with graph().start(on) as live:
        restarted = asyncio.Event()
        live.system.events.subscribe(ActorRestarted, lambda _: restarted.set())
        await live["adder0"].ask(Add(5), timeout=10)
        with pytest.raises(ActorFailed, match="as told"):
            await live["adder0"].ask(Fail(), timeout=10)
        async with asyncio.timeout(10):
            await restarted.wait()
        assert await live["adder0"].ask(Add(1), timeout=10) == 1


@pytest.mark.parametrize("how", ["SIGKILL", "exit"])
async def test_a_process_that_dies_is_started_again_and_references_stay_valid(how: str) -> None:
    async with graph().start(Processes(2)) as live:
        assert live.processes is not None
        deaths: list[NodeDied] = []
        starts: list[NodeStarted] = []
        live.system.events.subscribe(NodeDied, deaths.append)
        live.system.events.subscribe(NodeStarted, starts.append)
        first = await live["adder0"].ask(Pid(), timeout=10)
        if how == "SIGKILL":
            live.processes.kill("p0")
            reason = "killed by signal 9 (SIGKILL)"
        else:
            live["adder0"].tell(Exit(3))
            reason = "exit code 3"
        async with asyncio.timeout(30):
            while True:
                try:
                    second = await live["adder0"].ask(Pid(), timeout=10)
                except AskError:
                    await asyncio.sleep(0)
                    continue
                if second != first:
                    break
            # Its sibling in the same process is back, too; the others never left.
            while True:
                try:
                    assert await live["adder2"].ask(Pid(), timeout=10) == second
                    break
                except AskError:
                    await asyncio.sleep(0)
        assert await live["adder0"].ask(PidOfPeer(), timeout=10) != second
        assert [(d.node, d.reason) for d in deaths] == [("p0", reason)]
        assert [(s.node, s.starts) for s in starts] == [("p0", 2)]


async def test_a_graph_whose_supervisor_gives_up_says_so() -> None:
    async with graph(intensity=0).start(Inline()) as live:
        never: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        live["adder1"].tell(Fail())
        with pytest.raises(GaveUp, match=r"adder1 failed and may not be restarted \(intensity=0\)"):
            await live.until(never)


async def test_cycles_of_spawn_and_kill_leak_nothing() -> None:
    """The autouse check counts threads, children and descriptors."""
    for _ in range(10):
        g = ActorGraph("cycle")
        with g.supervisor("root"):
            g.actor("adder", Adder, start=0, place=Process())
        async with g.start(Processes(1)) as live:
            assert live.processes is not None
            await live["adder"].ask(Add(1), timeout=10)
            live.processes.kill("p0")


# -- refused before anything starts ----------------------------------------------------------------


def test_a_name_that_is_taken_is_refused() -> None:
    g = graph()
    with g.supervisor("other"), pytest.raises(GraphError, match="'store' already"):
        g.actor("store", Adder, start=1)


def test_an_actor_without_a_supervisor_is_refused() -> None:
    with pytest.raises(GraphError, match="has no supervisor"):
        ActorGraph("g").actor("a", Adder, start=1)


def test_arguments_that_do_not_fit_the_constructor_are_refused() -> None:
    g = ActorGraph("g")
    with g.supervisor("root"):
        g.actor("a", Adder, begin=1)
    with pytest.raises(GraphError, match=r"'a' cannot be made: Adder takes no argument 'begin'"):
        g.validate(Inline())


def test_a_link_to_another_graphs_actor_is_refused() -> None:
    other, g = ActorGraph("other"), ActorGraph("g")
    with other.supervisor("root"):
        foreign = other.actor("far", Adder, start=1)
    with g.supervisor("root"):
        g.actor("a", Adder, start=1, peer=foreign)
    with pytest.raises(GraphError, match="linked to 'far'"):
        g.validate(Inline())


def test_a_class_that_cannot_cross_is_refused_where_it_has_to() -> None:
    class Local(Actor):
        pass

    g = ActorGraph("g")
    with g.supervisor("root"):
        g.actor("a", Local, place=Process())
    g.validate(Inline())
    with pytest.raises(CodeTravelError):
        g.validate(Processes(1))


def test_an_environment_for_nobody_is_refused() -> None:
    with pytest.raises(GraphError, match="env= names 'p9'"):
        graph().validate(Processes(2, env={"p9": {}}))


def test_an_empty_graph_and_no_processes_are_refused() -> None:
    with pytest.raises(GraphError, match="has no actors"):
        ActorGraph("g").validate(Inline())
    with pytest.raises(UsageError, match="no number of processes"):
        Processes(0)


def environment(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


async def test_the_environment_of_an_actor_reaches_its_process() -> None:
    g = graph()
    on = Processes(2, env={"adder1": {"MARK": "here"}})
    async with g.start(on) as live:
        pid = await live["adder1"].ask(Pid(), timeout=10)
        assert b"MARK=here" in environment(pid)
        pid = await live["adder0"].ask(Pid(), timeout=10)
        assert b"MARK=here" not in environment(pid)


class _KillsAtBirth(PopenSpawner):
    """A real spawner; the first processes of a name are ended before they can do anything."""

    def __init__(self, name: str, times: int) -> None:
        super().__init__()
        self.name = name
        self.left = times

    async def spawn(self, spec: ProcessSpec) -> PopenChild:
        child = await super().spawn(spec)
        if spec.name == self.name and self.left:
            self.left -= 1
            child.kill()
        return child


@pytest.mark.parametrize("name", ["store", "p0"])
async def test_a_process_killed_before_it_is_up_is_started_again(name: str) -> None:
    spawner = _KillsAtBirth(name, times=2)
    starts: list[NodeStarted] = []

    def listen(system: ActorSystem) -> None:
        system.events.subscribe(NodeStarted, starts.append)

    on = Processes(2)
    async with graph(intensity=5).start(on, world=World(spawner=spawner), before=listen) as live:
        async with asyncio.timeout(30):
            while True:
                try:
                    assert await live["adder0"].ask(PidOfPeer(), timeout=10)
                    break
                except (AskError, ActorFailed):
                    await asyncio.sleep(0)
    assert spawner.left == 0
    assert [s.starts for s in starts if s.node == name] == [3]


async def test_a_process_that_cannot_start_ends_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(NodeStartFailed, match="ended before it was up: exit code"):
        async with graph().start(Processes(1, env={"p0": {"PYTHONHOME": str(tmp_path)}})):
            pass
