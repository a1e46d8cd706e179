"""Guests of a running graph: who looks on from another process, and what it may do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors import (
    ActorSystem,
    Deployment,
    Inline,
    Live,
    ObserveError,
    Processes,
    Simulated,
    UsageError,
    World,
    observe,
)
from actors import item as wire
from actors.guests import CLUSTER, Glance, host_of
from actors.item import Item
from actors.signals import Stop
from actors.sim import Simulation
from tests.actors.echoes import Add
from tests.actors.test_observing import EVERYWHERE, all_run, on_its_loop, sums, until
from transports import AddressError, AddressInUse, Endpoint, LandingPool, Link, NodeId


class Place:
    """A place where a graph runs and can be observed, real or simulated."""

    def __init__(self, on: Deployment, directory: Path) -> None:
        self.on = on
        self.simulation = Simulation(on) if isinstance(on, Simulated) else None
        self.address = f"ipc://{directory}/look" if self.simulation is None else "sim://look"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Live]:
        simulation = self.simulation
        if simulation is None:
            async with sums().start(self.on, observe=self.address) as live:
                yield live
        else:
            with simulation.running():
                world = simulation.world("sums")
                async with sums().start(self.on, world=world, observe=self.address) as live:
                    yield live

    def world(self, name: str) -> World:
        if self.simulation is None:
            return World()
        node = self.simulation.network.node(name)
        return World(clock=node.clock(), rng=self.simulation.rng.derive(name), context=node)


@pytest.fixture
def private(tmp_path: Path) -> Path:
    (tmp_path / "private").mkdir(mode=0o700)
    return tmp_path / "private"


@pytest.mark.parametrize("on", EVERYWHERE, ids=str)
def test_several_observers_see_the_live_state_and_count_as_no_members(
    on: Deployment, private: Path
) -> None:
    async def main() -> None:
        place = Place(on, private)
        async with place.running() as live:
            members = set(live.system.router.directory)
            nodes = {node.name for node in (await live.state()).nodes}
            async with (
                observe(place.address, world=place.world("one")) as one,
                observe(place.address, world=place.world("two")) as two,
            ):
                for observer in (one, two, one):
                    state = await until(observer.state, all_run)
                    assert {node.name for node in state.nodes} == nodes
                assert state.nodes[0].guests is not None
                assert state.nodes[0].guests.guests == 2
                # No node has a link to a guest, or was told of one.
                for node in state.nodes:
                    assert {link.peer.name for link in node.links} <= nodes
                assert set(live.system.router.directory) == members
        with pytest.raises(ObserveError, match="nobody answers at"):
            async with observe(place.address, limit=0.5, world=place.world("late")):
                pass

    on_its_loop(on, main)


class Intruder:
    """Speaks as a member of the runtime would, to where guests come in."""

    def __init__(self, address: str, world: World, item: type[Any]) -> None:
        self.up = asyncio.Event()
        self.heard: list[Any] = []
        self.endpoint: Endpoint[Any] = Endpoint(
            NodeId.fresh("intruder", world.rng), cluster=CLUSTER, item=item, handler=self,
            clock=world.clock, rng=world.rng, context=world.context,
        )  # fmt: skip
        self.address = address

    async def dial(self) -> Link[Any]:
        await self.endpoint.open()
        link = self.endpoint.dial(host_of(self.address), self.address)
        async with asyncio.timeout(10):
            await self.up.wait()
        return link

    def admit(self, peer: NodeId) -> str | None:
        return "no"

    def on_up(self, link: Link[Any]) -> None:
        self.up.set()

    def on_down(self, link: Link[Any], reason: str, lost: Any) -> None:
        pass

    def on_items(self, link: Link[Any], items: list[Any]) -> None:
        self.heard.extend(items)

    def landing(self, link: Link[Any], item: Any, nbytes: int) -> LandingPool:
        return LandingPool(1, 1)

    def on_transfer(self, link: Link[Any], item: Any, weights: list[Any]) -> None:
        pass


@pytest.mark.parametrize("on", [EVERYWHERE[0], EVERYWHERE[2]], ids=str)
def test_a_guest_may_not_signal_and_what_it_tries_is_refused_and_counted(
    on: Deployment, private: Path
) -> None:
    async def main() -> None:
        place = Place(on, private)
        async with place.running() as live:
            await until(live.state, all_run)
            intruder = Intruder(place.address, place.world("intruder"), Item)
            link = await intruder.dial()
            stop = msgspec.msgpack.encode(Stop())
            store = live["store"]
            link.send(Item(store.uid, 0, wire.SIGNAL, stop, 1), 100)
            link.send(Item(store.uid, 0, wire.TELL, b"", 1), 100)
            state = await until(live.state, lambda s: s.nodes[0].guests.refused)
            assert state.nodes[0].guests is not None
            assert state.nodes[0].guests.refused["malformed"] >= 1
            assert await store.ask(Add(1), timeout=5) == 101
            await intruder.endpoint.close(0.0)

            # One that speaks as hosts do.
            intruder = Intruder(place.address, place.world("other"), Glance)
            link = await intruder.dial()
            link.send(Glance("picture", 1, body=b"lies"), 100)
            await until(live.state, lambda s: s.nodes[0].guests.refused.get("no question"))
            for number in range(20):
                link.send(Glance("look", number), 100)
            await until(live.state, lambda s: s.nodes[0].guests.refused.get("too early"))
            await until(live.state, lambda _: any(item.last for item in intruder.heard))
            await intruder.endpoint.close(0.0)
            await until(live.state, lambda s: s.nodes[0].guests.guests == 0)

    on_its_loop(on, main)


@pytest.mark.parametrize("on", [EVERYWHERE[0], EVERYWHERE[2]], ids=str)
def test_a_question_that_comes_while_the_one_before_is_answered_is_answered_next(
    on: Deployment, private: Path
) -> None:
    async def main() -> None:
        place = Place(on, private)
        async with place.running() as live:
            await until(live.state, all_run)
            eager = Intruder(place.address, place.world("eager"), Glance)
            link = await eager.dial()
            for number in (1, 2):
                link.send(Glance("look", number), 100)
            async with asyncio.timeout(20):
                while {glance.number for glance in eager.heard} != {1, 2}:
                    await asyncio.sleep(0.01)
            await eager.endpoint.close(0.0)

    on_its_loop(on, main)


_GUEST = """
import asyncio, sys
from actors import observe, run

