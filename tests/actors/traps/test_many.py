"""Many actors in a node, and many nodes: each answers, and nothing is left."""

from __future__ import annotations

import asyncio

import pytest

import actors
from actors import (
    Actor,
    ActorFailure,
    ActorGraph,
    ActorRef,
    ActorRestarted,
    Backoff,
    Message,
    NodeDied,
    Process,
    Processes,
    Simulated,
    SupervisorGaveUp,
    one_for_one,
)
from actors.deploy import Deployment
from tests.actors.traps.places import INLINE, SIMULATED, Heard, alone, answered, started

MANY = 10_000


class Number(Message[int]):
    pass


class Numbered(Actor):
    def __init__(self, number: int) -> None:
        self.number = number

    def tell_number(self, message: Number) -> int:
        return self.number


class Family(Message[int]):
    """Have so many children made, asked and stopped; how many of them answered."""

    count: int


class Parent(Actor):
    async def family(self, message: Family) -> int:
        made = [
            await self.spawn(f"c{number}", Numbered, number=number)
            for number in range(message.count)
        ]
        answers = [await child.ask(Number(), timeout=30) for child in made]
        assert answers == list(range(message.count))
        return len(answers)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("on", [SIMULATED, INLINE], ids=str)
def test_ten_thousand_actors_of_a_node_are_made_asked_and_stopped(on: Deployment) -> None:
    async def main() -> None:
        async with alone(on) as system:
            refs = [await system.spawn(f"a{n}", Numbered, number=n) for n in range(MANY)]
            assert len(system.statistics().actors) == MANY
            asks = [ref.ask(Number(), timeout=60) for ref in refs]
            assert await asyncio.gather(*asks) == list(range(MANY))
            await system.stop_all()
            statistics = system.statistics()
            assert (statistics.actors, statistics.asks, statistics.dead_letters) == ((), 0, 0)
            assert not [task for task in asyncio.all_tasks() if "actor /" in task.get_name()]

    actors.run(main(), on=on)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("on", [SIMULATED, INLINE], ids=str)
def test_ten_thousand_children_of_an_actor_end_with_it(on: Deployment) -> None:
    async def main() -> None:
        async with alone(on) as system:
            parent = await system.spawn("parent", Parent)
            assert await parent.ask(Family(MANY), timeout=3600) == MANY
            assert len(system.statistics().actors) == MANY + 1
            assert await system.stop(parent) == "stopped"
            assert system.statistics().actors == ()

    actors.run(main(), on=on)


# A star of nodes


class Pid(Message[int]):
    """Which process of its name this is."""


class Leaf(Actor):
    def __init__(self, hub: ActorRef) -> None:
        self.hub = hub

    async def on_start(self) -> None:
        self.hub.tell(Hello(self.ref))

    def pid(self, message: Pid) -> int:
        return self.system.node.incarnation


class Hello(Message[None]):
    leaf: ActorRef


class Hub(Actor):
    """Knows who said hello, and how often."""

    def __init__(self) -> None:
        self.greeted: dict[str, int] = {}

    def hello(self, message: Hello) -> None:
        self.greeted[message.leaf.name] = self.greeted.get(message.leaf.name, 0) + 1

    def tell_greeted(self, message: Greeted) -> dict[str, int]:
        return self.greeted


class Greeted(Message[dict[str, int]]):
    pass


def star(count: int) -> ActorGraph:
    graph = ActorGraph("star")
    with graph.supervisor("root", one_for_one(3, backoff=Backoff(0.0))):
        hub = graph.actor("hub", Hub)
        with graph.supervisor("leaves", one_for_one(0, outside=1, backoff=Backoff(0.0))):
            for number in range(count):
                graph.actor(f"l{number}", Leaf, hub=hub, place=Process(f"n{number}"))
    return graph


async def roll(on: Deployment, count: int) -> None:
    """Have one node after the other killed, and wait until it is back."""
    died, restarted = Heard(NodeDied), Heard(ActorRestarted)
    gave_up, failures = Heard(SupervisorGaveUp), Heard(ActorFailure)
    async with started(star(count), on, died, restarted, gave_up, failures) as live:
        names = [f"l{number}" for number in range(count)]
        assert live.processes is not None
        first = [await answered(live[n], Pid()) for n in names]
        for number, name in enumerate(names):
            live.processes.kill(f"n{number}")
            await restarted.number(number + 1)
            again = await answered(live[name], Pid())
            assert again != first[number]
        # All of them answer, each but for its own restart the one that it was.
        last = [await live[name].ask(Pid(), timeout=10) for name in names]
        assert not set(first) & set(last)
        assert await live["hub"].ask(Greeted(), timeout=10) == dict.fromkeys(names, 2)
        # None is lost to its supervisor: each is seen to die a second time, and that is too often.
        assert [event.node for event in died.events] == [f"n{n}" for n in range(count)]
        paths = [f"/root/leaves/{name}" for name in names]
        assert [(event.path, event.restarts) for event in restarted.events] == [
            (path, 1) for path in paths
        ]
        assert [event.path for event in failures.events] == paths
        assert not gave_up.events
        live.processes.kill(f"n{count // 2}")
        (end,) = await gave_up.number(1)
        assert (end.child, end.restarts) == (f"/root/leaves/l{count // 2}", 1)
        await live.failed()


@pytest.mark.parametrize(
    ("on", "count"),
    [
        pytest.param(Simulated(1), 20, id="20 simulated nodes"),
        # Each restart is told to all others: 40,000 signals are minutes.
        pytest.param(Simulated(1), 200, id="200 simulated nodes", marks=pytest.mark.slow),
        pytest.param(Processes(1), 4, id="4 processes"),
        pytest.param(Processes(1), 12, id="12 processes", marks=pytest.mark.slow),
    ],
)
@pytest.mark.timeout(900)
def test_a_star_whose_nodes_are_restarted_one_by_one_loses_none(on: Deployment, count: int) -> None:
    actors.run(roll(on, count), on=on)
