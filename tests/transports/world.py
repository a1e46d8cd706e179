"""What the tests of the transports share: a message, a recording handler, nodes on real sockets."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import zmq

from transports.clock import Clock, LoopClock
from transports.endpoint import Endpoint
from transports.identity import NodeId
from transports.landing import LandingPool
from transports.lane import Lost
from transports.limits import Limits
from transports.link import Link
from transports.noise import Noise, NoisyEndpoint
from transports.port import Port
from transports.rng import SeededRng
from transports.sockets import Context
from transports.weights import Weights

LIMIT = 10.0
"""Seconds that a test waits for what must come; far above what it takes."""

_incarnations = itertools.count(1)


class Note(msgspec.Struct, array_like=True):
    """A message: a number and some bytes."""

    number: int
    body: bytes = b""


class Recorder:
    """A handler that keeps what it was told, and lets a test wait for it."""

    def __init__(self) -> None:
        self.items: list[Note] = []
        self.transfers: list[tuple[Note, list[Weights]]] = []
        self.ups: list[Link[Note]] = []
        self.downs: list[tuple[str, str, Lost]] = []
        self.pool = LandingPool(buffers=2)
        self.refusal: str | None = None
        self.admitted: list[NodeId] = []
        self.react: Callable[[Link[Note], list[Note]], object] | None = None
        self._news = asyncio.Event()

    def admit(self, peer: NodeId) -> str | None:
        self.admitted.append(peer)
        return self.refusal

    def on_up(self, link: Link[Note]) -> None:
        self.ups.append(link)
        self._news.set()

    def on_down(self, link: Link[Note], reason: str, lost: Lost) -> None:
        self.downs.append((link.state, reason, lost))
        self._news.set()

    def on_items(self, link: Link[Note], items: list[Note]) -> None:
        self.items.extend(items)
        self._news.set()
        if self.react is not None:
            self.react(link, items)

    def landing(self, link: Link[Note], item: Note, nbytes: int) -> LandingPool:
        return self.pool

    def on_transfer(self, link: Link[Note], item: Note, weights: list[Weights]) -> None:
        self.transfers.append((item, weights))
        self._news.set()

    @property
    def numbers(self) -> list[int]:
        return [item.number for item in self.items]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds; it is looked at after each callback."""

        async def look() -> None:
            while not condition():
                self._news.clear()
                await self._news.wait()

        await asyncio.wait_for(look(), LIMIT)


class Node:
    """An endpoint and its recorder."""

    def __init__(self, endpoint: Endpoint[Note], recorder: Recorder) -> None:
        self.endpoint = endpoint
        self.recorder = recorder
        self.id = endpoint.node

    @property
    def refused(self) -> dict[str, int]:
        return dict(self.endpoint.statistics().refused)


def free_ports() -> tuple[int, int]:
    """Two ports that nobody listens at now."""
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


class World:
    """Nodes of one test; closes them all."""

    def __init__(self, directory: Path, scheme: str) -> None:
        self.directory = directory
        self.scheme = scheme
        self.noise: Noise | None = None
        self.nodes: list[Node] = []
        self.opened: list[Port] = []
        self.incarnations = _incarnations
        self._ports: dict[str, tuple[int, int]] = {}
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()

    def context(self, name: str) -> Context:
        """Where the sockets of a node come from."""
        return self._context

    def clock(self) -> Clock:
        """What time it is for a node."""
        return LoopClock()

    async def node(self, name: str, limits: Limits | None = None, cluster: str = "test") -> Node:
        incarnation = next(self.incarnations)
        recorder = Recorder()
        noisy = {} if self.noise is None else {"noise": self.noise}
        endpoint: Endpoint[Note] = (NoisyEndpoint if noisy else Endpoint)(
            NodeId(name, incarnation),
            cluster=cluster,
            item=Note,
            handler=recorder,
            clock=self.clock(),
            rng=SeededRng(incarnation),
            limits=limits,
            context=self.context(name),
            **noisy,  # type: ignore[arg-type]  # of the one that takes it
        )
        await endpoint.open()
        node = Node(endpoint, recorder)
        self.nodes.append(node)
        return node

    def address(self, name: str) -> str:
        if self.scheme == "ipc":
            return f"ipc://{self.directory}/{name}"
        if self.scheme == "tcp":
            # Known before anybody listens there, as the ports of a configuration are.
            if name not in self._ports:
                self._ports[name] = free_ports()
            return "tcp://127.0.0.1:{},{}".format(*self._ports[name])
        return f"{self.scheme}://{name}"

    async def pair(
        self, limits: Limits | None = None, other_limits: Limits | None = None
    ) -> tuple[Node, Node, Link[Note], Link[Note]]:
        """Two nodes, the first dialled the second, both links up."""
        one = await self.node("a", limits)
        two = await self.node("b", other_limits or limits)
        address = await two.endpoint.listen(self.address("b"))
        there = one.endpoint.dial(two.id, address)
        await one.recorder.until(lambda: one.recorder.ups)
        await two.recorder.until(lambda: two.recorder.ups)
        return one, two, there, two.recorder.ups[0]

    async def close(self) -> None:
        for node in self.nodes:
            await node.endpoint.close(linger=0.0)
        for port in self.opened:
            port.close()
        self._context.destroy(linger=0)


def arrays(nbytes: int, seed: int = 0) -> Weights:
    """Random weights of about ``nbytes`` bytes in two arrays."""
    rng = np.random.default_rng(seed)
    first: Any = rng.integers(0, 255, nbytes // 2, dtype=np.uint8)
    second: Any = rng.integers(0, 2**31, (nbytes - nbytes // 2) // 8, dtype=np.int64)
    return Weights.of({"first": first, "second": second})


async def finished(*futures: asyncio.Future[None]) -> None:
    """Wait for futures, with a limit."""
    await asyncio.wait_for(asyncio.gather(*futures), LIMIT)


async def eventually(condition: Callable[[], object]) -> None:
    """Wait for what nothing announces, with a limit."""
    for _ in range(round(LIMIT * 1000)):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise TimeoutError
