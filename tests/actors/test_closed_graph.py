"""A closed graph: processes know those alone that hold an actor which one of theirs is linked with."""

from __future__ import annotations

import asyncio

import pytest

import actors
from actors import (
    Actor,
    ActorGraph,
    ActorRef,
    AskTimeout,
    Message,
    Process,
    Processes,
    Simulated,
    Unreachable,
)


class Hello(Message[str]):
    """Says who is there."""


class Meet(Message[str]):
    """Asks another, of whom it is told here, who is there."""

    other: ActorRef


class Hub(Actor):
    def hello(self, message: Hello) -> str:
        return "hub"


class Spoke(Actor):
    def __init__(self, hub: ActorRef) -> None:
        self._hub = hub

    def hello(self, message: Hello) -> str:
        return self.ref.path.rpartition("/")[2]

    async def meet(self, message: Meet) -> str:
        linked = await self._hub.ask(Hello(), timeout=10)
        try:
            return f"{linked}, {await message.other.ask(Hello(), timeout=10)}"
        except Unreachable:
            return f"{linked}, nobody"


def star(*, closed: bool) -> ActorGraph:
    graph = ActorGraph("star", closed=closed)
    with graph.supervisor("root", place=Process()):
        hub = graph.actor("hub", Hub)
        graph.actors("spoke{}", 2, Spoke, hub=hub)
    return graph


async def met(on: Simulated | Processes, *, closed: bool) -> str:
    async with star(closed=closed).start(on=on) as live:
        assert await live["spoke1"].ask(Hello(), timeout=10) == "spoke1"  # the launcher knows all
        answer: str = await live["spoke0"].ask(Meet(live["spoke1"]), timeout=30)
        return answer


@pytest.mark.parametrize("on", [Simulated(3), Processes(3)], ids=str)
@pytest.mark.parametrize(("closed", "answer"), [(True, "hub, nobody"), (False, "hub, spoke1")])
def test_who_is_not_linked_is_out_of_reach_in_a_closed_graph_alone(
    on: Simulated | Processes, closed: bool, answer: str
) -> None:
    assert actors.run(met(on, closed=closed), on=on) == answer


def test_a_linked_process_that_was_replaced_is_found_again() -> None:
    on = Simulated(3)

    async def main() -> str:
        async with star(closed=True).start(on=on) as live:
            assert live.processes is not None
            live.processes.kill("p0")  # of the hub
            while True:
                try:
                    answer: str = await live["spoke0"].ask(Meet(live["hub"]), timeout=2)
                except (AskTimeout, actors.ActorFailed):
                    await asyncio.sleep(0.5)
                else:
                    return answer

    assert actors.run(main(), on=on) == "hub, hub"


def test_traffic_of_a_closed_graph_grows_with_its_links_and_not_with_their_square() -> None:
    def nbytes(spokes: int, *, closed: bool) -> int:
        graph = ActorGraph("star", closed=closed)
        with graph.supervisor("root", place=Process()):
            hub = graph.actor("hub", Hub)
            graph.actors("spoke{}", spokes, Spoke, hub=hub)
        on = Simulated(spokes + 1)

        async def main() -> int:
            from actors.sim import Simulation

            with Simulation(on).running() as simulation:
                async with graph.start(on, world=simulation.world("star")):
                    return simulation.network.statistics().nbytes

        return actors.run(main(), on=on)

    few, many = (nbytes(count, closed=True) / count for count in (4, 16))
    assert many < 1.5 * few
    assert nbytes(16, closed=False) / 16 > 1.5 * few
