"""A parameter server: workers send gradients, and the server takes the steps."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from actorfl.algorithm import Algorithm, Closed, Ctx, Mine, ServerState
from actorfl.algorithms.moving import with_statistics_of, without_statistics
from actorfl.errors import WrongValue
from actorfl.layout import Vector
from actorfl.merging import Merged
from actorfl.ranges import check_count, check_number, check_word
from actorfl.terms import Sum, Terms

# The exponent of a schedule is a version over `every`; a bound that nothing that runs comes near.
_MOST_VERSIONS = 1_000_000_000
_SCHEDULES = ("step", "cosine", "sqrt")


@dataclass(frozen=True)
class ParameterServer(Algorithm):
    """ParameterServer: gradients go up, and the server moves the model, with momentum.

    Ho et al., "More Effective Distributed ML via a Stale Synchronous Parallel Parameter Server",
    NeurIPS 2013; the step is that of `torch.optim.SGD`:

        v_t = momentum * v_{t-1} + g_t,   x_{t+1} = x_t - lr_t * v_t,   v_{-1} = 0

    Under a barrier g_t is the sum over the workers k that are merged of p_k g_k, p_k = n_k / n: g_k
    is the gradient of worker k's mean loss over one batch at x_t, n_k how many examples it has,
    whatever the size of its batch, and n the sum of those of the workers merged. So g_t estimates
    the gradient of the mean loss over all data without bias. Under SSP and ASP each gradient makes
    a version by itself, g_t = p_k g_k of a model that the worker read before, n being that of all
    workers; under Buffered(k) g_t is the mean of k of them.

    lr_t depends on the version t alone, counted from 0: a restart changes nothing. It is lr times

    - 1 without a schedule
    - ``"step"``: decay^(t // every)
    - ``"cosine"``: (1 + cos(pi * min(t / every, 1))) / 2, which is 0 from version `every` on
    - ``"sqrt"``: 1 / sqrt(1 + t / every); with every=1 the sigma / sqrt(t) of the paper's bound

    Where there is no barrier a version is one gradient, and not one of each worker.

    Degenerate values: with all examples in a batch, under BSP, it is full-batch gradient descent on
    the union of the data, to the rounding of float32, and without momentum FedSGD. Floating buffers
    (running means of BatchNorm) take the plain mean; a decay of weights leaves them alone.

    Attributes:
        lr: learning rate, finite and > 0.
        momentum: in [0, 1); 0 keeps nothing on the server.
        weight_decay: L2 coefficient times the model that a worker read, added to its gradient;
            finite and >= 0.
        schedule: how lr_t falls with the version; None keeps it.
        every: versions, 1 to 10^9; to be given with a schedule, and only then.
        decay: factor of ``"step"``, in (0, 1], 0.1 where it is not given; only for that.

    Raises:
        WrongType: a field is no number.
        WrongValue: a field is out of range, or does not go with the schedule.
    """

    models: ClassVar[tuple[str, ...]] = ()
    gradients: ClassVar[tuple[str, ...]] = ("gradient",)
    elementwise: ClassVar[bool] = True

    lr: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: Literal["step", "cosine", "sqrt"] | None = None
    every: int | None = None
    decay: float | None = None

    def __post_init__(self) -> None:
        check_number(self, "lr", "finite and above 0", lambda x: x > 0)
        check_number(self, "momentum", "at least 0 and below 1", lambda x: 0 <= x < 1)
        check_number(self, "weight_decay", "finite and at least 0", lambda x: x >= 0)
        if self.schedule is not None:
            check_word(self, "schedule", _SCHEDULES)
        if self.schedule is None:
            if self.every is not None:
                need = "left out, since there is no `schedule`"
                raise WrongValue("`every` of ParameterServer", need, self.every)
        elif self.every is None:
            need = f'a number of versions, since `schedule` is "{self.schedule}"'
            raise WrongValue("`every` of ParameterServer", need, self.every)
        else:
            check_count(self, "every", 1, _MOST_VERSIONS)
        if self.schedule == "step":
            if self.decay is None:
                object.__setattr__(self, "decay", 0.1)
            check_number(self, "decay", "above 0 and at most 1", lambda x: 0 < x <= 1)
        elif self.decay is not None:
            need = 'left out, since it is for `schedule` "step"'
            raise WrongValue("`decay` of ParameterServer", need, self.decay)

    @property
    def corrects_gradients(self) -> bool:
        """Whether weights decay."""
        return self.weight_decay != 0.0

    def lr_at(self, version: int) -> float:
        """The learning rate of the step that is taken from a version of the model, from 0."""
        if self.every is None:
            return self.lr
        if self.schedule == "step":
            assert self.decay is not None
            return self.lr * self.decay ** (version // self.every)
        if self.schedule == "cosine":
            return self.lr * (1.0 + math.cos(math.pi * min(version / self.every, 1.0))) / 2.0
        return self.lr / math.sqrt(1.0 + version / self.every)

    def begin(self, weights: Vector) -> ServerState:
        """Without velocity."""
        if self.momentum == 0.0:
            return ServerState(weights)
        return ServerState(weights, vectors={"velocity": np.zeros_like(weights)})

    def grad(self, ctx: Ctx, g: Vector) -> Vector:
        """Add what lets the weights decay."""
        return g + np.float32(self.weight_decay) * ctx.weights

    def up(self, ctx: Ctx, mine: Mine) -> tuple[Terms, Mine]:
        """n_k times g_k; a worker keeps no state."""
        gradient = with_statistics_of(ctx.result, ctx.gradient.copy(), ctx.layout)
        return Terms(gradient=Sum(gradient, ctx.examples)), mine

    def close(self, state: ServerState, terms: Merged, closed: Closed) -> ServerState:
        """The velocity takes up the mean gradient, and the model goes against it."""
        layout, mean = terms["gradient"].layout, terms["gradient"].mean()
        velocity = without_statistics(mean.copy(), layout)
        vectors = dict(state.vectors)
        if self.momentum != 0.0:
            velocity += np.float32(self.momentum) * state.vectors["velocity"]
            vectors["velocity"] = velocity
        weights = state.weights - np.float32(self.lr_at(closed.version)) * velocity
        return replace(state, weights=with_statistics_of(mean, weights, layout), vectors=vectors)
