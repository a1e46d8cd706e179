"""Bugs of who may run ahead: workers ask a keeper of the clocks before they begin one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from actorfl.chaos import laws
from actorfl.sync import BSP, Sync, within
from actors import (
    Actor,
    ActorGraph,
    ActorRef,
    Backoff,
    Message,
    Process,
    Simulated,
    one_for_one,
)
from actors.testing.chaos import Evidence, Scenario

ROSTER = ("w0", "w1", "w2")
CLOCKS = 6
#: Seconds of a clock; a worker that is killed is more than a clock behind when it is back.
COMPUTES = 0.1
#: And between two times that it asks.
ASKS = 0.03

Step = tuple[Literal["starts", "ends"], str, int]


# -- off by one in `admits` ------------------------------------------------------------------------


@dataclass(frozen=True)
class Stale(BSP):
    """SSP: who is ahead by no more than the bound may go on."""

    bound: int = 1

    def admits(self, clock: int, clocks: Mapping[str, int]) -> bool:
        return within(clock, clocks, self.bound)


@dataclass(frozen=True)
class OffByOne(Stale):
    """Looks at how far ahead a worker is, not at how far it will be."""

    def admits(self, clock: int, clocks: Mapping[str, int]) -> bool:
        return within(clock - 1, clocks, self.bound)


# -- the scenario ----------------------------------------------------------------------------------


class Ready(Message[None]):
    """A worker has completed so many clocks, as far as it knows."""

    worker: str
    completed: int
    me: ActorRef


class Go(Message[None]):
    clock: int


class Ask(Message[None]):
    pass


class Computed(Message[None]):
    clock: int


class Keeper(Actor):
    """Owns the clocks, as an aggregator does; who is not let go on asks again."""

    def __init__(self, sync: Sync, note: Callable[[Step], None], ended: Callable[[], None]) -> None:
        self._sync = sync
        self._note = note
        self._ended = ended
        self._clocks = dict.fromkeys(ROSTER, 0)

    def ready(self, message: Ready) -> None:
        worker, completed = message.worker, message.completed
        if completed > self._clocks[worker]:
            self._clocks[worker] = completed
            self._note(("ends", worker, completed - 1))
        clock = self._clocks[worker]
        if clock == CLOCKS:
            if min(self._clocks.values()) == CLOCKS:
                self._ended()
        elif self._sync.admits(clock, self._clocks):
            self._note(("starts", worker, clock))
            message.me.tell(Go(clock))


class Runner(Actor):
    """Computes one clock after the other, and asks until it may."""

    def __init__(self, *, name: str, keeper: ActorRef) -> None:
        self._name = name
        self._keeper = keeper
        self._completed = 0

    async def on_start(self) -> None:
        self.timers.start("ask", Ask(), after=0.0, every=ASKS)

    def ask(self, message: Ask) -> None:
        if not self.timers.is_active("compute"):
            self._keeper.tell(Ready(self._name, self._completed, self.ref))

    def go(self, message: Go) -> None:
        if message.clock >= self._completed and not self.timers.is_active("compute"):
            self.timers.start("compute", Computed(message.clock), after=COMPUTES)

    def computed(self, message: Computed) -> None:
        self._completed = message.clock + 1
        self._keeper.tell(Ready(self._name, self._completed, self.ref))


def running(sync: Stale) -> Scenario[list[Step]]:
    """Workers compute as fast as they may."""

    async def play(on: Simulated) -> list[Step]:
        steps: list[Step] = []
        ended = asyncio.Event()
        graph = ActorGraph("running")
        with graph.supervisor("all", one_for_one(100, per=60, backoff=Backoff(0.05))):
            keeper = graph.actor("keeper", Keeper, sync=sync, note=steps.append, ended=ended.set)
            for name in ROSTER:
                graph.actor(name, Runner, place=Process(name), name=name, keeper=keeper)
        async with graph.start(on=on):
            await ended.wait()
        return steps

    def nobody_is_too_far_ahead(evidence: Evidence[list[Step]]) -> str | None:
        started = {
            (worker, clock) for what, worker, clock in evidence.result or () if what == "starts"
        }
        if len(started) < len(ROSTER) * CLOCKS:
            return "not every clock was started"
        return laws.staleness_is_bounded(evidence.result or (), ROSTER, sync.bound)

    return Scenario(play, ROSTER, (nobody_is_too_far_ahead,), on=Simulated(1))
