"""Actors whose nodes suffer a fault plan, and tell what they notice of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import actors
from actors import (
    Actor,
    ActorGraph,
    ActorRef,
    Backoff,
    Message,
    Process,
    Processes,
    Simulated,
    StorageError,
    one_for_one,
)

T = TypeVar("T")


class Look(Message[dict[str, str]]):
    """What the node has of the outside."""


class Counts(Message[dict[str, int]]):
    """How often each kind of fault took effect there."""


class Now(Message[float]):
    """What its clock shows."""


class Save(Message[str]):
    """Write a file; what became of it."""

    name: str
    content: bytes = b"new"


class Load(Message[bytes | None]):
    name: str


class Compute(Message[float]):
    """Compute for a tenth of a second; how long that took."""


class Hello(Message[str]):
    pass


class HelloToPeer(Message[str]):
    pass


def surroundings(world: actors.World) -> dict[str, str]:
    names = ("faults", "noise", "storage", "clock")
    return {name: type(getattr(world, name)).__name__ for name in names}


class Subject(Actor):
    def __init__(self, peer: ActorRef | None = None) -> None:
        self._peer = peer

    @property
    def _world(self) -> actors.World:
        return self._cell.system.world

    def look(self, message: Look) -> dict[str, str]:
        return surroundings(self._world)

    def counts(self, message: Counts) -> dict[str, int]:
        return dict(self._world.fault_counts)

    def now(self, message: Now) -> float:
        return self._world.clock.now()

    async def save(self, message: Save) -> str:
        assert self._world.storage is not None
        try:
            await self._world.storage.write(message.name, [message.content, message.content])
        except StorageError as error:
            return str(error)
        return "saved"

    async def load(self, message: Load) -> bytes | None:
        assert self._world.storage is not None
        return await self._world.storage.read(message.name)

    async def compute(self, message: Compute) -> float:
        work, clock = self._world.work, self._world.clock
        began = clock.now()
        if work is not None:
            await work.run(lambda: None)
        else:
            used = time.process_time()
            while time.process_time() - used < 0.1:
                pass
        return clock.now() - began

    def hello(self, message: Hello) -> str:
        return "hello"

    async def hello_to_peer(self, message: HelloToPeer) -> str:
        assert self._peer is not None
        return await self._peer.ask(Hello(), timeout=0.5)


def pair(*, apart: bool = True) -> ActorGraph:
    """Actors "a" and "b" in processes p0 and p1, of which b knows a."""
    graph = ActorGraph("pair")
    with graph.supervisor("root", one_for_one(10, backoff=Backoff(0.05))):
        a = graph.actor("a", Subject, place=Process("p0"))
        graph.actor("b", Subject, peer=a, place=Process("p1" if apart else "p0"))
    return graph


def carried_out(main: Callable[[], Coroutine[Any, Any, T]], on: Processes | Simulated) -> T:
    """Run a test in the time of a deployment."""
    return actors.run(main(), on=on if isinstance(on, Simulated) else None)


async def until_answered(actor: ActorRef, message: Message[T], limit: float = 30.0) -> T:
    """Ask again until there is an answer."""
    async with asyncio.timeout(limit):
        while True:
            try:
                return await actor.ask(message, timeout=1.0)
            except actors.AskError:
                await asyncio.sleep(0.05)
