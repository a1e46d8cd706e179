"""What a worker does with its data in one clock: the settings of the local loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from actorfl.errors import WrongType, WrongValue
from actorfl.ranges import check_count
from actors.quantities import is_finite


@dataclass(frozen=True)
class Local:
    """Base of every local loop's settings: there are `SGD` and `Gradients`."""


@dataclass(frozen=True)
class SGD(Local):
    """Stochastic gradient descent on the worker's own data (`torch.optim.SGD`).

    Each epoch visits the data once in a fresh order; the last batch may be smaller and counts as a
    step. With ``batch="all"`` and one epoch this is FedSGD. Momentum starts at zero in every clock:
    a worker keeps no optimiser state between clocks.

    Attributes:
        lr: Learning rate, finite and > 0.
        batch: Examples in a step, >= 1; None (in TOML ``"all"``) takes all the worker has.
        epochs: Passes over the data, >= 1. Give this or `steps`; one epoch if neither.
        steps: Steps, >= 1, over as many epochs as they need.
        momentum: In [0, 1); 0 is plain SGD.
        weight_decay: L2 coefficient added to the gradient, finite and >= 0.
        clip: Largest L2 norm of the whole gradient, finite and > 0; None leaves it alone.

    Raises:
        WrongType: A field is not a number where it must be one.
        WrongValue: A field is out of range, or both `epochs` and `steps` are given.
    """

    lr: float
    batch: int | Literal["all"] | None = None
    epochs: int | None = None
    steps: int | None = None
    momentum: float = 0.0
    weight_decay: float = 0.0
    clip: float | None = None

    def __post_init__(self) -> None:
        if self.epochs is not None and self.steps is not None:
            both = f"epochs={self.epochs} and steps={self.steps}"
            need = (
                "given in epochs or in steps, not both (`--set local.epochs=` takes out what the "
                "file says)"
            )
            raise WrongValue("the length of SGD", need, both)
        # One spelling for one meaning: equal settings compare and hash equal.
        if isinstance(self.batch, str) and self.batch == "all":
            object.__setattr__(self, "batch", None)
        if self.epochs is None and self.steps is None:
            object.__setattr__(self, "epochs", 1)
        self._count("batch", 'at least 1, or "all"')
        self._count("epochs", "at least 1")
        self._count("steps", "at least 1")
        self._number("lr", "finite and above 0", lambda x: x > 0)
        self._number("momentum", "at least 0 and below 1", lambda x: 0 <= x < 1)
        self._number("weight_decay", "finite and at least 0", lambda x: x >= 0)
        if self.clip is not None:
            self._number("clip", "finite and above 0", lambda x: x > 0)

    def _count(self, name: str, need: str) -> None:
        value = getattr(self, name)
        if value is None:
            return
        if isinstance(value, bool) or not isinstance(value, int):
            raise WrongType(f"`{name}` of SGD", f"an int, {need}", value)
        if value < 1:
            raise WrongValue(f"`{name}` of SGD", need, value)

    def _number(self, name: str, need: str, within: Callable[[float], bool]) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise WrongType(f"`{name}` of SGD", f"a number, {need}", value)
        if not (is_finite(value) and within(value)):
            raise WrongValue(f"`{name}` of SGD", need, value)
        object.__setattr__(self, name, float(value))

    def batch_of(self, examples: int) -> int:
        """Count the examples of a full step of a worker that has `examples` (at least 1)."""
        assert self.batch != "all"
        return max(1, examples if self.batch is None else min(self.batch, examples))

    def steps_of(self, examples: int) -> int:
        """Count the steps that a worker with `examples` takes in one clock; none without data."""
        if examples == 0:
            return 0
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return self.epochs * math.ceil(examples / self.batch_of(examples))

    def examples_of(self, examples: int) -> int:
        """Count the examples that a worker with `examples` goes through in one clock, with repeats.

        The last step of an epoch may be smaller than the others.
        """
        if examples == 0:
            return 0
        if self.epochs is not None:
            return self.epochs * examples
        batch, steps = self.batch_of(examples), self.steps_of(examples)
        whole = math.ceil(examples / batch)
        return steps // whole * examples + steps % whole * batch


@dataclass(frozen=True)
class Gradients(Local):
    """One gradient in a clock, of the mean loss over one batch, and no step.

    It is taken at the model that came down, and goes to an algorithm that moves the model on the
    server (`ParameterServer`). A worker goes through its data in epochs, each in a fresh order, one
    batch in each clock: the batch of clock c depends on (run seed, worker, c) alone, no example
    comes twice in an epoch, and the last batch of an epoch may be smaller. Whoever misses a clock,
    under `Quorum` or because `select` did not draw it, misses its batch.

    Attributes:
        batch: Examples in a batch, >= 1; None (in TOML ``"all"``) takes all the worker has.

    Raises:
        WrongType: `batch` is no whole number.
        WrongValue: `batch` is out of range.
    """

    lr: ClassVar[float] = 0.0
    momentum: ClassVar[float] = 0.0

    batch: int | Literal["all"] | None = None

    def __post_init__(self) -> None:
        # One spelling for one meaning: equal settings compare and hash equal.
        if isinstance(self.batch, str) and self.batch == "all":
            object.__setattr__(self, "batch", None)
        if self.batch is not None:
            check_count(self, "batch", 1)

    def batch_of(self, examples: int) -> int:
        """Count the examples of a full batch of a worker that has `examples` (at least 1)."""
        assert self.batch != "all"
        return max(1, examples if self.batch is None else min(self.batch, examples))

    def place_of(self, clock: int, examples: int) -> tuple[int, slice]:
        """Say which batch is that of a clock.

        Args:
            clock: The clock, from 0.
            examples: How many the worker has, >= 1.

        Returns:
            The epoch, from 0, and where the batch lies in the order of that epoch.
        """
        batch = self.batch_of(examples)
        epoch, index = divmod(clock, math.ceil(examples / batch))
        return epoch, slice(index * batch, min((index + 1) * batch, examples))

    def examples_of(self, examples: int) -> int:
        """Count the examples of a full batch of a worker with `examples`; none without data."""
        return self.batch_of(examples) if examples else 0


Trains: TypeAlias = Literal["all", "local", "shared"]


@dataclass(frozen=True)
class Phase:
    """A stretch of a worker's clock, in which some tensors are trained and the others stand still.

    Attributes:
        trains: "all" of the model, or what is "local" to the worker, or what is "shared".
        local: the local loop.
    """

    trains: Trains
    local: SGD
