"""Model transfers between two processes: rows 9, 10, 13, 14 and 15 of docs/performance.md.

Every row measures its yardstick in the same run, alternating with ours, and takes medians. The
other process runs this module with ``--peer DIRECTORY``: one endpoint and the raw ZeroMQ servers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import pickle
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import uvloop
import zmq

from transports.clock import LoopClock
from transports.endpoint import Endpoint
from transports.identity import NodeId
from transports.landing import LandingPool
from transports.lane import Lost
from transports.link import Link
from transports.rng import SystemRng
from transports.weights import Weights

Socket = zmq.Socket[bytes]

CHUNK = 1 << 20
WINDOW = 4


class Item(msgspec.Struct, array_like=True):
    """A message of the benchmark; ``number`` numbers the asks."""

    word: str
    number: int = 0
    value: float = 0.0


@dataclass(frozen=True)
class Row:
    row: str
    name: str
    ours: float
    yardstick: float
    ratio: float
    floor: str


class Base:
    """What both processes do with what arrives."""

    def __init__(self) -> None:
        self.pool = LandingPool(buffers=2)
        self.up = asyncio.Event()

    def admit(self, _peer: NodeId) -> str | None:
        return None

    def on_up(self, _link: Link[Item]) -> None:
        self.up.set()

    def on_down(self, link: Link[Item], reason: str, lost: Lost) -> None:
        pass

    def landing(self, _link: Link[Item], _item: Item, _nbytes: int) -> LandingPool:
        return self.pool

    def on_items(self, _link: Link[Item], items: list[Item]) -> None:
        raise NotImplementedError

    def on_transfer(self, _link: Link[Item], _item: Item, weights: list[Weights]) -> None:
        for each in weights:
            use(each["model"])
            each.release()


def use(array: np.ndarray[Any, Any]) -> None:
    """A usable tensor: its first and last element can be read."""
    if array.size:
        float(array.flat[0] + array.flat[-1])


# The other process


class StallMeter:
    """How long the loop stood still at worst: the longest gap between ticks, less their period.

    The period is a millisecond because uvloop's timers count in these; a shorter one would spin.
    """

    PERIOD = 0.001

    def __init__(self) -> None:
        self.worst = 0.0
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self.worst = 0.0
        self._last = time.perf_counter()
        self._timer = asyncio.get_running_loop().call_later(self.PERIOD, self._tick)

    def _tick(self) -> None:
        now = time.perf_counter()
        self.worst = max(self.worst, now - self._last - self.PERIOD)
        self._last = now
        self._timer = asyncio.get_running_loop().call_later(self.PERIOD, self._tick)

    def stop(self) -> float:
        assert self._timer is not None
        self._timer.cancel()
        return self.worst


class Peer(Base):
    def __init__(self) -> None:
        super().__init__()
        self.meter = StallMeter()
        self.over = asyncio.Event()

    def on_items(self, _link: Link[Item], items: list[Item]) -> None:
        for item in items:
            value = 0.0
            if item.word == "start":
                self.meter.start()
            elif item.word == "stop":
                value = self.meter.stop()
            elif item.word == "end":
                self.over.set()
            _link.send(Item("reply", item.number, value), 32)


def pair() -> Socket:
    return zmq.Context.instance().socket(zmq.PAIR)


def raw_frame_server(path: str) -> None:
    """The yardstick of row 10: a header and one zero-copy frame, seen as an array, acknowledged."""
    socket = pair()
    socket.bind(path)
    while True:
        socket.recv()
        frame = socket.recv(copy=False)
        use(np.frombuffer(frame.buffer, np.float32))
        del frame
        socket.send(b"ok")


def raw_chunk_server(path: str) -> None:
    """The yardstick of row 9: pieces of 1 MiB, recv_into a kept buffer, one credit each."""
    socket = pair()
    socket.bind(path)
    landing = np.zeros(0, np.uint8)
    while True:
        total = int.from_bytes(socket.recv(), "big")
        if landing.nbytes < total:
            landing = np.zeros(total, np.uint8)
        for offset in range(0, total, CHUNK):
            socket.recv()
            socket.recv_into(landing[offset : offset + CHUNK].data)
            socket.send(b"credit")
        use(landing[:total].view(np.float32))


def raw_pickle_server(path: str) -> None:
    """The yardstick of row 13: pickle into one frame, and back."""
    socket = pair()
    socket.bind(path)
    while True:
        use(pickle.loads(socket.recv()))
        socket.send(b"ok")


async def serve(directory: Path) -> None:
    for name, server in (
        ("frame", raw_frame_server),
        ("chunk", raw_chunk_server),
        ("pickle", raw_pickle_server),
    ):
        path = f"ipc://{directory}/{name}"
        threading.Thread(target=server, args=(path,), daemon=True).start()
    peer = Peer()
    endpoint = Endpoint(
        PEER, cluster="benchmark", item=Item, handler=peer, clock=LoopClock(), rng=SystemRng()
    )
    await endpoint.open()
    await endpoint.listen(f"ipc://{directory}/peer")
    await peer.over.wait()
    await endpoint.close()


# This process

PEER = NodeId("peer", 2)


class Wire(Protocol):
    """What the rows need from the runtime: asks and model transfers to the other process."""

    async def ask(self, word: str) -> float: ...

    async def send_model(self, weights: Weights) -> None: ...


class Caller(Base):
    """``Wire`` on an endpoint."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: dict[int, asyncio.Future[float]] = {}
        self._asked = 0
        self._link: Link[Item] | None = None

    async def connect(self, endpoint: Endpoint[Item], address: str) -> None:
        self._link = endpoint.dial(PEER, address)
        await asyncio.wait_for(self.up.wait(), 30)

    def on_items(self, _link: Link[Item], items: list[Item]) -> None:
        for item in items:
            self._waiting.pop(item.number).set_result(item.value)

    async def ask(self, word: str) -> float:
        assert self._link is not None
        self._asked += 1
        reply: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting[self._asked] = reply
        self._link.send(Item(word, self._asked), 32)
        return await reply

    async def send_model(self, weights: Weights) -> None:
        assert self._link is not None
        await self._link.transfer(Item("model"), [weights], 32, pair="benchmark").done


