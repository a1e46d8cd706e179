"""What a task computes with: torch, or another library in whose processes torch is never loaded."""

from __future__ import annotations

import functools
import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from actorfl.fingerprint import Fingerprint
    from actorfl.fitresult import FitResult, GradientHook
    from actorfl.flatmodel import Buffers, Model
    from actorfl.layout import Layout, Vector
    from actorfl.local import SGD, Gradients
    from actorfl.mean import Mean
    from actorfl.parts import TensorInfo
    from actorfl.task import Dataset, Task


class Engine(ABC):
    """All that a run asks of the library that trains its task; called in the training lane.

    Attributes:
        needs: modules without which a run is refused, each with the extra that brings it.
        loads: modules that a worker loads before it computes.
        light: whether its jobs take microseconds, draw from no generator of the process and need no
            thread of their own, so that a node may compute them where it is.
    """

    needs: ClassVar[Sequence[tuple[str, str]]]
    loads: ClassVar[tuple[str, ...]]
    light: ClassVar[bool] = False

    @abstractmethod
    def prepare(self, threads: int, seed: int) -> None:
        """Bring the calling thread into the state from which each job starts.

        Args:
            threads: that the library uses within a job, >= 1.
            seed: from which its generators start.
        """

    @abstractmethod
    def seed(self, seed: int) -> None:
        """Seed the process-wide generators."""

    @abstractmethod
    def fingerprint(self) -> Fingerprint:
        """What decides the bits of a fit in this process."""

    @abstractmethod
    def subset(self, data: Dataset, indices: NDArray[np.int64]) -> Dataset:
        """Select examples."""

    @abstractmethod
    def split(self, data: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
        """Hold out a part of a worker's data, see ``batches.split``."""

    @abstractmethod
    def joined(self, datasets: Sequence[Dataset]) -> Dataset:
        """Put several datasets of one task after one another."""

    def check(self, task: Task, data: Dataset, worker: str) -> None:
        """Refuse what cannot be a worker's data; here nothing.

        Args:
            task: whose data they are.
            data: as the task loaded them, or as they were dealt out.
            worker: its name.

        Raises:
            ConfigError: what is wrong with them.
        """
        del task, data, worker

    @abstractmethod
    def initial(self, task: Task, run_seed: int) -> Model:
        """The initial model of a run (purpose "init")."""

    @abstractmethod
    def shape(self, task: Task) -> tuple[Layout, Callable[[], tuple[TensorInfo, ...]]]:
        """The layout of a task's model, and what describes its tensors to patterns."""

    @abstractmethod
    def fit(
        self,
        task: Task,
        data: Dataset,
        start: Vector,
        buffers: Buffers,
        *,
        local: SGD,
        seed: int,
        hook: GradientHook | None = None,
        still: Collection[str] = (),
        needed_by: str = "",
    ) -> FitResult:
        """Train a model on a worker's data, see ``fit.fit``."""

    @abstractmethod
    def gradient(
        self,
        task: Task,
        data: Dataset,
        start: Vector,
        buffers: Buffers,
        *,
        local: Gradients,
        clock: int,
        seed: int,
        order_seed: Callable[[int], int],
        hook: GradientHook | None = None,
    ) -> FitResult:
        """Compute the gradient of a clock, see ``fit.gradient``."""

    def update(self, task: Task, data: Dataset, local: SGD, part_of: NDArray[np.intp]) -> Update:
        """How a node trains under gossip; by default one local loop, whatever the model's age.

        Args:
            task: what is learned.
            data: of the node.
            local: the settings of the local loop.
            part_of: for each coordinate of the model the place of its age.
        """
        return _Loop(self, task, data, local, part_of)

    @abstractmethod
    def evaluate(
        self, task: Task, vector: Vector, buffers: Buffers, data: Dataset
    ) -> dict[str, Mean]:
        """Measure a model, ``loss`` first."""


Update: TypeAlias = Callable[
    ["Vector", NDArray[np.float64], np.random.Generator], tuple["Vector", NDArray[np.float64]]
]
"""A node's training under gossip: (model, ages of its parts and last its own, draws) -> (model and
ages after). An age is a number of examples; what goes in is left alone."""


class _Loop:
    """The local loop of an engine, which makes all parts older by the examples gone through."""

    def __init__(
        self, engine: Engine, task: Task, data: Dataset, local: SGD, part_of: NDArray[np.intp]
    ) -> None:
        del part_of
        self._engine = engine
        self._task = task
        self._data = data
        self._local = local
        self._buffers: Buffers | None = None

    def __call__(
        self, weights: Vector, ages: NDArray[np.float64], draw: np.random.Generator
    ) -> tuple[Vector, NDArray[np.float64]]:
        if self._buffers is None:
            self._buffers = self._engine.initial(self._task, 0).buffers
        result = self._engine.fit(
            self._task, self._data, weights, self._buffers, local=self._local,
            seed=int(draw.integers(2**63)),
        )  # fmt: skip
        self._buffers = result.buffers
        return result.vector, ages + self._local.examples_of(result.examples)


def engine_of(task: Task) -> Engine:
    """The engine of a task, one for all tasks of a kind in a process."""
    return _made(type(task).engine)


@functools.cache
def _made(place: str) -> Engine:
    module, _, name = place.partition(":")
    made = getattr(importlib.import_module(module), name)()
    assert isinstance(made, Engine)
    return made
