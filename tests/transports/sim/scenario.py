"""A simulation with every fault in it, whose trace must depend on the seed alone."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tests.transports.sim.world import SimWorld
from tests.transports.world import Node, Note, arrays
from transports.errors import LinkError
from transports.identity import NodeId
from transports.link import Link
from transports.rng import SeededRng
from transports.sim.loop import SimLoop
from transports.sim.net import Net
from transports.sim.network import NetworkStatistics


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out of a simulation."""

    digest: str
    network: NetworkStatistics
    received: int
    landed: int


def play(seed: int) -> Outcome:
    """Simulate a hub and five nodes that talk to it for some seconds, and what befalls them."""
    with asyncio.Runner(loop_factory=lambda: SimLoop(seed, shuffle=True)) as runner:
        return runner.run(_play(seed))


async def _play(seed: int) -> Outcome:
    world = SimWorld(seed, Net(0.005, 0.01, 20e6), incarnations=1)
    network, rng = world.network, SeededRng(seed).derive("scenario")
    hub = await world.node("hub")
    hub.recorder.react = _answer
    hub.recorder.pool.buffers = 100
    address = await hub.endpoint.listen("sim://hub")
    nodes = [await world.node(f"n{number}") for number in range(5)]
    for node in nodes:
        _start(world, node, hub.id, address)
    await asyncio.sleep(rng.uniform(0.5, 1))
    network.cut("hub", "n1")
    await asyncio.sleep(rng.uniform(0.5, 1))
    network.freeze("n2")
    network.uncut("hub", "n1")
    await asyncio.sleep(rng.uniform(0.5, 1))
    crashed = network.node("n3")
    network.crash("n3")
    await crashed.reap()
    successor = await world.node("n3")
    _start(world, successor, hub.id, address)
    network.partition(["hub", "n0", "n2"])
    await asyncio.sleep(rng.uniform(0.5, 1))
    network.thaw("n2")
    network.heal()
    await asyncio.sleep(5)
    for name in ("n0", "n1", "n2", "n3", "n4"):
        for task in network.node(name).tasks:
            task.cancel()
    await asyncio.sleep(5)
    outcome = Outcome(
        world.trace.hexdigest(),
        network.statistics(),
        len(hub.recorder.items),
        len(hub.recorder.transfers),
    )
    await world.close()
    await asyncio.sleep(1)
    return outcome


def _answer(link: Link[Note], items: list[Note]) -> None:
    for item in items:
        if item.number % 3 == 0:
            link.send(item, 100)


def _start(world: SimWorld, node: Node, hub: NodeId, address: str) -> None:
    with world.network.node(node.id.name).inside():
        world.loop.create_task(_talk(world, node, hub, address))


async def _talk(world: SimWorld, node: Node, hub: NodeId, address: str) -> None:
    link = node.endpoint.dial(hub, address)
    rng = SeededRng(node.id.incarnation)
    number = 0
    while True:
        number += 1
        try:
            link.send(Note(number, bytes(rng.bits(7))), 200)
            if number % 20 == 1:
                link.transfer(Note(number), [arrays(300_000, number)], 10, pair=0)
        except LinkError:
            return
        await asyncio.sleep(rng.uniform(0, 0.1))
