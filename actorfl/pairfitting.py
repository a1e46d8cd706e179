"""One local loop of a node without a centre: a pure function of what goes in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actorfl import memo
from actorfl.algorithm import Algorithm, Ctx, Mine
from actorfl.engine import engine_of
from actorfl.fitresult import FitResult, gradient_hook
from actorfl.flatmodel import Model
from actorfl.local import SGD
from actors.crashpoints import crash_point

if TYPE_CHECKING:
    from actorfl.step import Data
    from actorfl.task import Task


def fitted(
    task: Task,
    data: Data,
    name: str,
    start: Model,
    *,
    local: SGD,
    seed: int,
    number: int,
    correct: tuple[Algorithm, Mine] | None,
) -> FitResult:
    """Train a model on a node's own data.

    Args:
        task: what is learned.
        data: of the node.
        name: of the node.
        start: where training starts.
        local: the local loop.
        seed: of all that is drawn in it.
        number: of the round, from 0.
        correct: an algorithm that may correct the gradients, and what it keeps.
    """
    crash_point("worker.fit", number)
    algorithm, mine = correct or (Algorithm(), {})
    corrects = algorithm.corrects_gradients
    ctx = Ctx(
        start.layout, name, number, start.vector, start.vector, mine=mine,
        examples=data.examples, lr=local.lr, momentum=local.momentum,
    )  # fmt: skip
    kept = (dict(mine),) if corrects else ()
    return memo.recalled(
        "fit",
        lambda: engine_of(task).fit(
            task, data.train, start.vector, start.buffers, local=local, seed=seed,
            hook=gradient_hook(algorithm, ctx),
            needed_by=type(algorithm).__name__ if corrects else "",
        ),
        name, seed, repr(local), start.vector, dict(start.buffers), *kept,
    )  # fmt: skip
