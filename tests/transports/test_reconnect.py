"""Connections that are cut, processes that die or freeze: over sockets between processes."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import zmq

from tests.transports.world import LIMIT, Node, Note, Recorder, World, arrays, eventually, finished
from transports import endpoint as endpoint_module
from transports.address import LANES, Address, Lane
from transports.errors import LinkClosed, LinkFull
from transports.identity import NodeId
from transports.limits import Limits
from transports.link import Link

SMALL = Limits(chunk=4096, chunk_window=2, inline=256)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Line:
    """What listens in front of a node's two sockets and passes on, until it is cut."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._servers: list[asyncio.Server] = []
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.passed = 0
        self.cut_after: int | None = None

    async def open(self) -> None:
        for lane in LANES:
            place = Address.parse(self._world.address("line")).endpoint(lane)
            scheme, _, rest = place.partition("://")
            connected = partial(self._connect, lane)
            if scheme == "ipc":
                server = await asyncio.start_unix_server(connected, rest)
            else:
                host, _, port = rest.rpartition(":")
                server = await asyncio.start_server(connected, host, int(port))
            self._servers.append(server)

    async def _there(self, lane: Lane) -> Streams:
        scheme, _, rest = Address.parse(self._world.address("b")).endpoint(lane).partition("://")
        if scheme == "ipc":
            return await asyncio.open_unix_connection(rest)
        host, _, port = rest.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def _connect(
        self, lane: Lane, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there, back = await self._there(lane)
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


@pytest.fixture(params=["ipc", "tcp"])
async def remote(request: pytest.FixtureRequest, private_directory: Path) -> AsyncIterator[World]:
    """A world in which nodes may be in other processes."""
    world = World(private_directory, request.param)
    yield world
    await world.close()


@pytest.fixture
async def line(remote: World) -> AsyncIterator[Line]:
    line = Line(remote)
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
    remote: World, line: Line
) -> None:
    one, two, link = await linked(remote)
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
    remote: World, line: Line
) -> None:
    one, two, link = await linked(remote)
    line.cut()
    await one.recorder.until(lambda: one.recorder.downs)
    assert link.state == "down"
    for number in range(10):
        link.send(Note(number), 10)
    await two.recorder.until(lambda: two.recorder.numbers == list(range(10)))


async def test_every_message_is_received_once_or_counted_lost(remote: World, line: Line) -> None:
    one, two, link = await linked(remote)
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
    remote: World, line: Line
) -> None:
    _, two, link = await linked(remote, SMALL)
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


async def test_a_corrupted_bulk_frame_makes_the_lane_begin_anew(remote: World, line: Line) -> None:
    _, two, link = await linked(remote, SMALL)
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


def freeze(peer: subprocess.Popen[bytes]) -> None:
    peer.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, peer.pid, os.WSTOPPED)


async def test_a_killed_process_is_noticed_and_its_successor_is_another(remote: World) -> None:
    one = await remote.node("a")
    first = start_peer(remote, 1001)
    try:
        link = one.endpoint.dial(NodeId("b", 1001), remote.address("b"))
        link.send(Note(1), 10)
        await one.recorder.until(lambda: one.recorder.numbers == [1])
        await finished(link.transfer(Note(2), [arrays(300_000)], 10, pair=0).done)
        first.send_signal(signal.SIGKILL)
        await one.recorder.until(lambda: one.recorder.downs)
        assert one.recorder.downs[0][0] == "down"
        first.wait()
        transfer = link.transfer(Note(3), [arrays(10)], 10, pair=0)
        link.send(Note(3), 10)
        second = start_peer(remote, 1002)
        try:
            # The stale sockets were taken over, and who answers there is somebody else.
            await one.recorder.until(lambda: len(one.recorder.downs) == 2)
            state, reason, lost = one.recorder.downs[1]
            assert state == "closed"
            assert "b#0003ea listens here, not b#0003e9" in reason
            assert lost.unsent == 1
            with pytest.raises(LinkClosed, match="during a transfer"):
                await asyncio.wait_for(transfer.done, LIMIT)
            again = one.endpoint.dial(NodeId("b", 1002), remote.address("b"))
            again.send(Note(4), 10)
            await one.recorder.until(lambda: one.recorder.numbers == [1, 4])
        finally:
            second.kill()
            second.wait()
    finally:
        first.kill()
        first.wait()


