"""What a worker has of the model for itself: local parts, or a whole model of its own."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from actorfl import checkpoint, config
from actorfl.algorithm import Mine
from actorfl.config import Place
from actorfl.engine import engine_of
from actorfl.errors import RunDirectoryError, WrongValue, nearest
from actorfl.kept import Kept, folder_of
from actorfl.layout import Layout, Vector
from actorfl.parts import ALL_SHARED
from actorfl.registry import SLOTS
from actorfl.split import Buffers, Split, split_of
from actorfl.terms import Array
from actorfl.topology import Topology
from actors import FileStorage, Snapshots

if TYPE_CHECKING:
    from actorfl.run import Run
    from actorfl.task import Task

# Beside what an algorithm keeps under names of its own choice. With a tensor's longest name behind
# it and a clock before it, such a name still travels.
_OWN: Final = "own/"
_PART: Final = "own/part/"
_INTEGER: Final = "own/integer/"


@dataclass(frozen=True)
class Own:
    """What a worker has for itself, and never sends.

    Attributes:
        layout: of the vector: ``Split.own``, or the whole model where the algorithm is personal.
        vector: float32.
        buffers: integer buffers by name.
    """

    layout: Layout
    vector: Vector
    buffers: Buffers

    def beside(self, mine: Mine) -> Mine:
        """This and what the algorithm keeps, as one durable state that names each tensor."""
        parts = {_PART + name: view for name, view in self.layout.views(self.vector).items()}
        integers = {_INTEGER + name: array for name, array in self.buffers.items()}
        return {**mine, **parts, **integers}


def own_tensors(mine: Mine) -> dict[str, Array]:
    """The tensors in a worker's state that are its own, by their names in the ``state_dict``."""
    return {
        name.removeprefix(prefix): np.asarray(value)
        for prefix in (_PART, _INTEGER)
        for name, value in mine.items()
        if name.startswith(prefix)
    }


def taken_apart(mine: Mine, layout: Layout) -> tuple[Own | None, Mine]:
    """What a worker has for itself, and what the algorithm keeps.

    Args:
        mine: the worker's state.
        layout: of what it has for itself.

    Returns:
        None for the first before the worker's first clock.

    Raises:
        LayoutError: the state is of another model.
    """
    tensors = own_tensors(mine)
    if not tensors:
        return None, mine
    integers = {buffer.name for buffer in layout.integers}
    vector = layout.flatten({n: array for n, array in tensors.items() if n not in integers})
    buffers = {name: array for name, array in tensors.items() if name in integers}
    rest = {name: value for name, value in mine.items() if not name.startswith(_OWN)}
    return Own(layout, vector, buffers), rest


def split_for(run: Run, task: Task) -> Split:
    """What of a task's model travels.

    Raises:
        ConfigError: ``parts`` or what the algorithm keeps do not fit the model.
    """
    layout, described = engine_of(task).shape(task)
    if run.parts == ALL_SHARED and not run.algorithm.keeps_tensors:
        return Split(layout, layout, Layout(()))
    return split_of(layout, described(), run.parts, run.algorithm)


def layout_for(run: Run, split: Split) -> Layout:
    """Layout of what each worker has for itself; empty where it has nothing."""
    return split.whole if run.algorithm.personal else split.own


def begun(run: Run, task: Task, split: Split) -> Own:
    """What a worker has for itself before its first clock: of the initial model of the run."""
    initial = engine_of(task).initial(task, run.seed)
    if run.algorithm.personal:
        return Own(split.whole, initial.vector, initial.buffers)
    return Own(split.own, split.own_of(initial.vector), split.own_buffers(initial.buffers))


def personal_model(directory: str | os.PathLike[str], worker: str) -> dict[str, Array]:
    """Read a worker's own model from the directory of a run, finished or not.

    Where the algorithm trains personal models it is that of the worker; else it is the newest
    shared model with the parts that are the worker's own. With ``load_state_dict``::

        model.load_state_dict({n: torch.tensor(a) for n, a in personal_model(run, "w3").items()})

    Not within a running event loop, and only where the worker's state lies in that directory.

    Args:
        directory: of the run.
        worker: its name.

    Returns:
        Tensors by their names in the ``state_dict``, floating ones in float32, tied ones once (then
        load with ``strict=False``).

    Raises:
        RunDirectoryError: there is no such run, or no round of it was begun.
        WrongValue: the run has no such worker.
    """
    where = Path(directory)
    if not (where / "run.toml").is_file():
        raise RunDirectoryError(f"{where} is no directory of a run: there is no run.toml in it")
    # Of a tree the checkpoint knows the aggregators below the root alone.
    return asyncio.run(_read(where, worker, _names(where)))


def _names(directory: Path) -> tuple[str, ...]:
    """The workers of the run in a directory."""
    table = config.read(directory / "run.toml")
    base = Path(str(table["base"]))
    topology: Topology = config.build(
        SLOTS["topology"], table["topology"], Place("run.toml", ("topology",)), base
    )
    return topology.names


async def _read(directory: Path, worker: str, names: tuple[str, ...]) -> dict[str, Array]:
    storage = FileStorage(directory)
    try:
        found = await checkpoint.load(Snapshots(storage, checkpoint.FOLDER, 0))
        if found is None:
            raise RunDirectoryError(f"{directory} holds no model: no round was begun there")
        header, state = found.header, found.state
        if worker not in names:
            hint = nearest(worker, names)
            raise WrongValue.saying(
                f"{directory} has no worker {worker!r}" + (f"; {hint}" if hint else "")
            )
        states = Kept(Snapshots(storage, folder_of(worker), 0))
        await states.restore()
        shared = {**header.layout.views(state.weights), **state.buffers}
        return {
            name: np.array(array)
            for name, array in {**shared, **own_tensors(states.before(header.clock))}.items()
        }
    finally:
        await storage.close()
