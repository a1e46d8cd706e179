"""One plan disturbs simulated and real processes alike; without one nothing stands in the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

import actors
from actors import (
    Delay,
    Event,
    FaultPlan,
    Freeze,
    Full,
    Kill,
    NodeDied,
    NodeStarted,
    Processes,
    Simulated,
    Skew,
    Slow,
)
from actors.faults.timeline import Timeline
from actors.live import Live
from tests.actors.subjects import (
    Compute,
    Counts,
    Hello,
    Look,
    Now,
    Save,
    carried_out,
    pair,
    surroundings,
    until_answered,
)

Deploy = Callable[[int, FaultPlan], Processes | Simulated]


def simulated(n: int, plan: FaultPlan) -> Simulated:
    return Simulated(n, faults=plan)


def real(n: int, plan: FaultPlan) -> Processes:
    return Processes(n, faults=plan)


both = pytest.mark.parametrize("deploy", [simulated, real])


def start(
    on: Processes | Simulated, tmp_path: Path, events: list[Event] | None = None
) -> AbstractAsyncContextManager[Live]:
    return pair(apart=on.n > 1).start(
        on,
        storage=tmp_path,
        before=lambda system: system.events.subscribe(
            Event, events.append if events is not None else lambda _: None
        ),
    )


@both
def test_a_plan_without_faults_installs_nothing(
    deploy: Deploy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[object] = []
    monkeypatch.setattr(Timeline, "__init__", lambda self, *_: made.append(self))
    on = deploy(1, FaultPlan())

    async def main() -> tuple[dict[str, str], dict[str, str]]:
        async with start(on, tmp_path) as live:
            return surroundings(live.system.world), await live["a"].ask(Look(), timeout=30.0)

    launcher, process = carried_out(main, on)
    storage, clock = (
        ("SimStorage", "SimClock") if deploy is simulated else ("FileStorage", "LoopClock")
    )
    nothing = {"faults": "NoneType", "noise": "NoneType"}
    assert process == {**nothing, "storage": storage, "clock": clock}
    assert {name: launcher[name] for name in nothing} == nothing
    assert (launcher["clock"], made) == (clock, [])


@both
def test_a_killed_process_stays_down_for_as_long_as_the_plan_says(
    deploy: Deploy, tmp_path: Path
) -> None:
    on, events = deploy(1, FaultPlan()), list[Event]()
    seen: list[float] = []

    async def main() -> None:
        async with start(on, tmp_path, events) as live:
            clock = live.system.world.clock
            for kind in (NodeDied, NodeStarted):
                live.system.events.subscribe(kind, lambda _: seen.append(clock.now()))
            assert live.processes is not None
            assert live.processes.kill("p0", down=1.5)
            assert await until_answered(live["a"], Hello()) == "hello"

    carried_out(main, on)
    died, started = seen
    assert started - died >= 1.4


@both
def test_a_graph_ends_at_once_while_a_process_is_held_down(deploy: Deploy, tmp_path: Path) -> None:
    on = deploy(1, FaultPlan())

    async def main() -> tuple[float, list[str]]:
        gone = asyncio.Event()
        async with start(on, tmp_path) as live:
            clock = live.system.world.clock
            live.system.events.subscribe(NodeDied, lambda _: gone.set())
            assert live.processes is not None
            live.processes.kill("p0", down=1000.0)
            await gone.wait()
            await clock.sleep(0.2)
            began = clock.now()
        await asyncio.sleep(0)
        left = [task.get_name() for task in asyncio.all_tasks()]
        return clock.now() - began, [name for name in left if name.startswith("start ")]

    took, left = carried_out(main, on)
    assert took < 20.0
    assert left == []


def test_a_simulated_process_is_killed_when_the_plan_says_and_stays_down(tmp_path: Path) -> None:
    on, seen = Simulated(1, faults=FaultPlan(Kill("p0", at=5.0, down=7.0))), list[float]()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with start(on, tmp_path) as live:
            live.system.events.subscribe(NodeDied, lambda _: seen.append(loop.time()))
            live.system.events.subscribe(NodeStarted, lambda _: seen.append(loop.time()))
            await asyncio.sleep(20.0)
            assert live.system.world.fault_counts == {"kill": 1}

    carried_out(main, on)
    died, started = seen
    assert died == pytest.approx(5.0, abs=0.1)
    assert started == pytest.approx(5.0 + 7.0 + on.start, abs=0.1)


def test_what_a_killed_process_had_said_is_no_news_of_its_successor(tmp_path: Path) -> None:
    # That p0 is up arrives when it is dead; p1 comes up again then, and p0 would be told so.
    said = Delay(0.4, source="p0", after=2.4, before=2.65)
    kills = Kill("p0", 2.0), Kill("p1", 2.5), Kill("p0", 2.7, down=1.5)
    on = Simulated(2, faults=FaultPlan(said, *kills, until=5.0))

    async def main() -> None:
        async with start(on, tmp_path) as live:
            await asyncio.sleep(5.0)
            for name in ("a", "b"):
                await until_answered(live[name], Hello())
            assert live.system.world.fault_counts["kill"] == 3
            assert live.system.world.fault_counts["delay"] > 0

    carried_out(main, on)


@both
def test_a_frozen_process_answers_nothing_until_it_goes_on(deploy: Deploy, tmp_path: Path) -> None:
    on = deploy(1, FaultPlan())

    async def main() -> None:
        async with start(on, tmp_path) as live:
            clock = live.system.world.clock
            assert live.processes is not None
            assert live.processes.freeze("p0")
            clock.call_later(0.8, live.processes.thaw, "p0")
            began = clock.now()
            assert await live["a"].ask(Hello(), timeout=30.0) == "hello"
            assert clock.now() - began >= 0.7

    carried_out(main, on)


@both
def test_a_freeze_of_the_plan_takes_effect_and_the_same_process_goes_on(
    deploy: Deploy, tmp_path: Path
) -> None:
    # A process is there to be frozen as soon as it is started.
    plan = FaultPlan(Freeze("p0", at=1.0, seconds=1.0))
    on, events = deploy(1, plan), list[Event]()

    async def main() -> int:
        async with start(on, tmp_path, events) as live:
            counts = live.system.world.fault_counts
            async with asyncio.timeout(30.0):
                while not counts["freeze"]:
                    await asyncio.sleep(0.05)
            assert await until_answered(live["a"], Hello()) == "hello"
            return counts["freeze"]

    assert carried_out(main, on) == 1
    assert not [event for event in events if isinstance(event, NodeDied)]


@both
def test_a_slow_node_computes_so_many_times_slower(deploy: Deploy, tmp_path: Path) -> None:
    on = deploy(1, FaultPlan(Slow("p*", 3.0)))

    async def main() -> tuple[float, int]:
        async with start(on, tmp_path) as live:
            took = await live["a"].ask(Compute(), timeout=30.0)
            return took, live.system.world.fault_counts["slow"]

    took, counted = carried_out(main, on)
    if deploy is simulated:
        assert took == pytest.approx(0.3, abs=1e-6)
    assert took >= 0.2
    assert counted == 1


@both
def test_the_clocks_of_skewed_nodes_differ_from_that_of_the_launcher(
    deploy: Deploy, tmp_path: Path
) -> None:
    on = deploy(2, FaultPlan(Skew("p0", 1000.0), Skew("*", -300.0)))

    async def main() -> list[float]:
        async with start(on, tmp_path) as live:
            now = live.system.world.clock.now
            return [await live[name].ask(Now(), timeout=30.0) - now() for name in "ab"]

    assert carried_out(main, on) == pytest.approx([700.0, -300.0], abs=5.0)


@both
def test_what_took_effect_is_told_of_all_nodes_and_of_those_that_have_died(
    deploy: Deploy, tmp_path: Path
) -> None:
    on = deploy(2, FaultPlan(Skew("p0", 10.0), Full(node="p1")))

    async def main() -> list[dict[str, int]]:
        async with start(on, tmp_path) as live:
            told = [await live.faults()]
            for _ in range(2):
                await live["b"].ask(Save("x"), timeout=30.0)
            told.append(await live.faults())
            assert live.processes is not None
            assert live.processes.kill("p0")
            assert await until_answered(live["a"], Hello()) == "hello"
            told.append(await live.faults())
            return told

    assert carried_out(main, on) == [
        {"skew": 1}, {"skew": 1, "full": 2}, {"skew": 2, "full": 2},
    ]  # fmt: skip


@both
def test_a_full_disk_refuses_the_writes_of_the_nodes_that_are_named(
    deploy: Deploy, tmp_path: Path
) -> None:
    on = deploy(2, FaultPlan(Full(node="p0")))

    async def main() -> list[Any]:
        async with start(on, tmp_path) as live:
            told = [await live[name].ask(Save("x"), timeout=30.0) for name in "ab"]
            return [*told, await live["a"].ask(Counts(), timeout=30.0)]

    refused, saved, counts = carried_out(main, on)
    assert refused == "cannot write x: no space left on device"
    assert saved == "saved"
    assert counts["full"] == 1


def test_a_simulated_crowd_comes_and_goes_and_is_there_at_the_end(tmp_path: Path) -> None:
    plan = FaultPlan(actors.Churn(offline=0.4, session=8.0, node="p*"), until=60.0, seed=3)
    on, events = Simulated(2, faults=plan), list[Event]()

    async def main() -> int:
        async with start(on, tmp_path, events) as live:
            await asyncio.sleep(70.0)
            assert [await live[name].ask(Hello(), timeout=1.0) for name in "ab"] == ["hello"] * 2
            return live.system.world.fault_counts["churn"]

    counted = carried_out(main, on)
    assert counted == len([event for event in events if isinstance(event, NodeDied)]) > 3
