"""Actors without a task: they cost little, start at once, and end with their loop all the same."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from actors import ending
from actors.cell import CURRENT, Cell

if TYPE_CHECKING:
    from actors.system import ActorSystem

_TURN: Final = 64
"""Actors started before others get a turn: about a millisecond, as for messages."""


class Idling:
    """Of one system: starts its actors, and ends those that have no task.

    Where everything on a loop is cancelled, at its end or when a simulated node crashes, an actor
    that has a task learns it by that. For the others one task does, which waits for nothing else;
    it is there as long as there may be such actors.
    """

    __slots__ = ("_over", "_starts", "_system", "_task")

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._starts = 0
        self._over: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self, cell: Cell) -> None:
        """Have an actor begin, and wait until it has started.

        Raises:
            SpawnFailed: its constructor or ``on_start`` raised, or it was stopped before.
        """
        cell.begin()
        if not cell.has_started:
            await cell.started
            return
        self._starts += 1
        if self._starts % _TURN == 0:
            await asyncio.sleep(0)

    def begin(self) -> None:
        """There is an actor without a task."""
        if self._task is None:
            loop = asyncio.get_running_loop()
            self._over = loop.create_future()
            name = f"idle actors of {self._system.name}"
            self._task = loop.create_task(self._wait(self._over), name=name)

    def end(self) -> None:
        """There are no actors any more."""
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    async def _wait(self, over: asyncio.Future[None]) -> None:
        CURRENT.set(None)  # it was begun by the first such actor, and is none of it
        try:
            await over
        except asyncio.CancelledError:
            for cell in tuple(self._system.cells.values()):
                if cell.task is None:
                    ending.finish(cell, ending.LOOP_ENDED)
                if cell.task is not None:  # perhaps given to it by what has just ended
                    cell.task.cancel()
            raise

    def __repr__(self) -> str:
        return f"<Idling of {self._system.name}, {self._starts} started at once>"
