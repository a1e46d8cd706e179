"""Connections that are cut, processes that die: over real ipc sockets."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from tests.transports.world import LIMIT, Node, Note, Recorder, World, arrays, eventually, finished
from transports.errors import LinkClosed, LinkFull
from transports.identity import NodeId
from transports.limits import Limits
from transports.link import Link

SMALL = Limits(chunk=4096, chunk_window=2, inline=256)


class Line:
    """A pair of Unix sockets in front of a node's, whose connections can be cut."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._servers: list[asyncio.Server] = []
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.passed = 0
        self.cut_after: int | None = None

    async def open(self) -> None:
        for suffix in (".c", ".b"):
            self._servers.append(
                await asyncio.start_unix_server(
                    partial(self._connect, suffix),
                    str(self.directory / f"line{suffix}"),
                )
            )

    async def _connect(
        self, suffix: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there, back = await asyncio.open_unix_connection(str(self.directory / f"b{suffix}"))
        self._writers += [writer, back]
        for source, target in ((reader, back), (there, writer)):
            task = asyncio.ensure_future(self._pass_on(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                self.passed += len(data)
                target.write(data)
                await target.drain()
                if self.cut_after is not None and self.passed > self.cut_after:
                    self.cut_after = None
                    self.cut()
        except (ConnectionError, RuntimeError):
            pass
        target.close()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        # A connection may be in the making, so once is not enough.
        for _ in range(round(LIMIT * 100)):
            self.cut()
            if not self._tasks:
                return
            await asyncio.wait(self._tasks, timeout=0.01)
        raise TimeoutError


@pytest.fixture
async def line(ipc_world: World) -> AsyncIterator[Line]:
    line = Line(ipc_world.directory)
    await line.open()
    yield line
    await line.close()


async def linked(world: World, limits: Limits | None = None) -> tuple[Node, Node, Link[Note]]:
    one, two = await world.node("a", limits), await world.node("b", limits)
    await two.endpoint.listen(world.address("b"))
    link = one.endpoint.dial(two.id, world.address("line"))
    await one.recorder.until(lambda: one.recorder.ups)
    await two.recorder.until(lambda: two.recorder.ups)
    return one, two, link


def comes_up_again(recorder: Recorder) -> bool:
    return len(recorder.ups) == 2


async def test_a_cut_link_comes_up_again_by_itself_with_a_new_epoch(
    ipc_world: World, line: Line
) -> None:
    one, two, link = await linked(ipc_world)
    before = link.statistics().control.epoch
    link.send(Note(1), 10)
    await two.recorder.until(lambda: two.recorder.items)
    line.cut()
    for node in (one, two):
        await eventually(partial(comes_up_again, node.recorder))
        assert [state for state, _, _ in node.recorder.downs] == ["down"]
        assert node.endpoint.statistics().links[0].state == "up"
    assert link.statistics().control.epoch > before
    link.send(Note(2), 10)
    await two.recorder.until(lambda: two.recorder.numbers == [1, 2])


async def test_messages_sent_while_the_link_is_down_arrive_when_it_is_up(
    ipc_world: World, line: Line
) -> None:
    one, two, link = await linked(ipc_world)
    line.cut()
    await one.recorder.until(lambda: one.recorder.downs)
    assert link.state == "down"
    for number in range(10):
        link.send(Note(number), 10)
    await two.recorder.until(lambda: two.recorder.numbers == list(range(10)))


async def test_every_message_is_received_once_or_counted_lost(ipc_world: World, line: Line) -> None:
    one, two, link = await linked(ipc_world)
    sent = 0
    for cut in range(5):
        line.cut_after = line.passed + 20_000
        ups = len(one.recorder.ups)
        while len(one.recorder.ups) == ups:
            for _ in range(50):
                try:
                    link.send(Note(sent, bytes(100)), 110)
                    sent += 1
                except LinkFull:
                    break
            await asyncio.wait_for(link.drain(), LIMIT)
        assert len(one.recorder.downs) == cut + 1
    await eventually(lambda: link.statistics().control.unacknowledged == 0)
    numbers = two.recorder.numbers
    assert numbers == sorted(set(numbers)), "in order, none twice"
    lost = {
        number
        for _, _, lost in one.recorder.downs
        for first, last in lost.control
        for number in range(first, last + 1)
    }
    missing = {number + 1 for number in range(sent)} - {number + 1 for number in numbers}
    assert missing <= lost, "a loss has a name"
    assert link.statistics().control.lost == len(lost)
    (theirs,) = two.endpoint.statistics().links
    assert theirs.control.missed == len(missing)
    assert theirs.control.messages_in == len(numbers)


async def test_a_transfer_that_is_cut_goes_on_and_arrives_whole_and_once(
    ipc_world: World, line: Line
) -> None:
    _, two, link = await linked(ipc_world, SMALL)
    models = [arrays(300_000, 1), arrays(200, 2), arrays(150_000, 3), arrays(50_000, 4)]
    transfers = [
        link.transfer(Note(number), [model], 10, pair="one") for number, model in enumerate(models)
    ]
    two.recorder.pool.buffers = len(models)
    passed = line.passed
    for part in (60_000, 150_000, 320_000, 400_000, 480_000):
        line.cut_after = passed + part
        await eventually(lambda: line.cut_after is None)
    await finished(*(transfer.done for transfer in transfers))
    assert [item.number for item, _ in two.recorder.transfers] == [0, 1, 2, 3]
    for (_, (got,)), model in zip(two.recorder.transfers, models, strict=True):
        assert got == model
    assert line.passed - passed < 700_000, "it went on where it was, it did not begin again"
    assert link.statistics().bulk.epoch > 5


async def test_a_corrupted_bulk_frame_makes_the_lane_begin_anew(
    ipc_world: World, line: Line
) -> None:
    _, two, link = await linked(ipc_world, SMALL)
    await finished(link.transfer(Note(0), [arrays(100)], 10, pair=0).done)
    epoch = link.statistics().bulk.epoch
    channel = link.channel("bulk")
    assert channel.port is not None
    channel.port.socket.send(b"not a frame")
    transfer = link.transfer(Note(1), [arrays(100_000)], 10, pair=0)
    await finished(transfer.done)
    assert link.statistics().bulk.epoch > epoch
    assert two.refused["malformed"] == 1
    assert link.state == "up", "the other lane never noticed"


PEER = """
import asyncio, sys
sys.path.insert(0, {root!r})
from tests.transports.world import Note, Recorder
from transports.clock import LoopClock
from transports.endpoint import Endpoint
from transports.identity import NodeId
from transports.rng import SystemRng

async def main():
    recorder = Recorder()
    recorder.react = lambda link, items: [link.send(item, 10) for item in items]
    endpoint = Endpoint(NodeId("b", int(sys.argv[2])), cluster="test", item=Note,
                        handler=recorder, clock=LoopClock(), rng=SystemRng())
    await endpoint.open()
    await endpoint.listen(sys.argv[1])
    if len(sys.argv) > 4:
        endpoint.dial(NodeId("a", int(sys.argv[4])), sys.argv[3])
    await asyncio.Event().wait()

asyncio.run(main())
"""


def start_peer(world: World, incarnation: int, *dial: str) -> subprocess.Popen[bytes]:
    root = str(Path(__file__).parents[2])
    program = PEER.format(root=root)
    command = [sys.executable, "-c", program, world.address("b"), str(incarnation), *dial]
    return subprocess.Popen(command)


async def test_a_killed_process_is_noticed_and_its_successor_is_another(ipc_world: World) -> None:
    one = await ipc_world.node("a")
    first = start_peer(ipc_world, 1001)
    try:
        link = one.endpoint.dial(NodeId("b", 1001), ipc_world.address("b"))
        link.send(Note(1), 10)
        await one.recorder.until(lambda: one.recorder.numbers == [1])
        await finished(link.transfer(Note(2), [arrays(300_000)], 10, pair=0).done)
        first.send_signal(signal.SIGKILL)
        await one.recorder.until(lambda: one.recorder.downs)
        assert one.recorder.downs[0][0] == "down"
        first.wait()
        transfer = link.transfer(Note(3), [arrays(10)], 10, pair=0)
        link.send(Note(3), 10)
        second = start_peer(ipc_world, 1002)
        try:
            # The stale sockets were taken over, and who answers there is somebody else.
            await one.recorder.until(lambda: len(one.recorder.downs) == 2)
            state, reason, lost = one.recorder.downs[1]
            assert state == "closed"
            assert "b#0003ea listens here, not b#0003e9" in reason
            assert lost.unsent == 1
            with pytest.raises(LinkClosed, match="during a transfer"):
                await asyncio.wait_for(transfer.done, LIMIT)
            again = one.endpoint.dial(NodeId("b", 1002), ipc_world.address("b"))
            again.send(Note(4), 10)
            await one.recorder.until(lambda: one.recorder.numbers == [1, 4])
        finally:
            second.kill()
            second.wait()
    finally:
        first.kill()
        first.wait()


async def test_the_side_that_was_dialled_notices_a_killed_process_too(ipc_world: World) -> None:
    one = await ipc_world.node("a")
    address = await one.endpoint.listen(ipc_world.address("a"))
    link = one.endpoint.expect(NodeId("b", 1003))
    peer = start_peer(ipc_world, 1003, address, str(one.id.incarnation))
    try:
        await one.recorder.until(lambda: one.recorder.ups)
        link.send(Note(1), 10)
        await one.recorder.until(lambda: one.recorder.numbers == [1])
        peer.send_signal(signal.SIGKILL)
        await one.recorder.until(lambda: one.recorder.downs)
        assert link.state == "down"
    finally:
        peer.kill()
        peer.wait()
