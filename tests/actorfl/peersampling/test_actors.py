"""Samplers as actors: on every deployment, and in virtual time with crashes and partitions."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

import actors
from actorfl.peersampling import (
    CyclonProtocol,
    Join,
    Leave,
    Membership,
    NewscastProtocol,
    PeerSampler,
    PickPeers,
    UniformProtocol,
    Waits,
)
from actorfl.peersampling.protocols import SamplingProtocol
from actors import (
    Actor,
    ActorRef,
    ActorSystem,
    Custom,
    FaultPlan,
    Inline,
    Kill,
    Live,
    Message,
    Partition,
    Processes,
    Simulated,
)
from actors.sim import Simulation
from tests.actorfl.peersampling.nodes import Seen, network

LIMIT = 30.0


NEWSCAST, CYCLON, UNIFORM = NewscastProtocol(3), CyclonProtocol(3, 2), UniformProtocol(3)


@pytest.mark.parametrize(
    ("on", "protocol"),
    [
        *((Simulated(3), protocol) for protocol in (NEWSCAST, CYCLON, UNIFORM)),
        (Inline(), UNIFORM),
        # What differs between protocols is pure, and processes are slow to start.
        (Processes(2), NEWSCAST),
    ],
    ids=str,
)
def test_nodes_that_know_the_next_one_meet_others_and_talk_to_them(
    on: Inline | Simulated | Processes, protocol: SamplingProtocol
) -> None:
    graph = network(6, protocol, on, lambda k: [(k + 1) % 6], period=0.05, wants=3)
    missing = {(kind, f"n{k}") for kind in ("known", "greeted") for k in range(6)}

    async def main() -> None:
        done = asyncio.Event()

        def hear(event: Custom) -> None:
            missing.discard((event.kind, event.fields["node"]))
            if not missing:
                done.set()

        async with graph.start(
            on, before=lambda system: system.events.subscribe(Custom, hear)
        ) as live:
            async with asyncio.timeout(LIMIT):
                await live.until(done.wait())

    actors.run(main(), on=on)
    assert not missing


async def views(live: Live, names: list[str]) -> dict[str, tuple[str, ...]]:
    return {name: await live[name].ask(Seen(), timeout=10.0) for name in names}


def at_once(index: int) -> list[int]:
    """So many contacts as a view holds."""
    others = [k for k in range(100) if k != index]
    return random.Random(index).sample(others, 20)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("protocol", "spread", "dead"),
    [
        (NewscastProtocol(20), (6.0, 11.0), {5: (0.0, 0.3), 20: (0.0, 0.0)}),
        (CyclonProtocol(20, 8), (3.0, 5.5), {5: (0.35, 0.52), 20: (0.15, 0.4), 50: (0.0, 0.0)}),
    ],
    ids=str,
)
def test_a_hundred_actors_are_as_well_mixed_as_the_machines_and_forget_the_dead_half(
    protocol: SamplingProtocol, spread: tuple[float, float], dead: dict[int, tuple[float, float]]
) -> None:
    kills = [Kill(f"p{k}", 30.0) for k in range(5)]
    on = Simulated(10, seed=1, faults=FaultPlan(*kills))
    graph = network(100, protocol, on, at_once, restart="temporary")
    names = [f"n{k}" for k in range(100)]

    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def until(time: float) -> None:
            await asyncio.sleep(time - loop.time())

        async with graph.start(on) as live:
            for time in (10, 20, 29):
                await until(time)
                found = await views(live, names)
                for name, view in found.items():
                    assert name not in view
                    assert len(set(view)) == len(view) <= 20
            counts = {name: sum(name in view for view in found.values()) for name in names}
            mean = sum(counts.values()) / 100
            assert mean > 19
            deviation = (sum((count - mean) ** 2 for count in counts.values()) / 100) ** 0.5
            assert spread[0] < deviation < spread[1]
            alive = [name for name in names if int(name[1:]) % 10 >= 5]
            for after, (least, most) in dead.items():
                await until(30 + after + 0.5)
                found = await views(live, alive)
                total = sum(map(len, found.values()))
                gone = sum(one not in alive for view in found.values() for one in view)
                assert least <= gone / total <= most, after

    actors.run(main(), on=on)


def test_a_node_that_nobody_answers_says_so_once_and_says_when_it_is_heard_again() -> None:
    on = Simulated(
        2, faults=FaultPlan(Partition((("p0",), ("p1",)), others="between", before=25.0))
    )
    graph = network(2, NewscastProtocol(3), on, lambda k: [0])
    said: list[tuple[str, str, float]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def hear(event: Custom) -> None:
            said.append((event.kind, event.fields["node"], loop.time()))
            if event.kind == "no_peers" and event.fields["node"] == "n1":
                assert event.fields["contacts"] == "n0"

        async with graph.start(on, before=lambda system: system.events.subscribe(Custom, hear)):
            await asyncio.sleep(60.0)

    actors.run(main(), on=on)
    of_one = [(kind, time) for kind, node, time in said if node == "n1"]
    assert [kind for kind, _ in of_one] == ["no_peers", "peers_found"]
    assert of_one[0][1] < 10.0
    assert 25.0 < of_one[1][1] < 40.0
    assert [kind for kind, node, _ in said if node == "n0"] == ["no_peers", "peers_found"]


def test_islands_find_together_and_a_killed_process_joins_again() -> None:
    apart = Partition((("p[01]",), ("p[23]",)), others="between", after=10.0, before=70.0)
    plan = FaultPlan(apart, Kill("p1", 80.0), until=90.0)
    on = Simulated(4, seed=2, faults=plan)
    graph = network(20, NewscastProtocol(6), on, lambda k: [0, 3, 10, 13])
    names = [f"n{k}" for k in range(20)]

    def crossing(found: dict[str, tuple[str, ...]]) -> int:
        return sum(
            (int(name[1:]) % 4 < 2) != (int(one[1:]) % 4 < 2)
            for name, view in found.items()
            for one in view
        )

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with graph.start(on) as live:
            await asyncio.sleep(65.0 - loop.time())
            assert crossing(await views(live, names)) == 0
            await asyncio.sleep(79.0 - loop.time())
            assert crossing(await views(live, names)) > 10
            await asyncio.sleep(100.0 - loop.time())
            found = await views(live, names)
            for name in names[1::4]:  # those of p1
                assert len(found[name]) == 6
                assert any(name in view for view in found.values())

    actors.run(main(), on=on)


class Own(Actor):
    """An actor that knows nothing of learning, with a sampler as its child."""

    def __init__(self, name: str, contacts: dict[str, ActorRef]) -> None:
        self._name = name
        self._contacts = contacts

    async def on_start(self) -> None:
        self._sampler = await self.spawn(
            "sampler", PeerSampler,
            name=self._name, owner=self.ref, contacts=self._contacts, group="own",
        )  # fmt: skip

    def sampler(self, message: Sampler) -> ActorRef:
        return self._sampler

    async def seen(self, message: Seen) -> tuple[str, ...]:
        peers = await self._sampler.ask(PickPeers(20), timeout=1.0)
        return tuple(f"{peer.name} {peer.ref.uid}" for peer in peers)


class Sampler(Message[ActorRef]):
    """Where is your sampler?"""


class Late(Actor):
    """An actor whose sampler takes part when it is told to, and is asked by nobody before."""

    def __init__(
        self, name: str, contacts: dict[str, ActorRef], protocol: SamplingProtocol
    ) -> None:
        self._name = name
        self._contacts = contacts
        self._protocol = protocol
        self._waits: list[tuple[str, ...]] = []

    async def on_start(self) -> None:
        self._sampler = await self.spawn(
            "sampler", PeerSampler,
            name=self._name, owner=self.ref, contacts=self._contacts, protocol=self._protocol,
            waits=True, group="own",
        )  # fmt: skip

    def waits(self, message: Waits) -> None:
        assert message.me == self._sampler
        self._waits.append(message.names)

    def sampler(self, message: Sampler) -> ActorRef:
        return self._sampler

    async def seen(self, message: Seen) -> tuple[str, ...]:
        peers = await self._sampler.ask(PickPeers(20), timeout=1.0)
        return tuple(peer.name for peer in peers)

    def waited(self, message: Waited) -> tuple[tuple[str, ...], ...]:
        return tuple(self._waits)


class Waited(Message[tuple[tuple[str, ...], ...]]):
    """What has your sampler asked so far?"""


@asynccontextmanager
async def alone_in_time() -> AsyncIterator[ActorSystem]:
    """A system of one node in virtual time."""
    simulation = Simulation(Simulated(1))
    with simulation.running():
        async with ActorSystem("own", world=simulation.world("own")) as system:
            yield system


def test_a_node_that_leaves_is_forgotten_and_one_of_its_name_that_comes_is_known() -> None:
    async def main() -> None:
        async with alone_in_time() as system:
            first = await system.spawn("a", Own, name="a", contacts={})
            contact = {"a": await first.ask(Sampler(), timeout=1.0)}
            nodes = {
                name: await system.spawn(name, Own, name=name, contacts=contact) for name in "bcd"
            }
            await asyncio.sleep(20.0)
            old = f"d {nodes['d'].uid}"
            for name in ("b", "c"):
                assert old in await nodes[name].ask(Seen(), timeout=1.0)
            (await nodes["d"].ask(Sampler(), timeout=1.0)).tell(Leave())
            await asyncio.sleep(0.01)
            for name in ("b", "c"):
                assert old not in await nodes[name].ask(Seen(), timeout=1.0)
            await system.stop(nodes["d"])
            nodes["d"] = await system.spawn("d", Own, name="d", contacts=contact)
            await asyncio.sleep(10.0)
            new = f"d {nodes['d'].uid}"
            for name in ("b", "c"):
                found = await nodes[name].ask(Seen(), timeout=1.0)
                assert new in found
                assert old not in found

    actors.run(main(), on=Simulated(1))


@pytest.mark.parametrize("protocol", [NEWSCAST, CYCLON, UNIFORM], ids=str)
def test_a_sampler_that_waits_is_known_to_nobody_before_it_is_told_to_join(
    protocol: SamplingProtocol,
) -> None:
    async def main() -> None:
        async with alone_in_time() as system:
            late: dict[str, ActorRef] = {}
            if isinstance(protocol, UniformProtocol):
                contact = await system.spawn("membership", Membership, group="own")
                contacts = {"membership": contact}
            else:
                late["a"] = await system.spawn(
                    "a", Late, name="a", contacts={}, protocol=protocol
                )  # fmt: skip
                contacts = {"a": await late["a"].ask(Sampler(), timeout=1.0)}
            for name in "bcd":
                late[name] = await system.spawn(
                    name, Late, name=name, contacts=contacts, protocol=protocol
                )
            samplers = {n: await each.ask(Sampler(), timeout=1.0) for n, each in late.items()}

            async def seen(name: str) -> set[str]:
                return set(await late[name].ask(Seen(), timeout=1.0))

            for name in [*late][:-1]:
                samplers[name].tell(Join())
            await asyncio.sleep(20.0)
            early = {*late} - {"d"}
            for name in early:
                assert await seen(name)
                assert await seen(name) <= early - {name}
            # It asks its owner in each period, and says nothing to others.
            waited = await late["d"].ask(Waited(), timeout=1.0)
            assert {*waited} == {tuple(contacts)}
            assert 19 <= len(waited) <= 22
            assert not await seen("d")
            samplers["d"].tell(Join(("nobody",)))
            samplers["d"].tell(Join(tuple(contacts)))  # it has
            await asyncio.sleep(10.0)
            assert await seen("d") <= early
            known = [name for name in early if "d" in await seen(name)]
            assert known
            assert len(await late["d"].ask(Waited(), timeout=1.0)) == len(waited)
            # One that has left joins no more.
            samplers["d"].tell(Leave())
            samplers["d"].tell(Join())
            await asyncio.sleep(10.0)
            for name in early:
                assert "d" not in await seen(name)
            assert not await seen("d")

    actors.run(main(), on=Simulated(1))


def test_who_is_away_when_a_sampler_joins_is_not_among_those_that_it_begins_with() -> None:
    async def main() -> None:
        async with alone_in_time() as system:
            first = await system.spawn("a", Own, name="a", contacts={})
            contacts = {"a": await first.ask(Sampler(), timeout=1.0)}
            found = []
            for name, away in (("b", ("a",)), ("c", ())):
                late = await system.spawn(
                    name, Late, name=name, contacts=contacts, protocol=NEWSCAST
                )
                (await late.ask(Sampler(), timeout=1.0)).tell(Join(away))
                await asyncio.sleep(10.0)
                found.append(await late.ask(Seen(), timeout=1.0))
            assert found == [(), ("a",)]

    actors.run(main(), on=Simulated(1))


def test_a_node_that_comes_again_at_another_address_takes_the_place_of_the_one_that_crashed() -> (
    None
):
    async def main() -> None:
        async with alone_in_time() as system:
            first = await system.spawn("a", Own, name="a", contacts={})
            sampler = await first.ask(Sampler(), timeout=1.0)
            other = await system.spawn("b", Own, name="b", contacts={"a": sampler})
            await asyncio.sleep(5.0)
            old = await system.spawn("d", Own, name="d", contacts={"a": sampler})
            await asyncio.sleep(5.0)
            assert f"d {old.uid}" in await other.ask(Seen(), timeout=1.0)
            await system.stop(old)
            new = await system.spawn("d", Own, name="d", contacts={"a": sampler})
            # What is said of the old one is younger than a period; it is of an earlier life.
            await asyncio.sleep(6.0)
            for node in (first, other):
                found = await node.ask(Seen(), timeout=1.0)
                assert f"d {new.uid}" in found
                assert f"d {old.uid}" not in found

    actors.run(main(), on=Simulated(1))


def test_nobody_of_another_network_gets_in() -> None:
    async def main() -> None:
        async with alone_in_time() as system:
            first = await system.spawn("a", Own, name="a", contacts={})
            sampler = await first.ask(Sampler(), timeout=1.0)
            stranger = await system.spawn(
                "x", PeerSampler, name="x", owner=first, contacts={"a": sampler}, group="other"
            )
            await asyncio.sleep(10.0)
            assert await sampler.ask(PickPeers(20), timeout=1.0) == ()
            assert await stranger.ask(PickPeers(20), timeout=1.0) == ()

    actors.run(main(), on=Simulated(1))
