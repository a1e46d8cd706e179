"""Nodes that cannot reach each other, in the simulation and on real processes, and reach again."""

from __future__ import annotations

import asyncio

import pytest

from actors import AskError, FaultPlan, Partition, Processes, Simulated
from actors.faults.kinds import Cut
from actors.sim import Simulation
from tests.actors.subjects import Counts, Hello, HelloToPeer, carried_out, pair, until_answered

TWO = Partition((("p0",), ("p1",)), others="between")


@pytest.mark.parametrize(
    ("partition", "parted", "joined"),
    [
        (Partition((("p0",), ("p1",))), ["p0 p1", "p0 shop", "p1 shop"], []),
        (TWO, ["p0 p1"], ["p0 shop", "p1 shop"]),
        (Partition((("p0",),)), ["p0 p1", "p0 shop"], ["p1 shop", "p1 p2"]),
        (Partition((("p[01]",), ("p[23]",))), ["p0 p2", "p1 p3", "p0 shop"], ["p0 p1", "p2 p3"]),
        (Partition((("p*", "shop"), ("p0",))), [], ["p0 p1", "p0 shop"]),
    ],
    ids=["two and the rest", "two alone", "isolated", "islands", "the first group counts"],
)
def test_a_partition_parts_the_nodes_of_different_groups(
    partition: Partition, parted: list[str], joined: list[str]
) -> None:
    for both in parted:
        one, other = both.split()
        assert partition.parts(one, other)
        assert partition.parts(other, one)
    for both in joined:
        one, other = both.split()
        assert not partition.parts(one, other)
        assert not partition.parts(other, one)


def separated(plan: FaultPlan, *times: float) -> tuple[list[list[str]], Simulation]:
    """Which of four nodes are apart at these times."""
    on, found = Simulated(1, faults=plan), list[list[str]]()
    names = ("a", "b", "c", "d")
    loop = on.loop()

    async def main() -> Simulation:
        simulation = Simulation(on)
        for name in names[:3]:
            simulation.world(name)
        for time in times:
            await asyncio.sleep(time - loop.time())
            if time >= 2.0:  # one that comes later is in its group, too
                simulation.world("d")
            network = simulation.network
            found.append([a + b for a in names for b in names if a < b and network.separated(a, b)])
        return simulation

    try:
        return found, loop.run_until_complete(main())
    finally:
        loop.close()


def test_partitions_come_and_go_in_the_simulated_network() -> None:
    plan = FaultPlan(Partition((("a",),), after=1.0, before=5.0))
    found, simulation = separated(plan, 0.5, 1.5, 4.5)
    assert found == [[], ["ab", "ac"], ["ab", "ac", "ad"]]
    assert simulation.counts == {"partition": 1}
    assert separated(plan, 4.5, 5.5)[0][-1] == []


def test_partitions_that_overlap_part_what_either_parts_and_heal_each_for_itself() -> None:
    plan = FaultPlan(
        Partition((("a",),), after=0.1, before=3.0),
        Partition((("a", "b"),), after=1.0, before=4.0),
        Partition((("a", "b"),), after=1.0, before=6.0),
    )
    found, simulation = separated(plan, 0.5, 1.5, 3.5, 5.0, 6.5)
    assert found == [
        ["ab", "ac"], ["ab", "ac", "bc"], ["ac", "ad", "bc", "bd"], ["ac", "ad", "bc", "bd"], [],
    ]  # fmt: skip
    assert simulation.counts == {"partition": 3}


def test_one_that_takes_nobody_apart_counts_once_it_does() -> None:
    plan = FaultPlan(Partition((("d",),), after=0.1, before=9.0))
    assert +separated(plan, 1.0)[1].counts == {}
    assert separated(plan, 1.0, 3.0)[1].counts == {"partition": 1}


def test_connections_across_a_simulated_partition_end_and_are_made_again() -> None:
    on = Simulated(
        2, faults=FaultPlan(Partition(TWO.groups, others="between", after=5.0, before=10.0))
    )

    async def main() -> tuple[int, int]:
        with Simulation(on).running() as simulation:
            async with pair().start(on, world=simulation.world("pair")) as live:
                assert await live["b"].ask(HelloToPeer(), timeout=1.0) == "hello"
                before = simulation.network.statistics().connections
                await asyncio.sleep(5.5 - asyncio.get_running_loop().time())
                during = simulation.network.statistics().connections
                with pytest.raises(AskError):
                    await live["b"].ask(HelloToPeer(), timeout=3.0)
                assert await live["a"].ask(Hello(), timeout=1.0) == "hello"
                await asyncio.sleep(10.0 - asyncio.get_running_loop().time())
                assert await until_answered(live["b"], HelloToPeer()) == "hello"
        return before, during

    before, during = carried_out(main, on)
    assert during < before


HEALS = 3.0


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Partition(TWO.groups, others="between", before=HEALS), "partition"),
        (Cut("p1", "p0", before=HEALS), "cut"),
    ],
    ids=["partition", "cut one way"],
)
def test_real_nodes_lose_what_they_send_across_and_reach_each_other_when_it_heals(
    fault: Partition | Cut, kind: str
) -> None:
    on = Processes(2, faults=FaultPlan(fault))

    async def main() -> tuple[float, bool, int]:
        async with pair().start(on) as live:
            clock = live.system.world.clock
            began = clock.now()
            assert live.processes is not None
            passed = began - live.processes.began
            assert await live["a"].ask(Hello(), timeout=30.0) == "hello"  # the launcher reaches all
            assert await until_answered(live["b"], HelloToPeer()) == "hello"
            counts = await live["a"].ask(Counts(), timeout=30.0)
            return passed, clock.now() - live.processes.began > HEALS, counts.get(kind, 0)

    passed, healed, lost = carried_out(main, on)
    assert healed
    # On a machine that took longer to start than the fault lasts nothing was lost.
    assert lost > 0 or passed > HEALS - 0.5
