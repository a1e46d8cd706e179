"""The engine of echo-state networks: numpy alone."""

from __future__ import annotations

import contextlib
import os
import platform
import random
from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar, NoReturn

import numpy as np
from numpy.typing import NDArray

from actorfl.arrays import needed, size_of
from actorfl.engine import Engine
from actorfl.errors import BeyondHelp, Misfit, WrongValue
from actorfl.esn.form import Form
from actorfl.esn.limbs import BeyondLimbs
from actorfl.esn.moments import Moments
from actorfl.esn.reservoir import Floats, washed
from actorfl.esn.task import EchoStateTask, columns_of
from actorfl.estimators import probe_of_numpy
from actorfl.fingerprint import Fingerprint, settings
from actorfl.fitresult import FitResult, GradientHook
from actorfl.flatmodel import Buffers, Model
from actorfl.hashing import hash_of
from actorfl.layout import Layout, Vector
from actorfl.local import SGD
from actorfl.mean import Mean
from actorfl.parts import TensorInfo
from actorfl.task import Dataset, Task


class Reservoirs(Engine):
    """See ``EchoStateTask``. A fit takes the moments of a worker's states; nothing is drawn."""

    needs: ClassVar[Sequence[tuple[str, str]]] = ()
    loads: ClassVar[tuple[str, ...]] = ("actorfl.worker", "actorfl.esn.engine")

    def __init__(self) -> None:
        self._kept: tuple[bytes, Floats, NDArray[np.int64]] | None = None

    def prepare(self, threads: int, seed: int) -> None:
        """Bound the threads of BLAS, where threadpoolctl can, and seed numpy and random."""
        with contextlib.suppress(ImportError):
            from threadpoolctl import threadpool_limits

            threadpool_limits(limits=threads)
        self.seed(seed)

    def seed(self, seed: int) -> None:
        """Seed numpy and random."""
        random.seed(seed)
        # NPY002: a task may draw from numpy's global generator; it takes words of 32 bits.
        np.random.seed([seed & 0xFFFF_FFFF, seed >> 32])  # noqa: NPY002

    def fingerprint(self) -> Fingerprint:
        """Numpy's version, and the hash of what it computes."""
        return Fingerprint(
            torch="none",
            numpy=np.__version__,
            machine=platform.machine(),
            capability=os.environ.get("OPENBLAS_CORETYPE", "as numpy finds it"),
            threads=1,
            settings=settings(),
            probe=probe_of_numpy(),
        )

    def subset(self, data: Dataset, indices: NDArray[np.int64]) -> Dataset:
        """Copies of the rows; a gap between them begins a new segment."""
        return tuple(column[indices] for column in needed(data, "an EchoStateTask"))

    def split(self, data: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
        """Hold out the end of a worker's series: rows drawn here and there would be no series."""
        del seed
        if not 0 <= fraction < 1:
            raise WrongValue(
                "the fraction of the data to hold out", "at least 0, below 1", fraction
            )
        examples = size_of(data)
        kept = examples - max(0, min(round(fraction * examples), examples - 1))
        rows = np.arange(examples, dtype=np.int64)
        return self.subset(data, rows[:kept]), self.subset(data, rows[kept:])

    def joined(self, datasets: Sequence[Dataset]) -> Dataset:
        """The rows of all, one after another."""
        columns = [needed(data, "an EchoStateTask") for data in datasets]
        return tuple(np.concatenate(parts) for parts in zip(*columns, strict=True))

    def initial(self, task: Task, run_seed: int) -> Model:
        """A readout of zeros."""
        layout = _form(task).layout
        return Model(layout, np.zeros(layout.size, np.float32), {})

    def shape(self, task: Task) -> tuple[Layout, Callable[[], tuple[TensorInfo, ...]]]:
        """The layout of a readout and its moments."""
        layout = _form(task).layout
        return layout, lambda: tuple(
            TensorInfo(name, (name,), name.partition(".")[0], False, True) for name in layout.names
        )

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
        """Take the moments of a worker's series; what came down plays no part."""
        own = _task(task)
        if hook is not None or still or needed_by:
            _refuse(needed_by or "this algorithm", task)
        series, targets, steps = columns_of(data, own)
        states, rows = washed(own.reservoir, series, steps, own.washout)
        if not len(rows):
            raise BeyondHelp(
                f"all {len(steps)} steps of a worker are washed out: no stretch of consecutive "
                f"ones is longer than `washout` of {type(task).__name__}, {own.washout}; lower "
                "it, or give the worker more of the series"
            )
        try:
            vector = _form(task).of_moments(Moments.of(states, targets[rows]))
        except BeyondLimbs:
            raise BeyondHelp(
                f"the series of {type(task).__name__} holds values that are not finite, or whose "
                "sums are 2^35 or more; look at them, or scale them to about 1"
            ) from None
        return FitResult(vector, buffers, len(steps), 1, Mean())

    def gradient(self, task: Task, *_: Any, **__: Any) -> NoReturn:
        """There is none: refused by ``Run``, too."""
        _refuse("an algorithm that takes gradients", task)

    def evaluate(
        self, task: Task, vector: Vector, buffers: Buffers, data: Dataset
    ) -> dict[str, Mean]:
        """The mean squared error as the loss, and the metrics of the task."""
        own = _task(task)
        targets = columns_of(data, own)[1]
        states, rows = self._states(own, data)
        if not len(rows):
            return {"loss": Mean()}
        predicted, wanted = states @ _form(task).readout(vector), targets[rows]
        loss = Mean.of(np.square(predicted - wanted).mean(axis=1))
        return {"loss": loss, **own.metrics_of(predicted, wanted)}

    def _states(self, task: EchoStateTask, data: Dataset) -> tuple[Floats, NDArray[np.int64]]:
        """The states of a series that is evaluated; kept, as it is the same the next time."""
        series, _, steps = columns_of(data, task)
        key = hash_of(repr(task.reservoir), task.washout, series, steps)
        if self._kept is None or self._kept[0] != key:
            self._kept = (key, *washed(task.reservoir, series, steps, task.washout))
        return self._kept[1:]


def _task(task: Task) -> EchoStateTask:
    assert isinstance(task, EchoStateTask)
    return task


def _form(task: Task) -> Form:
    own = _task(task)
    return Form(own.layers * own.units + 1, own.sizes[1])


def _refuse(algorithm: str, task: Task) -> NoReturn:
    raise Misfit(
        f"{algorithm} corrects or counts steps, and {type(task).__name__} takes none: its readout "
        "is solved for; use RidgeReadout"
    )
