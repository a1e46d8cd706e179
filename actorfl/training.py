"""What a worker trains in one clock: all phases of the model, and a personal one beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from actorfl.algorithm import Algorithm, Ctx
from actorfl.engine import engine_of
from actorfl.fitresult import FitResult, GradientHook, gradient_hook
from actorfl.layout import Vector
from actorfl.local import SGD, Gradients
from actorfl.mean import Mean
from actorfl.personal import Own
from actorfl.seeds import seed_for
from actorfl.split import Buffers, Split
from actorfl.task import Dataset, Task

#: Purpose of the seed of a clock's first phase; a personal model is trained under the same, so that
#: both see the data in one order, and one that nothing pulls is what training alone gives.
FIT: Final = "fit"
#: Purpose of the seed of an epoch's order, where a clock takes one batch of it.
_ORDER: Final = "gradients"


class Trained(NamedTuple):
    """What a clock of a worker gave.

    Attributes:
        result: the trained model: what of it travels. Its steps are those in which what travels
            was trained, its loss is that of all phases.
        own: what the worker has for itself from now on; None where it has nothing.
    """

    result: FitResult
    own: Own | None


def joined(
    split: Split, start: Vector, integers: Buffers, own: Own | None
) -> tuple[Vector, Buffers]:
    """The whole model of what came down and of the parts that are the worker's own."""
    if own is None:
        return start, integers
    return split.joined(start, own.vector), {**integers, **own.buffers}


def train(
    task: Task,
    data: Dataset,
    algorithm: Algorithm,
    *,
    local: SGD | Gradients,
    split: Split,
    own: Own | None,
    integers: Buffers,
    ctx: Ctx,
    run_seed: int,
) -> Trained:
    """Train for one clock, in the training lane; a pure function.

    What is not finite is no state to go on from: then the worker's own stays as it was.

    Args:
        task: what is learned.
        data: what the worker trains on.
        algorithm: corrects gradients, and says what is trained one after the other.
        local: the local loop.
        split: what of the model travels.
        own: what the worker has for itself.
        integers: integer buffers that came down.
        ctx: of the clock; ``start`` came down.
        run_seed: of the run.
    """
    engine = engine_of(task)
    seed = seed_for(run_seed, ctx.worker, ctx.clock, FIT)
    if isinstance(local, Gradients):
        found = engine.gradient(
            task, data, ctx.start, integers,
            local=local, clock=ctx.clock, seed=seed,
            order_seed=lambda epoch: seed_for(run_seed, ctx.worker, epoch, _ORDER),
            hook=gradient_hook(algorithm, ctx),
        )  # fmt: skip
        return Trained(found, None)  # nothing is a worker's own: refused by Run
    parts = None if algorithm.personal else own
    vector, buffers = joined(split, ctx.start, integers, parts)
    still = {"all": (), "local": split.shared.names, "shared": split.own.names}
    needs = algorithm.corrects_gradients or algorithm.counts_steps
    needed_by = type(algorithm).__name__ if needs else ""
    examples, steps, loss = 0, 0, Mean()
    for number, phase in enumerate(algorithm.phases(local)):
        result = engine.fit(
            task, data, vector, buffers,
            local=phase.local,
            seed=seed_for(run_seed, ctx.worker, ctx.clock, f"{FIT}{number}") if number else seed,
            hook=None if phase.trains == "local" else _hook(algorithm, ctx, split, steps),
            still=still[phase.trains],
            needed_by=needed_by if phase.trains != "local" else "",
        )  # fmt: skip
        vector, buffers = result.vector, result.buffers
        examples, loss = result.examples, loss + result.loss
        steps += 0 if phase.trains == "local" else result.steps
    shared = FitResult(
        split.shared_of(vector), split.shared_buffers(buffers), examples, steps, loss
    )
    if own is None:
        return Trained(shared, None)
    if algorithm.personal:
        trained = engine.fit(
            task, data, own.vector, own.buffers, local=local, seed=seed,
            hook=_pull(algorithm, ctx),
            needed_by=type(algorithm).__name__ if algorithm.pulls else "",
        )  # fmt: skip
        whole, after = trained.vector, replace(own, vector=trained.vector, buffers=trained.buffers)
    else:
        whole, after = (
            vector,
            replace(own, vector=split.own_of(vector), buffers=split.own_buffers(buffers)),
        )
    return Trained(shared, after if np.isfinite(whole).all() else own)


def examples_of(algorithm: Algorithm, local: SGD | Gradients, examples: int) -> int:
    """Count the examples that a worker with so many goes through in one clock, with repeats."""
    if isinstance(local, Gradients):
        return local.examples_of(examples)
    through = sum(phase.local.examples_of(examples) for phase in algorithm.phases(local))
    return through + (local.examples_of(examples) if algorithm.personal else 0)


def _hook(algorithm: Algorithm, ctx: Ctx, split: Split, before: int) -> GradientHook | None:
    """What corrects the gradient of what travels; what stays has its own."""
    correct = gradient_hook(algorithm, ctx)
    if correct is None:
        return None

    def hook(gradient: Vector, weights: Vector, steps: int) -> Vector:
        shared = correct(split.shared_of(gradient), split.shared_of(weights), before + steps)
        return split.joined(shared, split.own_of(gradient))

    return hook


def _pull(algorithm: Algorithm, ctx: Ctx) -> GradientHook | None:
    """What corrects the gradient of the personal model; None where nothing does."""
    if not algorithm.pulls:
        return None

    def hook(gradient: Vector, weights: Vector, steps: int) -> Vector:
        return algorithm.pull(replace(ctx, weights=weights, steps=steps), gradient)

    return hook