def model(nbytes: int) -> Weights:
    return Weights.of({"model": np.arange(nbytes // 4, dtype=np.float32)})


def connected(directory: Path, name: str) -> Socket:
    socket = pair()
    socket.linger = 0
    socket.connect(f"ipc://{directory}/{name}")
    return socket


def send_frame(socket: Socket, buffer: memoryview) -> None:
    socket.send(b"header", zmq.SNDMORE)
    socket.send(buffer, copy=False)
    socket.recv()


def send_chunks(socket: Socket, buffer: memoryview) -> None:
    socket.send(buffer.nbytes.to_bytes(8, "big"))
    sent = in_flight = 0
    while sent < buffer.nbytes or in_flight:
        if sent < buffer.nbytes and in_flight < WINDOW:
            socket.send(b"header", zmq.SNDMORE)
            socket.send(buffer[sent : sent + CHUNK], copy=False)
            sent += CHUNK
            in_flight += 1
        else:
            socket.recv()
            in_flight -= 1


def send_pickle(socket: Socket, array: np.ndarray[Any, Any]) -> None:
    socket.send(pickle.dumps(array, protocol=5))
    socket.recv()


def timed(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


async def bandwidth_rows(wire: Wire, directory: Path, repetitions: int, nbytes: int) -> list[Row]:
    """Rows 9, 10 and 13: GB/s from tensor to usable tensor and acknowledgement."""
    weights = model(nbytes)
    array = np.array(weights["model"])
    sockets = {name: connected(directory, name) for name in ("frame", "chunk", "pickle")}
    yardsticks: dict[str, Callable[[], None]] = {
        "frame": lambda: send_frame(sockets["frame"], weights.buffer),
        "chunk": lambda: send_chunks(sockets["chunk"], weights.buffer),
        "pickle": lambda: send_pickle(sockets["pickle"], array),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ("ours", *yardsticks)}
    names = list(seconds)
    for repetition in range(repetitions + 1):
        # Each takes its turn at each place: what runs after pickle finds the caches turned over.
        for turn in range(len(names)):
            name = names[(repetition + turn) % len(names)]
            start = time.perf_counter()
            if name == "ours":
                await wire.send_model(weights)
            else:
                yardsticks[name]()
            if repetition:  # the first one warms buffers on both sides
                seconds[name].append(time.perf_counter() - start)
    speed = {name: nbytes / statistics.median(values) / 1e9 for name, values in seconds.items()}
    size = f"{nbytes / 1e6:.0f} MB model, ipc, GB/s"

    def row(number: str, yardstick: str, label: str, floor: str) -> Row:
        ratio = speed["ours"] / speed[yardstick]
        return Row(number, f"{size} vs {label}", speed["ours"], speed[yardstick], ratio, floor)

    return [
        row("9", "chunk", "raw ZeroMQ chunks", ">= 0.8"),
        row("10", "frame", "one zero-copy frame", ">= 1.7"),
        row("13", "pickle", "pickle", ">= 7"),
    ]


async def handover_row(repetitions: int, nbytes: int) -> Row:
    """Row 14: the node's link to itself hands a model over; copying it is the yardstick."""
    arrived: list[float] = []

    class Receiver(Base):
        def on_transfer(self, link: Link[Item], item: Item, weights: list[Weights]) -> None:
            arrived.append(time.perf_counter())
            super().on_transfer(link, item, weights)

    endpoint = Endpoint(
        NodeId("alone", 3),
        cluster="benchmark",
        item=Item,
        handler=Receiver(),
        clock=LoopClock(),
        rng=SystemRng(),
    )
    await endpoint.open()
    weights = model(nbytes)
    ours: list[float] = []
    copies: list[float] = []
    for _ in range(repetitions * 5):
        start = time.perf_counter()
        await endpoint.local.transfer(Item("model"), [weights], 32, pair=0).done
        ours.append((arrived[-1] - start) * 1e3)
        copies.append(timed(lambda: np.array(weights["model"])) * 1e3)
    await endpoint.close()
    mine, theirs = statistics.median(ours), statistics.median(copies)
    name = f"{nbytes / 1e6:.0f} MB model, inproc hand-over, ms vs one copy"
    return Row("14", name, mine, theirs, mine / theirs, "<= 1 ms")


async def interference_rows(wire: Wire, repetitions: int, nbytes: int) -> list[Row]:
    """Row 15: asks while a model transfers, and how long the receiver's loop stood still."""
    weights = model(nbytes)
    idle: list[float] = []
    busy: list[float] = []
    stalls: list[float] = []
    idle_stalls: list[float] = []
    await wire.send_model(weights)
    for _ in range(repetitions):
        await wire.ask("start")
        for _ in range(100):
            start = time.perf_counter()
            await wire.ask("echo")
            idle.append((time.perf_counter() - start) * 1e6)
        idle_stalls.append(await wire.ask("stop") * 1e3)
        await wire.ask("start")
        transfer = asyncio.ensure_future(wire.send_model(weights))
        asks = 0
        while not transfer.done():
            start = time.perf_counter()
            await wire.ask("echo")
            busy.append((time.perf_counter() - start) * 1e6)
            asks += 1
        await transfer
        stalls.append(await wire.ask("stop") * 1e3)
    size = f"{nbytes / 1e6:.0f} MB"
    rest, work = statistics.median(idle), statistics.median(busy)
    stall, idle_stall = statistics.median(stalls), statistics.median(idle_stalls)
    return [
        Row("15", f"ask during a {size} transfer, us vs idle", work, rest, work / rest, "<= 20"),
        Row(
            "15",
            f"receiver's loop stall during a {size} transfer, ms vs idle",
            stall,
            idle_stall,
            stall / max(idle_stall, 1e-3),
            "<= 5 ms",
        ),
    ]


async def measure(repetitions: int, megabytes: int) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="actorfl-") as name:
        directory = Path(name)
        command = [sys.executable, "-m", "benchmarks.transfer", "--peer", name]
        with subprocess.Popen(command) as process:  # noqa: ASYNC220  (started before anything is timed)
            try:
                caller = Caller()
                endpoint = Endpoint(
                    NodeId("caller", 1),
                    cluster="benchmark",
                    item=Item,
                    handler=caller,
                    clock=LoopClock(),
                    rng=SystemRng(),
                )
                await endpoint.open()
                await caller.connect(endpoint, f"ipc://{name}/peer")
                nbytes = megabytes * 1_000_000
                rows = await bandwidth_rows(caller, directory, repetitions, nbytes)
                rows.append(await handover_row(repetitions, nbytes))
                rows += await interference_rows(caller, repetitions, 2 * nbytes)
                await caller.ask("end")
                await endpoint.close()
            except BaseException:
                process.kill()
                raise
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--repetitions", type=int, default=12, help="at least 5; medians are taken")
    parser.add_argument("--megabytes", type=int, default=100, help="size of the model, 1e6 bytes")
    parser.add_argument("--peer", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer is not None:
        uvloop.run(serve(arguments.peer))
        return
    rows = uvloop.run(measure(max(arguments.repetitions, 5), arguments.megabytes))
    print(f"{'row':>4}  {'what':<58} {'ours':>9} {'yardstick':>9} {'ratio':>7}  floor")
    for row in rows:
        print(
            f"{row.row:>4}  {row.name:<58} {row.ours:>9.3g} {row.yardstick:>9.3g} "
            f"{row.ratio:>7.2f}  {row.floor}"
        )
    if arguments.json is not None:
        records = [
            {key: value for key, value in asdict(row).items() if key != "floor"} for row in rows
        ]
        arguments.json.write_text(json.dumps(records, indent=2) + "\n")


if __name__ == "__main__":
    main()