async def main():
    async with observe(sys.argv[1]) as observer:
        while True:
            await observer.state()
            print("seen", flush=True)

run(main())
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_an_observer_that_is_killed_or_frozen_harms_nobody(
    how: signal.Signals, private: Path
) -> None:
    address = f"ipc://{private}/look"
    async with sums().start(Processes(1), observe=address) as live:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _GUEST, address, stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        try:
            assert child.stdout is not None
            for _ in range(3):
                assert await asyncio.wait_for(child.stdout.readline(), 30) == b"seen\n"
            child.send_signal(how)
            async with observe(address) as other:
                for _ in range(3):
                    assert all_run(await other.state())
                left = 1 if how is signal.SIGKILL else 2
                await until(other.state, lambda s: s.nodes[0].guests.guests == left)
                assert await live["store"].ask(Add(1), timeout=5) == 101
        finally:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            assert child.stdout is not None
            while await child.stdout.read(1 << 16):
                pass
            await child.wait()
            child._transport.close()  # type: ignore[attr-defined]
        # What was left of it goes as well.
        await until(live.state, lambda s: s.nodes[0].guests.guests == 0)


async def test_a_graph_can_be_observed_at_a_port_of_the_loopback_interface() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
    ):
        ports = f"{one.getsockname()[1]},{two.getsockname()[1]}"
    async with (
        sums().start(Inline(), observe=f"tcp://127.0.0.1:{ports}"),
        observe(f"tcp://localhost:{ports}") as observer,
    ):
        assert len((await observer.state()).actors) == 7


async def test_an_observer_whose_host_ends_says_so(private: Path) -> None:
    address = f"ipc://{private}/look"
    async with sums().start(observe=address):
        looking = observe(address)
        observer = await looking.__aenter__()
        await observer.state()
    try:
        with pytest.raises(ObserveError, match="not there any more") as error:
            await observer.state()
        assert error.value.gone
    finally:
        await looking.__aexit__(None, None, None)


async def test_a_directory_that_does_not_exist_is_refused_and_not_made(private: Path) -> None:
    missing = private / "mistyped" / "deeper"
    with pytest.raises(UsageError, match=r"mistyped/deeper' of .* does not exist; make it"):
        async with sums().start(observe=f"ipc://{missing}/look"):
            pass
    assert os.listdir(private) == []  # noqa: PTH208  (in a coroutine)


async def test_addresses_where_nobody_can_look_on_are_refused(private: Path) -> None:
    async with ActorSystem("one") as one, ActorSystem("two") as two:
        await one.listen_for_observers(f"ipc://{private}/look")
        with pytest.raises(UsageError, match="one address is enough"):
            await one.listen_for_observers(f"ipc://{private}/other")
        with pytest.raises(AddressInUse):
            await two.listen_for_observers(f"ipc://{private}/look")
        with pytest.raises(AddressError, match="name it whole"):
            await two.listen_for_observers(f"ipc://{private}/look-*")
        with pytest.raises(AddressError, match="not on this machine"):
            await two.listen_for_observers("tcp://192.168.1.1:5000")
    with pytest.raises(AddressError, match="none of inproc"):
        async with observe("nonsense"):
            pass
