"""Bugs of who is woken: one that never is, and one by what its predecessor had set."""

from __future__ import annotations

import asyncio
import contextlib

from actorfl.protocol import Go, Wait
from actorfl.worker import Worker
from actors import Actor, ActorGraph, AskError, Message, Process, Simulated, one_for_one
from actors.crashpoints import crash_point
from actors.testing.chaos import Evidence, Scenario
from actors.timers import Timers

# -- lost wake-up ----------------------------------------------------------------------------------


class SleepsUntilWoken(Worker):
    """Told to wait it asks no more, and counts on the one message that would wake it."""

    _sleeps = False

    def wait(self, message: Wait) -> None:
        super().wait(message)
        self._sleeps = True

    async def go(self, message: Go) -> None:
        self._sleeps = False
        await super().go(message)

    def _ask(self) -> None:
        if not self._sleeps:
            super()._ask()


# -- timer of a dead incarnation -------------------------------------------------------------------

#: Seconds that water takes to boil; longer than a restart does.
BOILS = 0.5
TIMES = 4


class Boil(Message[None]):
    pass


class Boiled(Message[None]):
    by: int


class Look(Message[tuple[tuple[int, int], ...]]):
    """Whose water boiled: which incarnation had put it on, and which one was told."""


class Kettle(Actor):
    """Puts water on when it is told, and notes when it boils."""

    def __init__(self) -> None:
        self._boiled: list[tuple[int, int]] = []

    def boil(self, message: Boil) -> None:
        # A key for each incarnation: what one has set takes nobody else's place.
        self.timers.start(f"water {self.restarts}", Boiled(self.restarts), after=BOILS)
        crash_point("kettle.on")

    def boiled(self, message: Boiled) -> None:
        self._boiled.append((message.by, self.restarts))

    def look(self, message: Look) -> tuple[tuple[int, int], ...]:
        return tuple(self._boiled)


class Undying(Timers):
    """What one was to be told is told, whoever lives then."""

    def cancel_all(self) -> None:
        pass


class Haunted(Kettle):
    """Its timers outlive it."""

    def __init__(self) -> None:
        super().__init__()
        if not isinstance(self.timers, Undying):
            self._cell._timers = Undying(self.clock, self._cell.deliver)


def kettle(cls: type[Kettle]) -> Scenario[tuple[tuple[int, int], ...]]:
    """Water is put on again and again."""

    async def play(on: Simulated) -> tuple[tuple[int, int], ...]:
        graph = ActorGraph("kitchen")
        with graph.supervisor("cooks", one_for_one(100, per=60), place=Process()):
            graph.actor("kettle", cls)
        seen: tuple[tuple[int, int], ...] = ()
        async with graph.start(on=on) as live:
            for _ in range(TIMES):
                live["kettle"].tell(Boil())
                await asyncio.sleep(2 * BOILS)
                with contextlib.suppress(AskError):  # it is down, or cannot be reached
                    seen += await live["kettle"].ask(Look(), timeout=1.0)
        return seen

    return Scenario(
        play, ("p0",), (no_timer_outlives_who_set_it,), on=Simulated(1),
        points={"kettle.on": ("p0",)},
    )  # fmt: skip


def no_timer_outlives_who_set_it(evidence: Evidence[tuple[tuple[int, int], ...]]) -> str | None:
    """Nobody is told what one before him was to be told."""
    for by, told in evidence.result or ():
        if by != told:
            return f"incarnation {told} was told that the water of {by} boils"
    return None
