"""A budget is one budget: deaths count once, and supervisors in a row do not multiply theirs."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

import actors
from actors import (
    Actor,
    ActorFailure,
    ActorGraph,
    ActorRestarted,
    Backoff,
    Message,
    NodeDied,
    NodeStarted,
    Process,
    Processes,
    Simulated,
    SupervisorGaveUp,
    one_for_one,
)
from actors.deploy import Deployment
from tests.actors.traps.places import (
    INLINE,
    LIMIT,
    PROCESSES,
    SIMULATED,
    Heard,
    answered,
    started,
    virtual,
)
from tests.conftest import children, descriptors


class Alive(Message[int]):
    """How often it was restarted within its process."""


class Fail(Message[None]):
    pass


class Mortal(Actor):
    def alive(self, message: Alive) -> int:
        return self.restarts

    def fail(self, message: Fail) -> None:
        raise ValueError("as told")


# Supervisors in a row


def nested(levels: int, intensity: int) -> ActorGraph:
    graph = ActorGraph("nested")
    strategy = one_for_one(intensity, backoff=Backoff(0.0))

    def below(level: int) -> None:
        with graph.supervisor(f"s{level}", strategy, place=Process("one")):
            if level + 1 < levels:
                below(level + 1)
            else:
                graph.actor("mortal", Mortal)
                graph.actor("other", Mortal)

    below(0)
    return graph


@pytest.mark.parametrize("levels", [2, 4])
@pytest.mark.parametrize("on", [SIMULATED, INLINE, PROCESSES], ids=str)
def test_budgets_of_supervisors_in_a_row_do_not_multiply(levels: int, on: Deployment) -> None:
    async def main() -> None:
        restarted, gave_up = Heard(ActorRestarted), Heard(SupervisorGaveUp)
        failures = Heard(ActorFailure)
        async with started(nested(levels, 3), on, restarted, gave_up, failures) as live:
            await answered(live["mortal"], Alive())
            ended = asyncio.ensure_future(live.failed())
            for number in range(1, 20):
                live["mortal"].tell(Fail())
                again = asyncio.ensure_future(restarted.number(number))
                await asyncio.wait({again, ended}, return_when=asyncio.FIRST_COMPLETED)
                again.cancel()
                if ended.done():
                    break
            reason = await asyncio.wait_for(ended, LIMIT)
        path = "/" + "/".join(f"s{level}" for level in range(levels)) + "/mortal"
        assert [event.path for event in restarted.events] == [path] * 3
        assert [event.path for event in failures.events if event.path == path] == [path] * 4
        # Whoever reads it learns of the one that failed, not of those that passed it on.
        assert [event.child for event in gave_up.events] == [path]
        assert "mortal failed again after 3 restarts" in reason.message
        assert "ValueError: as told" in reason.message

    actors.run(main(), on=on)


# A process that is killed again and again


def subtree(outside: int) -> ActorGraph:
    graph = ActorGraph("subtree")
    strategy = one_for_one(0, outside=outside, backoff=Backoff(0.0))
    with graph.supervisor("root"):
        graph.actor("beside", Mortal, place=Process("other"))
        with graph.supervisor("pool", strategy, place=Process("child")):
            graph.actor("one", Mortal)
            graph.actor("two", Mortal)
    return graph


async def kills(on: Deployment, times: int, within: float, outside: int) -> None:
    """Kill the subtree's process as often as that, when both of its actors answer."""
    died, restarted = Heard(NodeDied), Heard(ActorRestarted)
    begun, gave_up = Heard(NodeStarted), Heard(SupervisorGaveUp)
    loop = asyncio.get_running_loop()
    async with started(subtree(outside), on, died, restarted, begun, gave_up) as live:
        assert live.processes is not None
        both = [live["one"], live["two"]]
        began, counts = loop.time(), []
        for number in range(times):
            for ref in both:
                assert await answered(ref, Alive()) == 0
            if not virtual(on):
                counts.append(await asyncio.to_thread(lambda: (descriptors(), len(children()))))
            live.processes.kill("child")
            await died.number(number + 1)
            if virtual(on):
                await asyncio.sleep(max(0.0, began + (number + 1) * within / times - loop.time()))
        if outside >= times:
            for ref in both:
                assert await answered(ref, Alive()) == 0
            await restarted.number(2 * times)
            assert not gave_up.events
        else:
            await asyncio.wait_for(live.failed(), LIMIT)
            assert {event.restarts for event in gave_up.events} == {outside}
            assert "killed by signal 9" in gave_up.events[0].error
    paths = ["/root/pool/one", "/root/pool/two"]
    for path in paths:
        mine = [event for event in restarted.events if event.path == path]
        assert [event.restarts for event in mine] == list(range(1, min(times, outside) + 1))
        assert all(event.outside for event in mine)
    assert {event.path for event in restarted.events} == set(paths), "nobody else"
    deaths = [event for event in died.events if event.node == "child"]
    assert len(deaths) == times
    assert len({event.incarnation for event in deaths}) == times
    for (fds, childs), (more_fds, more_childs) in pairwise(counts[2:]):
        assert (more_fds, more_childs) <= (fds + 2, childs), counts


@pytest.mark.timeout(120)
@pytest.mark.parametrize("allowed", [True, False], ids=["allowed", "once too often"])
@pytest.mark.parametrize(
    ("on", "times"),
    [
        pytest.param(Simulated(1, start=0.1), 20, id="20 times in 10 virtual seconds"),
        pytest.param(Processes(1), 4, id="4 times"),
        pytest.param(Processes(1), 20, id="20 times", marks=pytest.mark.slow),
    ],
)
def test_each_death_of_a_subtrees_process_is_one_restart_until_the_budget_ends(
    on: Deployment, times: int, allowed: bool
) -> None:
    outside = times if allowed else times - 1
    actors.run(kills(on, times, 10.0, outside), on=on)


@pytest.mark.parametrize("start", [0.1, 0.4, 0.9])
def test_kills_at_any_moment_count_once_each(start: float) -> None:
    on = Simulated(1, start=start)

    async def main() -> None:
        died, gave_up = Heard(NodeDied), Heard(SupervisorGaveUp)
        async with started(subtree(20), on, died, gave_up) as live:
            assert live.processes is not None
            for _ in range(20):
                live.processes.kill("child")
                await asyncio.sleep(0.5)
            for name in ("one", "two"):
                await answered(live[name], Alive())
            assert not gave_up.events
            assert len(died.events) <= 20

    actors.run(main(), on=on)
