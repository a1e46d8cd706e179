"""A task whose model is the readout of a deep echo-state network."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from actorfl.defined import check_defined
from actorfl.errors import ConfigError, WrongType, WrongValue
from actorfl.esn.moments import nrmse
from actorfl.esn.reservoir import SEED_MAX, Floats, Reservoir
from actorfl.mean import Mean
from actorfl.ranges import check_count
from actorfl.task import Dataset, Task

Series = tuple[Floats, Floats, NDArray[np.int64]]

_CHANNELS_MAX = 4096
_WASHOUT_MAX = 1 << 24


@dataclass(frozen=True)
class EchoStateTask(Task):
    """Base of tasks whose readout is solved for, in numpy: their processes never load torch.

    A subclass defines `channels`, beside `train` or `pool`; `test` and `metrics_of` are optional. A
    *dataset* is what `series` makes of the values that go in and the targets, one row a step. Where
    a worker's rows do not follow each other a new segment begins: the reservoir starts there from
    rest, and the first `washout` steps of each segment, trained on or evaluated, are left out. So a
    pool is dealt out in blocks, by ``partition=Contiguous()``.

    Every worker draws the same reservoir from `draw`. ``RidgeReadout`` solves for the readout of
    all data in one round, exactly; ``AveragedReadout`` averages those that each solves for by
    itself. `local` plays no part.

    Attributes:
        layers, units, radius, leak, density, scale, bias: of the reservoir, see ``Reservoir``.
        washout: steps, at least 0.
        draw: the seed of the reservoir, at least 0.

    Raises:
        WrongType: a value is no number.
        WrongValue: a value is out of range.
    """

    engine: ClassVar[str] = "actorfl.esn.engine:Reservoirs"

    layers: int = 3
    units: int = 100
    radius: float = 0.9
    leak: float = 0.5
    density: float = 0.1
    scale: float = 0.5
    bias: float = 0.0
    washout: int = 200
    draw: int = 0

    def __post_init__(self) -> None:
        self.check()
        check_count(self, "washout", 0, _WASHOUT_MAX)
        check_count(self, "draw", 0, SEED_MAX)
        made = self._reservoir(1)
        for name in ("radius", "leak", "density", "scale", "bias"):
            object.__setattr__(self, name, getattr(made, name))

    @abstractmethod
    def channels(self) -> tuple[int, int]:
        """How many values go in at each step, and how many come out."""

    def metrics_of(self, predicted: Floats, targets: Floats) -> dict[str, Mean]:
        """Measure predictions, both of shape ``(n, outputs)``; by default their NRMSE.

        Of several workers it is the mean, weighted by their steps.
        """
        return {"nrmse": Mean.of([nrmse(targets, predicted)], weight=len(targets))}

    @property
    def reservoir(self) -> Reservoir:
        """What every node draws.

        Raises:
            WrongType, WrongValue: `channels` returned something else than two counts.
        """
        return self._reservoir(self.sizes[0])

    @property
    def sizes(self) -> tuple[int, int]:
        """What `channels` returned, checked."""
        found: object = self.channels()
        what = f"channels() of {type(self).__name__}"
        if not (isinstance(found, tuple) and len(found) == 2):
            raise WrongType(what, "two whole numbers: of values in, and out", found)
        for count in found:
            if isinstance(count, bool) or not isinstance(count, int):
                raise WrongType(what, "two whole numbers: of values in, and out", found)
            if not 1 <= count <= _CHANNELS_MAX:
                raise WrongValue(what, f"from 1 to {_CHANNELS_MAX}", count)
        return found[0], found[1]

    def check(self) -> None:
        """Verify that the class defines what a task needs, see ``Task.check``."""
        check_defined(self, EchoStateTask, "channels")
        self.check_data()

    def _reservoir(self, inputs: int) -> Reservoir:
        return Reservoir(
            inputs, self.layers, self.units, self.radius, self.leak, self.density, self.scale,
            self.bias, self.draw,
        )  # fmt: skip


def series(inputs: NDArray[np.generic], targets: NDArray[np.generic]) -> Series:
    """One stretch of a series as a dataset.

    Args:
        inputs: what goes in at each step, shape ``(T,)`` or ``(T, inputs)``.
        targets: what is to come out at the same step, shape ``(T,)`` or ``(T, outputs)``.

    Returns:
        Both as float64 of two dimensions, and the numbers of the steps, 0 to T - 1.

    Raises:
        WrongValue: one has no step or no value at a step, or they are not equally long.
    """
    arrays = [np.atleast_1d(np.asarray(each, np.float64)) for each in (inputs, targets)]
    for what, array in zip(("inputs", "targets"), arrays, strict=True):
        if not array.size:
            raise WrongValue.saying(
                f"the {what} of a series are empty, an array of shape {array.shape}; give at least "
                "one step with one value"
            )
    columns = [array.reshape(len(array), -1) for array in arrays]
    if len(columns[0]) != len(columns[1]):
        need = f"as many as there are inputs ({len(columns[0])})"
        raise WrongValue("the targets of a series", need, len(columns[1]))
    return columns[0], columns[1], np.arange(len(columns[0]), dtype=np.int64)


def joined(*parts: Series) -> Series:
    """Several stretches as one dataset, each a segment of its own.

    Raises:
        WrongValue: there is none.
    """
    if not parts:
        raise WrongValue.saying("no series was given to joined; give at least one")
    steps, start = [], 0
    for part in parts:
        steps.append(part[2] - part[2][0] + start if len(part[2]) else part[2])
        start += len(part[2]) + 1  # a gap: the next does not follow
    return (
        np.concatenate([part[0] for part in parts]),
        np.concatenate([part[1] for part in parts]),
        np.concatenate(steps),
    )


def columns_of(data: Dataset, task: EchoStateTask, whose: str = "") -> Series:
    """The arrays of a dataset, checked against the task's channels.

    Args:
        data: what is to be a series.
        task: whose data it is.
        whose: it is, for people; without it the task's.

    Raises:
        ConfigError: they are others.
        WrongValue: one of them holds what is not finite.
    """
    from actorfl.arrays import needed

    name, (inputs, outputs) = type(task).__name__, task.sizes
    columns = needed(data, name)
    if len(columns) != 3 or columns[2].ndim != 1 or columns[2].dtype.kind not in "iu":
        raise ConfigError(f"the data of {name} are no series; return series(inputs, targets)")
    shapes = (columns[0].shape[1:], columns[1].shape[1:])
    if shapes != ((inputs,), (outputs,)):
        raise ConfigError(
            f"the data of {name} have rows of shapes {shapes[0]} and {shapes[1]}, and its "
            f"channels() are {inputs} in and {outputs} out; make them agree"
        )
    found = np.asarray(columns[0], np.float64), np.asarray(columns[1], np.float64)
    # A reservoir hides it: what tanh makes of infinity is 1.
    for what, column in zip(("inputs", "targets"), found, strict=True):
        rows, places = np.nonzero(~np.isfinite(column))
        if len(rows):
            raise WrongValue.saying(
                f"the {what} of {whose or name} hold {column[rows[0], places[0]]:g} in row "
                f"{rows[0]}, and a series is of finite numbers; put one there, or leave the row "
                "out: joined(before, after)"
            )
    return *found, np.asarray(columns[2], np.int64)
