from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from tests.transports.sim.world import SimWorld
from transports.sim.loop import SimLoop
from transports.sim.net import Net


def in_order() -> SimLoop:
    return SimLoop()


def shuffled() -> SimLoop:
    return SimLoop(7, shuffle=True)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"sim": in_order, "shuffled": shuffled}


async def checked(world: SimWorld) -> AsyncIterator[SimWorld]:
    yield world
    await world.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not others, f"tasks were left behind: {others}"


@pytest.fixture(params=[Net(), Net(0.01, 0.005, 10e6)], ids=["instant", "slow"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[SimWorld]:
    async for world in checked(SimWorld(1, request.param)):
        yield world


@pytest.fixture
async def sim_world(net: Net) -> AsyncIterator[SimWorld]:
    async for world in checked(SimWorld(1, net)):
        yield world


@pytest.fixture
def ipc_world(world: SimWorld) -> SimWorld:
    """What the shared tests ask for where nodes must not share memory."""
    return world
