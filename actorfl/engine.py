"""What a task computes with: torch, or another library in whose processes torch is never loaded."""

from __future__ import annotations

import functools
import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, ClassVar

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
    """

    needs: ClassVar[Sequence[tuple[str, str]]]
    loads: ClassVar[tuple[str, ...]]

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

    @abstractmethod
    def evaluate(
        self, task: Task, vector: Vector, buffers: Buffers, data: Dataset
    ) -> dict[str, Mean]:
        """Measure a model, ``loss`` first."""


def engine_of(task: Task) -> Engine:
    """The engine of a task, one for all tasks of a kind in a process."""
    return _made(type(task).engine)


@functools.cache
def _made(place: str) -> Engine:
    module, _, name = place.partition(":")
    made = getattr(importlib.import_module(module), name)()
    assert isinstance(made, Engine)
    return made
