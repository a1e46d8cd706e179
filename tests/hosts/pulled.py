"""Two nodes over tcp, and the cable between them is pulled: run by test_pulled in its own network."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.hosts.namespace import enter_one_of_its_own, loopback
from tests.transports.world import LIMIT, Note, World, eventually
from transports.limits import Limits


async def main(directory: str) -> None:
    world = World(Path(directory), "tcp")
    one, two, there, back = await world.pair(Limits(heartbeat=0.1, heartbeat_timeout=0.4))
    there.send(Note(1), 10)
    await two.recorder.until(lambda: two.recorder.numbers == [1])
    await eventually(lambda: there.idle)
    loopback(up=False)
    there.send(Note(2), 10)
    back.send(Note(2), 10)
    await one.recorder.until(lambda: one.recorder.downs)
    await two.recorder.until(lambda: two.recorder.downs)
    for node in (one, two):
        ((state, _, lost),) = node.recorder.downs
        assert state == "down"
        assert lost.messages == 1
    loopback(up=True)
    await one.recorder.until(lambda: len(one.recorder.ups) == 2)
    await two.recorder.until(lambda: len(two.recorder.ups) == 2)
    there.send(Note(3), 10)
    back.send(Note(3), 10)
    await two.recorder.until(lambda: two.recorder.numbers == [1, 3])
    await one.recorder.until(lambda: one.recorder.numbers == [3])
    await world.close()


if __name__ == "__main__":
    try:
        enter_one_of_its_own()
    except PermissionError:
        sys.exit(77)
    loopback(up=True)
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(asyncio.wait_for(main(directory), 4 * LIMIT))
