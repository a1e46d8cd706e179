"""Silence is measured, told, and more suspicious the longer it lasts."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

import actors
from actors import (
    ActorGraph,
    CrashPoint,
    Event,
    FaultPlan,
    NodeAnswers,
    NodeDied,
    NodeStuck,
    Process,
    Simulated,
)
from actors.crashpoints import crash_point
from actors.liveness import Liveness
from actors.managed import STARTING_LIMIT
from actors.sim import Simulation
from tests.actors.test_simulation import Count, Counter
from transports.sim import SimNode


def answering(intervals: list[float]) -> tuple[Liveness, float]:
    now = 100.0
    liveness = Liveness(now)
    for interval in intervals:
        now += interval
        liveness.heard(now)
    return liveness, now


@given(st.lists(st.floats(0.0, 10.0), max_size=200), st.floats(0.0, 100.0), st.floats(0.0, 100.0))
def test_suspicion_never_shrinks_while_nothing_comes(
    intervals: list[float], sooner: float, later: float
) -> None:
    liveness, now = answering(intervals)
    sooner, later = sorted((sooner, later))
    assert 0.0 <= liveness.phi(now + sooner) <= liveness.phi(now + later) <= 300.0


def test_an_answer_ends_the_silence() -> None:
    liveness, now = answering([1.0] * 10)
    assert liveness.silent(now + 3.0) == 3.0
    assert liveness.phi(now + 3.0) > 3.0
    liveness.heard(now + 3.0)
    assert liveness.silent(now + 3.0) == 0.0
    assert liveness.phi(now + 3.0) < 1.0


def test_a_node_that_answers_irregularly_is_suspected_later() -> None:
    regular, now = answering([1.0] * 50)
    irregular, then = answering([0.5, 1.5] * 25)
    assert irregular.phi(then + 2.0) < regular.phi(now + 2.0)


def test_what_is_excused_never_lies_in_the_future() -> None:
    """After a pause of the launcher an answer that had waited may be read before anything else."""
    liveness, now = answering([1.0] * 3)
    liveness.heard(now + 60.0)
    liveness.excuse(59.0, now + 60.0)
    assert liveness.silent(now + 63.0) == 3.0


async def frozen(on: Simulated, stuck_after: float | None) -> list[Event]:
    """What is heard of a process that freezes in its second message, thawed after 8 s."""
    graph = ActorGraph("frozen")
    with graph.supervisor("root", place=Process()):
        graph.actor("counter", Counter, first=0)
    events: list[Event] = []
    with Simulation(on).running() as simulation:
        async with graph.start(
            on,
            world=simulation.world("frozen"),
            stuck_after=stuck_after,
            before=lambda system: system.events.subscribe(Event, events.append),
        ) as live:
            assert await live["counter"].ask(Count(), timeout=1.0) == 1
            with pytest.raises(actors.AskError):
                await live["counter"].ask(Count(), timeout=8.0)
            if stuck_after is None:
                simulation.network.thaw("p0")
            await asyncio.sleep(2.0)
            first = 3 if stuck_after is None else 1
            assert await live["counter"].ask(Count(), timeout=1.0) == first
    return events


POINT = CrashPoint(point="counted", action="sigstop", at=2, node="p0")
ON = Simulated(1, faults=FaultPlan(POINT))


def test_a_frozen_process_is_told_of_and_goes_on_when_it_thaws() -> None:
    events = actors.run(frozen(ON, None), on=ON)
    (stuck,) = [event for event in events if isinstance(event, NodeStuck)]
    assert (stuck.node, stuck.phi > 3.0) == ("p0", True)
    assert 5.0 < stuck.seconds < 7.5
    assert [event.node for event in events if isinstance(event, NodeAnswers)] == ["p0"]
    assert not [event for event in events if isinstance(event, NodeDied)]


def test_a_frozen_process_is_killed_and_replaced_where_a_limit_is_set() -> None:
    events = actors.run(frozen(ON, 3.0), on=ON)
    assert [event.node for event in events if isinstance(event, NodeDied)] == ["p0"]
    assert not [event for event in events if isinstance(event, NodeStuck)]


class Heavy(Counter):
    """Its start keeps its process from answering."""

    async def on_start(self) -> None:
        crash_point("starting")
        await asyncio.sleep(0.01)


async def heavy(on: Simulated, seconds: float | None) -> tuple[list[Event], float]:
    """What is heard of a process whose actor takes so long to start, and when it answers."""
    graph = ActorGraph("heavy")
    with graph.supervisor("root", place=Process()):
        graph.actor("heavy", Heavy, first=0)
    events: list[Event] = []
    loop = asyncio.get_running_loop()
    with Simulation(on).running() as simulation:
        if seconds is not None:
            loop.call_later(seconds, simulation.network.thaw, "p0")
        async with graph.start(
            on,
            world=simulation.world("heavy"),
            stuck_after=3.0,
            before=lambda system: system.events.subscribe(Event, events.append),
        ) as live:
            while True:
                try:
                    await live["heavy"].ask(Count(), timeout=1.0)
                    break
                except actors.AskError:
                    await asyncio.sleep(0.1)
            answered = loop.time()
            await asyncio.sleep(10.0)
    return events, answered


def test_a_process_that_is_busy_with_an_actors_start_is_not_stuck() -> None:
    on = Simulated(1, faults=FaultPlan(CrashPoint("starting", "sigstop")))
    events, answered = actors.run(heavy(on, 40.0), on=on)
    assert 40.0 < answered < 43.0
    assert not [event for event in events if isinstance(event, NodeDied | NodeStuck)]


def test_one_that_never_comes_back_from_an_actors_start_is_killed_in_the_end() -> None:
    on = Simulated(1, faults=FaultPlan(CrashPoint("starting", "sigstop")))
    events, answered = actors.run(heavy(on, None), on=on)
    assert [event.node for event in events if isinstance(event, NodeDied)] == ["p0"]
    assert STARTING_LIMIT < answered < STARTING_LIMIT + 8.0


def test_nobody_is_blamed_for_a_time_in_which_the_launcher_itself_was_away() -> None:
    on = Simulated(1)

    async def main() -> list[Event]:
        graph = ActorGraph("away")
        with graph.supervisor("root", place=Process()):
            graph.actor("counter", Counter, first=0)
        events: list[Event] = []
        with Simulation(on).running() as simulation:
            world = simulation.world("away")
            async with AsyncExitStack() as stack:
                assert isinstance(world.context, SimNode)
                # Not this test, but all that the launcher does for itself, freezes with its node.
                with world.context.inside():
                    live = await stack.enter_async_context(
                        graph.start(
                            on,
                            world=world,
                            stuck_after=3.0,
                            before=lambda system: system.events.subscribe(Event, events.append),
                        )
                    )
                await asyncio.sleep(2.0)
                simulation.network.freeze("away")
                await asyncio.sleep(9.0)
                simulation.network.thaw("away")
                await asyncio.sleep(5.0)
                assert await live["counter"].ask(Count(), timeout=1.0) == 1
        return events

    events = actors.run(main(), on=on)
    assert not [event for event in events if isinstance(event, NodeStuck | NodeDied)]
