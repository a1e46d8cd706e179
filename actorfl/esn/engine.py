"""The engine of echo-state networks: numpy alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, ClassVar, NoReturn

import numpy as np
from numpy.typing import NDArray

from actorfl.arrays import size_of
from actorfl.errors import BeyondHelp, Misfit
from actorfl.esn.form import Form
from actorfl.esn.limbs import BeyondLimbs
from actorfl.esn.moments import Moments
from actorfl.esn.reservoir import Floats, washed
from actorfl.esn.task import EchoStateTask, columns_of
from actorfl.fingerprint import Fingerprint
from actorfl.fitresult import FitResult, GradientHook
from actorfl.flatmodel import Buffers, Model
from actorfl.hashing import hash_of
from actorfl.layout import Layout, Vector
from actorfl.local import SGD
from actorfl.mean import Mean
from actorfl.numpyengine import NumpyEngine, fingerprint_of_numpy, held_out, shape_of
from actorfl.parts import TensorInfo
from actorfl.task import Dataset, Task


class Reservoirs(NumpyEngine):
    """See ``EchoStateTask``. A fit takes the moments of a worker's states; nothing is drawn."""

    needs: ClassVar[Sequence[tuple[str, str]]] = ()
    loads: ClassVar[tuple[str, ...]] = ("actorfl.worker", "actorfl.esn.engine")
    tasks: ClassVar[str] = "an EchoStateTask"

    def __init__(self) -> None:
        self._kept: tuple[bytes, Floats, NDArray[np.int64]] | None = None

    def fingerprint(self) -> Fingerprint:
        """Numpy's version, and the hash of what it computes."""
        return fingerprint_of_numpy(1)

    def split(self, data: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
        """Hold out the end of a worker's series: rows drawn here and there would be no series."""
        del seed
        examples = size_of(data)
        kept = examples - held_out(examples, fraction)
        rows = np.arange(examples, dtype=np.int64)
        return self.subset(data, rows[:kept]), self.subset(data, rows[kept:])

    def check(self, task: Task, data: Dataset, worker: str) -> None:
        """Refuse what is no series of the task's channels, or not finite."""
        columns_of(data, _task(task), f"{type(task).__name__} at {worker}")

    def initial(self, task: Task, run_seed: int) -> Model:
        """A readout of zeros."""
        layout = _form(task).layout
        return Model(layout, np.zeros(layout.size, np.float32), {})

    def shape(self, task: Task) -> tuple[Layout, Callable[[], tuple[TensorInfo, ...]]]:
        """The layout of a readout and its moments."""
        return shape_of(_form(task).layout)

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
                f"the series of {type(task).__name__} holds values whose sums are 2^35 or more; "
                "look at them, or scale them to about 1"
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
