"""Connected nodes for tests: real or simulated alike, and what happens to simulated ones."""

from __future__ import annotations

import asyncio

import pytest

import actors
from actors import (
    Actor,
    ActorRef,
    ActorSystem,
    AskError,
    AskTimeout,
    CrashPoint,
    Deployment,
    Drop,
    FaultPlan,
    Inline,
    Kill,
    Message,
    NoSuchActor,
    Processes,
    Simulated,
    Unreachable,
    UsageError,
)
from actors.testing import TestProbe, dead_letters, systems
from transports import LinkClosed
from transports.sim import Net

pytest_plugins = ["actors.testing.pytest_plugin"]

simulated = pytest.mark.parametrize("deployment", [Simulated()])


class Count(Message[int]):
    pass


class Tick(Message[None]):
    pass


class Save(Message[None]):
    text: str


class Load(Message[str]):
    pass


class Counter(Actor):
    """Counts by itself, too, once it has had a tick."""

    def __init__(self) -> None:
        self.count = 0

    def counted(self, message: Count) -> int:
        self.count += 1
        return self.count

    def tick(self, message: Tick) -> None:
        self.count += 100
        self.timers.start("tick", Tick(), after=0.1)


class Keeper(Actor):
    async def save(self, message: Save) -> None:
        await self.storage.write("kept", [message.text.encode()])

    async def load(self, message: Load) -> str:
        return (await self.storage.read("kept") or b"").decode()

    async def tick(self, message: Tick) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await self.storage.write("kept", [b"at the end"])


class Relay(Actor):
    def __init__(self, to: ActorRef) -> None:
        self.to = to

    async def counted(self, message: Count) -> int:
        return await self.to.ask(Count(), timeout=5)


async def test_each_node_reaches_each_other_by_tell_ask_and_watch(deployment: Deployment) -> None:
    async with systems("b", "c", "a", on=deployment) as nodes:
        assert [system.name for system in nodes] == ["b", "c", "a"]
        counters = [await system.spawn("counter", Counter) for system in nodes]
        for system in nodes:
            for counter in counters:
                seen_from = system.ref(counter.parts)
                assert await seen_from.ask(Count(), timeout=5) > 0
        a, b, _ = (nodes[name] for name in "abc")
        probe = await TestProbe.on(a)
        probe.watch(a.ref(counters[0].parts))
        await a.ref(counters[0].parts).ask(Count(), timeout=5)  # which is behind it
        await b.stop(counters[0])
        assert (await probe.expect_terminated(counters[0])).reason == "stopped"


async def test_a_reference_of_one_node_is_good_on_another(deployment: Deployment) -> None:
    async with systems("a", "b", on=deployment) as (a, b):
        counter = await b.spawn("counter", Counter)
        relay = await a.spawn("relay", Relay, to=a.ref(counter.parts))
        assert await relay.ask(Count(), timeout=5) == 1
        assert await b.ref(relay.parts).ask(Count(), timeout=5) == 2


async def test_an_actor_of_a_stopped_node_is_no_such_actor(deployment: Deployment) -> None:
    async with systems("a", "b", on=deployment) as (a, b):
        counter = await b.spawn("counter", Counter)
        await b.stop(counter)
        with dead_letters(b) as letters:
            with pytest.raises(NoSuchActor):
                await a.ref(counter.parts).ask(Count(), timeout=5)
            await letters.expect(Count, reason="no such actor", to=counter)


async def test_by_default_the_nodes_are_what_the_loop_is(deployment: Deployment) -> None:
    async with systems("a") as nodes:
        kind = "simulated" if isinstance(deployment, Simulated) else "real"
        assert repr(nodes) == f"<Nodes {kind}: a live>"
        assert len(nodes) == 1


async def test_what_cannot_be_is_refused_with_a_sentence(deployment: Deployment) -> None:
    async def refused(sentence: str, *names: str, on: Deployment) -> None:
        with pytest.raises(UsageError, match=sentence):
            async with systems(*names, on=on):
                pass

    await refused("a name of its own", on=deployment)
    await refused("'a', 'a'", "a", "a", on=deployment)
    await refused("is not a name", "a/b", on=deployment)
    await refused("would live in other processes", "a", on=Processes(2))
    async with systems("a", on=deployment) as nodes:
        with pytest.raises(UsageError, match="no node named 'b'; there is a"):
            nodes["b"]
        with pytest.raises(UsageError, match="node a lives"):
            await nodes.start("a")
    if isinstance(deployment, Inline):
        await refused("loop whose time is virtual", "a", on=Simulated())
        async with systems("a", "b", on=deployment) as nodes:
            with pytest.raises(UsageError, match="real nodes cannot be disturbed"):
                nodes.cut("a", "b")
    else:
        for plan in (
            FaultPlan(Kill("a", 1.0)),
            FaultPlan(CrashPoint("x", "sigkill")),
        ):
            await refused("happens to processes of a graph", "a", on=Simulated(faults=plan))


