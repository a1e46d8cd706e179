"""Carries out one way of dying under each strategy and restart type at once, and says what was."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import actors
from actors import (
    ActorGraph,
    ActorRef,
    ActorRestarted,
    AskError,
    Backoff,
    Inline,
    Live,
    Process,
    Processes,
    Simulated,
    one_for_all,
    one_for_one,
    rest_for_one,
)
from actors.sim import Simulation
from actors.supervision import RestartType
from tests.actors.supervision.cast import (
    BlockingVictim,
    Die,
    Hold,
    Host,
    Inner,
    Mark,
    Notes,
    Ping,
    Scribe,
    Seen,
    Sibling,
    Victim,
    Watch,
    Watcher,
    begun,
    made,
)

STRATEGIES = {
    "one_for_one": one_for_one,
    "one_for_all": one_for_all,
    "rest_for_one": rest_for_one,
}
RESTARTS: tuple[RestartType, ...] = ("permanent", "transient", "temporary")
WITHIN = (
    "raise", "constructor", "on_start", "on_stop", "stop", "SystemExit", "KeyboardInterrupt",
    "MemoryError", "CancelledError",
)  # fmt: skip
OUTSIDE = ("SIGKILL", "SIGSTOP")
#: These take the interpreter along, which a simulation shares with its nodes.
OWN = ("os._exit", "segmentation fault")
LETHAL = (*OUTSIDE, *OWN)
PLACEMENTS = ("inline", "thread", "process")
#: Seconds that everything of a cell may take.
LIMIT = 60.0


@dataclass
class Outcome:
    """What was seen of one cell of the table.

    Attributes:
        restarted: names of the actors that were restarted, in order.
        notes: what instances did, in order.
        seen: causes of what the watcher of the victim was told.
        dying: how the ask ended that the victim died of.
        queued: how the ask ended that waited behind it.
        stages: of the supervisor's children at the end, by name.
    """

    restarted: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    dying: str = ""
    queued: str = ""
    stages: dict[str, str] = field(default_factory=dict)


def cells() -> list[tuple[str, RestartType]]:
    """Strategy and restart type of each cell that one run has."""
    return [(strategy, restart) for strategy in STRATEGIES for restart in RESTARTS]


@functools.cache
def outcomes(way: str, placement: str, world: str) -> dict[tuple[str, RestartType], Outcome]:
    """Have nine victims die in that way, one under each strategy and restart type."""
    made.clear()
    begun.clear()
    on: Inline | Processes | Simulated
    if world == "simulated":
        on = Simulated(2)
    elif placement == "process" or way in LETHAL:
        on = Processes(1)
    else:
        on = Inline()
    return actors.run(_Table(way, placement, on).run(), on=on)


class _Table:
    def __init__(self, way: str, placement: str, on: Inline | Processes | Simulated) -> None:
        self.way = way
        self.on = on
        self.cls: Any = {"inline": Victim, "thread": BlockingVictim, "process": Victim}[placement]
        self.hosted = placement == "inline" and way in LETHAL
        self.away = placement == "process" or way in LETHAL
        self.restarts: list[str] = []

    def place(self, cell: str) -> Process | None:
        """A process of its own only where it takes that along: starting one takes its time."""
        if not self.away:
            return None
        return Process(cell if self.way in LETHAL else "together")

    async def run(self) -> dict[tuple[str, RestartType], Outcome]:
        graph = ActorGraph("table")
        with graph.supervisor("outside"):
            scribe = graph.actor("scribe", Scribe)
            for strategy, restart in cells():
                graph.actor(f"w-{strategy}-{restart}", Watcher)
        for strategy, restart in cells():
            cell = f"{strategy}-{restart}"
            rule = STRATEGIES[strategy](3, outside=3, backoff=Backoff(0.0))
            with graph.supervisor(cell, rule):
                graph.actor(f"a-{cell}", Sibling, scribe=scribe, cell=cell, name="a")
                graph.actor(
                    f"v-{cell}", Host if self.hosted else self.cls, place=self.place(cell),
                    restart=restart, scribe=scribe, cell=cell, way=self.way,
                )  # fmt: skip
                graph.actor(f"c-{cell}", Sibling, scribe=scribe, cell=cell, name="c")
        limit = 1.0 if self.way == "SIGSTOP" else None
        async with asyncio.timeout(LIMIT):
            if isinstance(self.on, Simulated):
                with Simulation(self.on).running() as simulation:
                    self.freeze: Callable[[Live, str], None] = lambda _, node: (
                        simulation.network.freeze(node)
                    )
                    world = simulation.world("table")
                    async with graph.start(self.on, world=world, stuck_after=limit) as live:
                        return await self.all_die(live)
            self.freeze = _freeze
            async with graph.start(self.on, stuck_after=limit) as live:
                return await self.all_die(live)

    async def all_die(self, live: Live) -> dict[tuple[str, RestartType], Outcome]:
        live.system.events.subscribe(ActorRestarted, lambda event: self.restarts.append(event.path))
        runs: list[Coroutine[Any, Any, Outcome]] = [
            self.dies(live, strategy, restart) for strategy, restart in cells()
        ]
        found = await asyncio.gather(*runs)
        notes = await live["scribe"].ask(Notes(), timeout=10)
        for (strategy, restart), outcome in zip(cells(), found, strict=True):
            cell = f"{strategy}-{restart}"
            outcome.notes = notes[cell]
            outcome.restarted = [
                name.rsplit("/", 1)[1][0] for name in self.restarts if name.startswith(f"/{cell}/")
            ]
        return dict(zip(cells(), found, strict=True))

    async def dies(self, live: Live, strategy: str, restart: RestartType) -> Outcome:
        cell = f"{strategy}-{restart}"
        outcome = Outcome()
        victim = live[f"v-{cell}"]
        if self.hosted:
            victim = await victim.ask(Inner(), timeout=30)
        await victim.ask(Ping(), timeout=30)
        watcher = live[f"w-{cell}"]
        await watcher.ask(Watch(victim), timeout=10)
        way: Die | Hold = Hold() if self.way in OUTSIDE else Die(self.way)
        dying = asyncio.ensure_future(_end(victim, way))
        await asyncio.sleep(0)
        victim.tell(Mark())
        queued = asyncio.ensure_future(_end(victim, Ping()))
        await asyncio.sleep(0)
        if self.way == "SIGKILL":
            assert live.processes is not None
            live.processes.kill(cell)
        elif self.way == "SIGSTOP":
            self.freeze(live, cell)
        outcome.dying, outcome.queued = await dying, await queued
        outcome.stages = await self.settled(live, cell)
        outcome.seen = await watcher.ask(Seen(), timeout=10)
        return outcome

    async def settled(self, live: Live, cell: str) -> dict[str, str]:
        """Wait until the supervisor has done what it had to, and all that live answer."""
        children = live.children(cell)
        while True:
            known = {record.name[0]: record for record in await children.list()}
            if self._as_expected(cell, known):
                break
            await asyncio.sleep(0.01)
        for record in known.values():
            if not (self.hosted and record.name[0] == "v"):
                await record.ref.ask(Ping(), timeout=30)
            else:
                await record.ref.ask(Inner(), timeout=30)
        return {name: record.stage for name, record in known.items()}

    def _as_expected(self, cell: str, known: dict[str, Any]) -> bool:
        """Whether nothing is on its way; a test that waits for too much ends by its limit."""
        if any(record.stage != "up" for record in known.values()):
            return False
        restart = cell.rsplit("-", 1)[1]
        comes_back = restart == "permanent" or (restart == "transient" and self.way != "stop")
        return ("v" in known and known["v"].restarts > 0) if comes_back else "v" not in known


def _freeze(live: Live, node: str) -> None:
    assert live.processes is not None
    pid = live.processes.pid(node)
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)


async def _end(ref: ActorRef, message: Any) -> str:
    """How an ask ended, in a word."""
    try:
        answer = await ref.ask(message, timeout=40)
    except AskError as error:
        return type(error).__name__
    return str(answer)
