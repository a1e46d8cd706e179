"""A simulated process in reserve: it has come up already, so its start takes no time."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from actors.exits import Exit
from actors.spare import SpareLost

if TYPE_CHECKING:
    from actors.sim.simulation import SimChild, SimSpawner, Simulation
    from actors.spawner import ProcessSpec


class SimSpare:
    """A process that is nobody yet; it has no node, so nothing but its end can happen to it."""

    def __init__(self, simulation: Simulation, spec: ProcessSpec, spawner: SimSpawner) -> None:
        self._simulation = simulation
        self._spec = spec
        self._spawner = spawner
        self._ended: asyncio.Future[Exit] = simulation.loop.create_future()
        self._child: SimChild | None = None
        self.pid = simulation.next_pid()
        self.loaded = asyncio.Event()
        self._timer = simulation.loop.call_later(simulation.on.start, self.loaded.set)

    def fits(self, spec: ProcessSpec) -> bool:
        """See ``Spare.fits``."""
        return spec.env == self._spec.env

    async def take(self, spec: ProcessSpec) -> SimChild:
        """See ``Spare.take``."""
        if self._ended.done():
            raise SpareLost(f"the spare process {self.pid} could not become {spec.name}: it died")
        self._child = self._simulation.child(spec, self._spawner, pid=self.pid, start=0.0)
        return self._child

    async def wait(self) -> Exit:
        """See ``Spare.wait``."""
        if self._child is not None:
            return await self._child.wait()
        return await asyncio.shield(self._ended)

    def kill(self) -> None:
        """See ``Spare.kill``."""
        self._timer.cancel()
        if self._child is not None:
            self._child.kill()
        elif not self._ended.done():
            self._simulation.killed += 1
            self._ended.set_result(Exit(signal=signal.SIGKILL))

    def last_lines(self, n: int = 20) -> list[str]:
        """See ``Spare.last_lines``."""
        return []

    def __repr__(self) -> str:
        return f"<SimSpare pid={self.pid} {'loaded' if self.loaded.is_set() else 'loading'}>"