@simulated
async def test_a_cut_holds_up_messages_until_it_is_healed(deployment: Deployment) -> None:
    async with systems("a", "b", on=deployment) as nodes:
        a, b = nodes
        counter = a.ref((await b.spawn("counter", Counter)).parts)
        assert await counter.ask(Count(), timeout=5) == 1
        nodes.cut("a", "b")
        with pytest.raises(AskTimeout):
            await counter.ask(Count(), timeout=5)
        nodes.heal()
        await asyncio.sleep(30)
        assert await counter.ask(Count(), timeout=5) >= 2


@simulated
async def test_a_frozen_node_does_nothing_not_even_by_its_timers_until_it_thaws(
    deployment: Deployment,
) -> None:
    async with systems("a", "b", on=deployment) as nodes:
        a, b = nodes
        counter = await b.spawn("counter", Counter)
        cell = b.cell(counter)
        assert cell is not None
        assert isinstance(cell.actor, Counter)
        counter.tell(Tick())
        await asyncio.sleep(1)
        nodes.freeze("b")
        assert repr(nodes) == "<Nodes simulated: a live, b frozen>"
        before = cell.actor.count
        assert before >= 1000
        ask = asyncio.ensure_future(a.ref(counter.parts).ask(Count(), timeout=60))
        await asyncio.sleep(10)
        assert cell.actor.count == before
        assert not ask.done()
        nodes.thaw("b")
        assert await ask > before
        nodes.freeze("b")  # and is thawed for the end


@simulated
async def test_a_crash_is_heard_of_and_leaves_the_disk_as_it_was(deployment: Deployment) -> None:
    async with systems("a", "b", "c", on=deployment) as nodes:
        a, b, c = nodes
        keeper = await b.spawn("keeper", Keeper)
        probes = [await TestProbe.on(system) for system in (a, c)]
        for probe, system in zip(probes, (a, c), strict=True):
            probe.watch(system.ref(keeper.parts))
        keeper.tell(Save("before"))
        await keeper.ask(Load(), timeout=5)
        old = a.ref(keeper.parts)
        keeper.tell(Tick())
        await asyncio.sleep(1)
        await nodes.crash("b")
        for probe in probes:
            assert (await probe.expect_terminated(keeper)).cause == "killed"
        for method in (nodes.freeze, nodes.thaw):
            with pytest.raises(UsageError, match="node b has crashed"):
                method("b")
        with pytest.raises(UsageError, match=r"start it anew by `await nodes\.start"):
            await nodes.crash("b")
        with pytest.raises((AskError, LinkClosed)), dead_letters(a):
            await old.ask(Load(), timeout=5)

        again = await nodes.start("b")
        assert again is nodes["b"]
        assert again.node != b.node
        keeper = await again.spawn("keeper", Keeper)
        assert await c.ref(keeper.parts).ask(Load(), timeout=5) == "before"
        with pytest.raises((NoSuchActor, Unreachable)), dead_letters(again):
            await old.ask(Load(), timeout=5)


@simulated
async def test_a_node_that_cannot_connect_is_refused(deployment: Deployment) -> None:
    async with systems("a", "b", on=deployment) as nodes:
        await nodes.crash("b")
        nodes.cut("a", "b")
        with pytest.raises(UsageError, match="b and a did not connect within 30 s; heal"):
            await nodes.start("b")
        nodes.heal()


def test_two_runs_of_one_seed_are_one_and_ways_take_their_time() -> None:
    on = Simulated(seed=5, net=Net(delay=0.2))

    async def main() -> tuple[str, float]:
        async with systems("a", "b", on=on) as nodes:
            a, b = nodes
            counter = a.ref((await b.spawn("counter", Counter)).parts)
            began = asyncio.get_running_loop().time()
            await counter.ask(Count(), timeout=5)
            return nodes.simulation.statistics().digest, asyncio.get_running_loop().time() - began

    first, second = (actors.run(main(), on=on) for _ in range(2))
    assert first == second
    assert first[1] == pytest.approx(0.4, abs=0.05)


def test_lost_messages_of_the_plan_are_lost_between_the_nodes() -> None:
    on = Simulated(faults=FaultPlan(Drop(1.0), until=1000.0))

    async def main() -> None:
        async with systems("a", "b", on=on) as (a, b):
            probe = await TestProbe.on(b)
            a.ref(probe.ref.parts).tell(Tick())
            await probe.expect_no_message(for_=10.0)
            probe.ref.tell(Tick())
            await probe.expect_message(Tick)

    actors.run(main(), on=on)


async def test_the_nodes_close_where_a_test_fails(deployment: Deployment) -> None:
    kept: list[ActorSystem] = []

    async def fail() -> None:
        async with systems("a", "b", on=deployment) as nodes:
            kept.extend(nodes)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert ["closed" in repr(system) for system in kept] == [True, True]
