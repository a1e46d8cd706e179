"""What the launcher of a run has of the outside: the real world, or a simulated one."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from actorfl.rundir import RunDirectory
from actors import Deployment, FileStorage, Simulated, Spawner, Storage, World

if TYPE_CHECKING:
    from actorfl.run import Run
    from actors.sim import Simulation


class Outside:
    """The world of a run's launcher.

    A simulated run has a disk of its own, which begins as a copy of the directory and is laid back
    into it at the end.

    Args:
        run: to be carried out.
        on: where.
        directory: of the run.
        spawner: starts its processes; the usual one where not given.

    Attributes:
        world: of the launcher's node.
        storage: the directory, as the actors see it.
        simulation: the simulated world, or None.
    """

    def __init__(
        self, run: Run, on: Deployment, directory: RunDirectory, spawner: Spawner | None = None
    ) -> None:
        self._directory = directory
        self._stack = ExitStack()
        self.simulation: Simulation | None = None
        self.storage: Storage
        if isinstance(on, Simulated):
            from actors.sim import Disk, Simulation

            self.simulation = Simulation(
                on, Disk.of(directory.path, directory.snapshots.name, directory.metrics.name)
            )
            self._stack.enter_context(self.simulation.running())
            self.world = self.simulation.world(run.name)
            assert self.world.storage is not None
            self.storage = self.world.storage
        else:
            self.storage = FileStorage(directory.path, durability=run.durability)
            self.world = World(storage=self.storage)
            if spawner is not None:
                self.world.spawner = spawner

    async def close(self) -> None:
        """The end of the run."""
        self._stack.close()
        await self.storage.close()
        if self.simulation is not None:
            self.simulation.disk.write_to(self._directory.path)