async def test_the_side_that_was_dialled_notices_a_killed_process_too(remote: World) -> None:
    one = await remote.node("a")
    address = await one.endpoint.listen(remote.address("a"))
    link = one.endpoint.expect(NodeId("b", 1003))
    peer = start_peer(remote, 1003, address, str(one.id.incarnation))
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


class Noticed:
    """Instead of the times at which peers that are gone are looked for: that one has gone."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def __iter__(self) -> Iterator[float]:
        self.event.set()
        return iter(())


async def test_a_send_that_fails_does_not_swallow_what_came_from_another(
    remote: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A send processes what has come, and so takes its signal; one that fails does, too."""
    noticed = Noticed()
    monkeypatch.setattr(endpoint_module, "_PROBES", noticed)
    middle, left, right = [await remote.node(name) for name in ("m", "l", "r")]
    address = await middle.endpoint.listen(remote.address("m"))
    to_middle = left.endpoint.dial(middle.id, address)
    right.endpoint.dial(middle.id, address)
    await middle.recorder.until(lambda: len(middle.recorder.ups) == 2)
    gone, back = middle.endpoint.link(right.id), middle.endpoint.link(left.id)
    assert gone is not None
    assert back is not None
    right.endpoint._diallers[middle.id]["control"].stop()
    await asyncio.wait_for(noticed.event.wait(), LIMIT)
    # What libzmq's thread still has to say of the connection that ended comes before the last.
    for number in range(5):
        to_middle.send(Note(number), 10)
        await middle.recorder.until(lambda: len(middle.recorder.numbers) == number + 1)  # noqa: B023
    receiving, port = back.channel("control").receiving, middle.endpoint._listeners["control"]
    await eventually(lambda: receiving.acked == receiving.last and not port._touched)
    # All within one turn of the loop: the message is there, and nobody has looked at it.
    socket: Any = port.socket
    to_middle.send(Note(5), 10)
    assert select.select([socket.getsockopt(zmq.FD)], [], [], LIMIT)[0]
    # libzmq looks at what has come at most once in a millisecond when it sends.
    time.sleep(0.01)  # noqa: ASYNC251  (this very turn of the loop must last so long)
    gone.channel("control").probe()
    assert gone.channel("control").state == "down"
    assert not select.select([socket.getsockopt(zmq.FD)], [], [], 0)[0]
    await middle.recorder.until(lambda: middle.recorder.numbers == list(range(6)))


async def test_a_frozen_process_is_waited_for_and_misses_nothing(remote: World) -> None:
    one = await remote.node("a")
    peer = start_peer(remote, 1004)
    try:
        link = one.endpoint.dial(NodeId("b", 1004), remote.address("b"))
        link.send(Note(0), 10)
        await one.recorder.until(lambda: one.recorder.numbers == [0])
        freeze(peer)
        for number in range(1, 1000):
            link.send(Note(number), 10)
        transfer = link.transfer(Note(0), [arrays(8_000_000)], 10, pair=0)
        await eventually(lambda: link.statistics().control.queued == 0)
        assert one.recorder.numbers == [0]
        assert not transfer.done.done()
        peer.send_signal(signal.SIGCONT)
        await one.recorder.until(lambda: one.recorder.numbers == list(range(1000)))
        await finished(transfer.done)
        assert one.recorder.downs == []
    finally:
        peer.kill()
        peer.wait()


def room(link: Link[Note], nbytes: int) -> bool:
    control = link.statistics().control
    return control.held + nbytes <= control.window


async def test_a_process_that_stays_frozen_fills_the_window_and_not_the_memory(
    remote: World,
) -> None:
    limits = Limits(control_window=100_000, max_message=1000)
    one = await remote.node("a", limits)
    peer = start_peer(remote, 1005)
    try:
        link = one.endpoint.dial(NodeId("b", 1005), remote.address("b"))
        link.send(Note(0), 10)
        await one.recorder.until(lambda: one.recorder.numbers == [0])
        freeze(peer)
        sent = 1
        while room(link, 1000):
            link.send(Note(sent, bytes(900)), 1000)
            sent += 1
        with pytest.raises(LinkFull):
            link.send(Note(sent), 1000)
        assert link.statistics().control.held <= limits.control_window
        peer.send_signal(signal.SIGKILL)
        await one.recorder.until(lambda: one.recorder.downs)
        ((state, _, lost),) = one.recorder.downs
        assert state == "down"
        missing = sum(last - first + 1 for first, last in lost.control)
        # In one range of numbers, or still here for whoever comes; not one is unaccounted for.
        assert missing + link.statistics().control.queued == sent - 1
    finally:
        peer.kill()
        peer.wait()
