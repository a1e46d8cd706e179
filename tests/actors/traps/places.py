"""Where the traps are set: in virtual time, in this process, and over real processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Generic, TypeVar

from actors import (
    ActorGraph,
    ActorRef,
    ActorSystem,
    AskError,
    Event,
    Inline,
    Message,
    Processes,
    Simulated,
)
from actors.deploy import Deployment
from actors.live import Live
from actors.sim import Simulation
from actors.world import World
from transports import Limits

E = TypeVar("E", bound=Event)
T = TypeVar("T")

SIMULATED = Simulated(2)
INLINE = Inline()
PROCESSES = Processes(2)

#: Seconds that anything may take on a busy machine; virtual ones where time is.
LIMIT = 30.0


def virtual(on: Deployment) -> bool:
    """Whether time is exact there."""
    return isinstance(on, Simulated)


class Heard(Generic[E]):
    """The events of a kind, and when they came."""

    def __init__(self, kind: type[E]) -> None:
        self.kind = kind
        self.events: list[E] = []
        self.times: list[float] = []
        self._news = asyncio.Event()

    def __call__(self, event: E) -> None:
        self.events.append(event)
        self.times.append(asyncio.get_running_loop().time())
        self._news.set()

    async def until(self, enough: Callable[[list[E]], bool]) -> list[E]:
        """Wait until they are enough."""
        async with asyncio.timeout(LIMIT):
            while not enough(self.events):
                self._news.clear()
                await self._news.wait()
        return self.events

    async def number(self, count: int) -> list[E]:
        """Wait for so many."""
        return await self.until(lambda events: len(events) >= count)


@asynccontextmanager
async def alone(on: Deployment) -> AsyncIterator[ActorSystem]:
    """One node without others."""
    async with asyncio.timeout(2 * LIMIT):
        if isinstance(on, Simulated):
            with Simulation(on).running() as simulation:
                async with ActorSystem("here", world=simulation.world("here")) as system:
                    yield system
        else:
            async with ActorSystem("here") as system:
                yield system


@asynccontextmanager
async def worlds(on: Deployment, limits: Limits) -> AsyncIterator[World]:
    """The launcher's world, with limits of its own."""
    if isinstance(on, Simulated):
        with Simulation(on).running() as simulation:
            yield replace(simulation.world("launcher"), limits=limits)
    else:
        yield World(limits=limits)


@asynccontextmanager
async def started(
    graph: ActorGraph, on: Deployment, *heard: Heard[Any], **options: Any
) -> AsyncIterator[Live]:
    """A graph under way; what is heard of it from its first moment."""

    def before(system: ActorSystem) -> None:
        for one in heard:
            system.events.subscribe(one.kind, one)

    async with graph.start(on, before=before, **options) as live:
        yield live


async def answered(ref: ActorRef, message: Message[T]) -> T:
    """The answer to an ask, asked again while a restart is under way."""
    async with asyncio.timeout(LIMIT):
        while True:
            try:
                return await ref.ask(message, timeout=10)
            except AskError:
                await asyncio.sleep(0.005)  # a poll under a limit
