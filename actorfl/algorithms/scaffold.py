"""Federated averaging with control variates, which take the drift out of the workers' steps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from actorfl.algorithm import Algorithm, Closed, Ctx, Mine, ServerState
from actorfl.algorithms.moving import delta_of, with_statistics_of
from actorfl.errors import Misfit
from actorfl.exact import ExactSum
from actorfl.layout import Vector
from actorfl.local import SGD
from actorfl.merging import Merged
from actorfl.ranges import check_number
from actorfl.terms import Array, Sum, Terms


@dataclass(frozen=True)
class Scaffold(Algorithm):
    """SCAFFOLD: each worker corrects its gradients by how its data differ from all data.

    Karimireddy et al., "SCAFFOLD: Stochastic Controlled Averaging for Federated Learning", ICML
    2020, Algorithm 1 with option II; worker i, K steps from x to y_i at the rate lr_i of ``local``:

        y <- y - lr_i * (g_i(y) - c_i + c)
        c_i+ = c_i - c + (x - y_i) / (K * lr_i)
        x+ = x + lr * mean over S of (y_i - x)
        c+ = c + 1/N * sum over S of (c_i+ - c_i)

    S are the workers whose updates are merged in the clock, N is how many workers there are, asked
    in the clock or not; all weigh the same. Everything begins at c = c_i = 0, so the first clock is
    FedAvg of equal weights. c_i stays at its worker, durable, and takes twice the model's size; c
    and its updates travel beside the model, which doubles the traffic.

    Both kinds of control variates are kept in float64, while updates travel in float32: so c
    remains the mean of the c_i, to 1e-10, however long a run is. What a worker cannot send, an
    update that is not finite, leaves its c_i as it was.

    Deviation from the paper: floating buffers (running means of BatchNorm) take the plain mean.

    Attributes:
        lr: learning rate of the server, finite and > 0.

    Raises:
        WrongType: lr is no number.
        WrongValue: lr is out of range.
        Misfit: by ``check_run``, where ``local`` has momentum or clips gradients: option II takes
            the mean gradient from how far the model went.
    """

    # Gradients are not bounded by the model's magnitude, and a wider grid costs a clock anew.
    floor: ClassVar[float] = 64.0
    uniform: ClassVar[bool] = True
    stateful: ClassVar[bool] = True
    policies: ClassVar[tuple[str, ...]] = ("BSP", "Quorum", "Buffered")

    lr: float = 1.0

    def __post_init__(self) -> None:
        check_number(self, "lr", "finite and above 0", lambda x: x > 0)

    def check_run(self, local: SGD, workers: int) -> None:
        """Refuse steps that are not the learning rate times a gradient."""
        wrong = "momentum" if local.momentum else "clip" if local.clip is not None else None
        if wrong is not None:
            raise Misfit(
                f"SCAFFOLD takes its control variates from plain steps, but `local` has {wrong}="
                f"{getattr(local, wrong)}; remove `{wrong}`, or use another algorithm"
            )

    def begin(self, weights: Vector) -> ServerState:
        """With a control variate of 0."""
        return ServerState(weights, vectors={"control": np.zeros(weights.size)})

    def down(self, state: ServerState) -> dict[str, Array]:
        """The model and c."""
        return {"model": state.weights, "control": state.vectors["control"].astype(np.float32)}

    def grad(self, ctx: Ctx, g: Vector) -> Vector:
        """Add c - c_i."""
        corrected = g + ctx.down["control"]
        if "control" in ctx.mine:
            corrected -= np.asarray(ctx.mine["control"], dtype=np.float32)
        return corrected

    def up(self, ctx: Ctx, mine: Mine) -> tuple[Terms, Mine]:
        """y_i and c_i+ - c_i; c_i+ is kept."""
        change = delta_of(ctx.result, ctx.start, ctx.layout)
        change /= np.float32(max(1, ctx.steps) * ctx.lr)
        change -= ctx.down["control"]  # 0 in running statistics, as all changes are
        terms = Terms(model=Sum(ctx.result), control=Sum(change))
        if ctx.steps == 0 or not np.isfinite(change).all():
            return terms, mine
        before = np.asarray(mine.get("control", 0.0))
        return terms, {**mine, "control": np.add(before, change, dtype=np.float64)}

    def close(self, state: ServerState, terms: Merged, closed: Closed) -> ServerState:
        """The mean of the models, and c moved by what the c_i have moved."""
        layout, mean = terms["model"].layout, terms["model"].mean()
        weights = mean
        if self.lr != 1.0:
            step = np.float32(self.lr) * delta_of(state.weights, mean, layout)
            weights = with_statistics_of(mean, state.weights + step, layout)
        control = state.vectors["control"] + _wide(terms["control"]) / closed.workers
        return replace(state, weights=weights, vectors={**state.vectors, "control": control})


def _wide(total: ExactSum) -> npt.NDArray[np.float64]:
    """A sum in float64: rounded to float32, c would leave the mean of the c_i bit by bit."""
    sums = total.units().astype(np.float64)
    for part, exponent in zip(total.layout, total.grid.exponents, strict=True):
        sums[part.slice] *= 2.0**exponent
    return sums
