from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import pytest
import uvloop

from tests.transports.world import World


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"stock": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
def private_directory() -> Iterator[Path]:
    # Not tmp_path: its name holds the test's and does not fit into an ipc path.
    with tempfile.TemporaryDirectory(prefix="t-") as name:
        yield Path(name)


@pytest.fixture(params=["inproc", "ipc", "tcp"])
async def world(request: pytest.FixtureRequest, private_directory: Path) -> AsyncIterator[World]:
    world = World(private_directory, request.param)
    yield world
    await world.close()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not others, f"tasks were left behind: {others}"


@pytest.fixture
async def ipc_world(private_directory: Path) -> AsyncIterator[World]:
    world = World(private_directory, "ipc")
    yield world
    await world.close()
