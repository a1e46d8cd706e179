"""A node's process that cannot do its work says so in one sentence and leaves."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator

import msgspec
import pytest

from actors import ActorSystem, Exit, PopenSpawner, ProcessSpec
from actors.serving import EXIT_CUT_OFF, NodeConfig
from tests.transports.world import free_ports
from transports import NodeId

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def launcher() -> AsyncIterator[tuple[ActorSystem, str]]:
    async with ActorSystem("launcher") as system:
        yield system, await system.router.endpoint.listen("tcp://127.0.0.1:*")


async def end_of(system: ActorSystem, address: str, **changed: object) -> tuple[Exit, list[str]]:
    """How a child with this configuration ends, and what it says."""
    config = NodeConfig(
        name="child",
        incarnation=7,
        generation=0,
        cluster="local",
        launcher=system.node,
        launcher_address=address,
        listen="tcp://127.0.0.1:*",
        storage=None,
        durability="process",
        uvloop=True,
        reach=1.0,
    )
    config = msgspec.structs.replace(config, **changed)
    spawner = PopenSpawner()
    try:
        child = await spawner.spawn(
            ProcessSpec(name="child", module="actors.node", config=msgspec.msgpack.encode(config))
        )
        async with asyncio.timeout(30):
            return await child.wait(), child.last_lines()
    finally:
        await spawner.close()


async def test_a_launcher_at_an_address_that_is_not_reachable(
    launcher: tuple[ActorSystem, str],
) -> None:
    system, _ = launcher
    nobody = "tcp://127.0.0.1:{},{}".format(*free_ports())
    ended, (line,) = await end_of(system, nobody)
    assert ended == Exit(code=EXIT_CUT_OFF)
    assert re.search(
        rf"node child cannot reach its launcher at {nobody} and leaves: the connection to {nobody} "
        "ended or was refused$",
        line,
    )


async def test_a_launcher_that_accepts_connections_and_never_answers(
    launcher: tuple[ActorSystem, str],
) -> None:
    system, _ = launcher
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        socket.create_server(("127.0.0.1", 0)) as m,
    ):
        address = f"tcp://127.0.0.1:{mute.getsockname()[1]},{m.getsockname()[1]}"
        ended, (line,) = await end_of(system, address)
    assert ended == Exit(code=EXIT_CUT_OFF)
    assert f"node child cannot reach its launcher at {address} and leaves: " in line


async def test_another_cluster(launcher: tuple[ActorSystem, str]) -> None:
    ended, (line,) = await end_of(*launcher, cluster="another")
    assert ended == Exit(code=EXIT_CUT_OFF)
    assert "node child leaves: " in line
    assert "cluster" in line


async def test_a_launcher_of_another_incarnation(launcher: tuple[ActorSystem, str]) -> None:
    system, address = launcher
    stale = NodeId(system.node.name, system.node.incarnation + 1)
    ended, (line,) = await end_of(system, address, launcher=stale)
    assert ended == Exit(code=EXIT_CUT_OFF)
    assert f"{system.node} listens here, not {stale}" in line


async def test_a_port_in_use(launcher: tuple[ActorSystem, str]) -> None:
    _, address = launcher
    ended, (line,) = await end_of(*launcher, listen=address)
    assert ended == Exit(code=1)
    assert line == (
        f"actors.node: child cannot start: {address} is in use by a live listener: choose another"
    )
