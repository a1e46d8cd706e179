"""One clock of one worker: a pure function of what goes in, wherever it is computed.

What is drawn in it depends on (run seed, worker, clock, purpose) alone. So a worker that was killed
computes the same bits again, and so does ``actorfl replay``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from actorfl import arrays, memo, packing, personal
from actorfl.algorithm import Ctx, Mine, sent_up
from actorfl.engine import engine_of
from actorfl.grid import check_total
from actorfl.hashing import hash_of
from actorfl.mean import Mean
from actorfl.partition import worker_data
from actorfl.protocol import unpack
from actorfl.relative import differences
from actorfl.seeds import seed_for
from actors.crashpoints import crash_point
from transports import Weights

if TYPE_CHECKING:
    from actorfl.run import Run
    from actorfl.task import Dataset, Task, Who
    from actorfl.terms import TermsHeader


@dataclass(frozen=True)
class Data:
    """What a worker trains on and, where some of it is held back, evaluates on."""

    train: Dataset
    validation: Dataset | None
    examples: int

    def sha256(self) -> str:
        """SHA-256 of the data to train on, in hexadecimal; of its size where it is no arrays."""
        columns = arrays.arrays_of(self.train)
        return hash_of(self.examples, *(() if columns is None else columns)).hex()


@dataclass(frozen=True)
class Given:
    """What goes into a step.

    Attributes:
        clock: the clock.
        train: False for the closing clock, in which the final model is only evaluated.
        evaluate: whether the model is evaluated on the worker's validation data.
        weights: what came down, see ``protocol.pack``.
        mine: what the algorithm keeps at the worker.
        additive: whether models go up as differences from what came down.
    """

    clock: int
    train: bool
    evaluate: bool
    weights: Weights
    mine: Mine
    additive: bool = False

    def sha256(self) -> str:
        """SHA-256 of what came down and of what was kept, in hexadecimal."""
        return hash_of(self.weights, dict(self.mine)).hex()


@dataclass(frozen=True)
class Made:
    """What comes out of a step.

    Attributes:
        metrics: of the model that went down, on the validation data.
        loss: mean training loss.
        header: of the terms; None where nothing was trained.
        weights: their arrays.
        mine: what the algorithm keeps for the next clock.
    """

    metrics: dict[str, Mean]
    loss: Mean
    header: TermsHeader | None
    weights: Weights | None
    mine: Mine

    def sha256(self) -> str:
        """SHA-256 of the terms and of what is kept, in hexadecimal."""
        return hash_of(self.header, self.weights, dict(self.mine)).hex()


def load(run: Run, task: Task, who: Who) -> Data:
    """Load the data of a worker, in the training lane, seeded with ``load_seed``.

    Raises:
        ConfigError: they are none that the task could be trained on.
    """
    data = worker_data(task, who, run.partition, run.seed)
    engine_of(task).check(task, data, who.name)
    if run.validate == 0.0:
        return Data(data, None, _size(who, data))
    seed = seed_for(run.seed, who.name, 0, "split")
    train, held_back = engine_of(task).split(data, run.validate, seed)
    return Data(train, held_back, _size(who, train))


def _size(who: Who, data: Dataset) -> int:
    return check_total(f"worker {who.name}", arrays.size_of(data))


def load_seed(run: Run, worker: str) -> int:
    """What the lane is seeded with for ``load``."""
    return seed_for(run.seed, worker, 0, "load")


def step_seed(run: Run, worker: str, clock: int) -> int:
    """What the lane is seeded with for ``step``."""
    return seed_for(run.seed, worker, clock, "step")


def examples_of(run: Run, examples: int) -> int:
    """Count the examples that a worker with so many goes through in one clock, with repeats."""
    from actorfl import training

    return training.examples_of(run.algorithm, run.local, examples)


def step(run: Run, task: Task, worker: str, data: Data, given: Given) -> Made:
    """Compute one clock, in the training lane, seeded with ``step_seed``.

    Args:
        run: what is learned.
        task: its task, with paths made absolute.
        worker: its name.
        data: of the worker.
        given: what it is computed from.
    """
    from actorfl import training

    clock, algorithm = given.clock, run.algorithm
    start, integers, extras = unpack(given.weights)
    engine = engine_of(task)
    split = personal.split_for(run, task)
    left, mine = packing.taken_apart(given.mine)
    own, mine = personal.taken_apart(mine, personal.layout_for(run, split))
    if own is None and (split.owns or algorithm.personal):
        own = personal.begun(run, task, split)
    metrics: dict[str, Mean] = {}
    if given.evaluate and data.validation is not None:
        if own is not None and algorithm.personal:
            measured = own.vector, own.buffers
        else:
            measured = training.joined(split, start, integers, own)
        metrics = engine.evaluate(task, *measured, data.validation)
    if not given.train:
        return Made(metrics, Mean(), None, None, given.mine)
    down = {"model": start, **extras}
    context = Ctx(
        split.shared, worker, clock, start, start, down, mine, data.examples, 0, run.local.lr,
        run.local.momentum,
    )  # fmt: skip
    crash_point("worker.fit", clock)
    result, own = memo.recalled(
        "fit",
        lambda: training.train(
            task, data.train, algorithm,
            local=run.local, split=split, own=own, integers=integers, ctx=context,
            run_seed=run.seed,
        ),
        worker, clock, start, integers, extras, given.mine,
    )  # fmt: skip
    if memo.active():  # what is drawn from now on must not depend on whether it was computed
        engine.seed(seed_for(run.seed, worker, clock, training.FIT))
    ended = replace(context, weights=result.vector, steps=result.steps)
    if result.gradient is not None:
        ended = replace(ended, gradient=result.gradient)
    terms, after = sent_up(algorithm, ended, mine)
    if given.additive:
        terms = differences(terms, algorithm.models, start, split.shared)
    if run.compress is not None:
        terms, left = packing.packed(
            run.compress, algorithm, terms, left,
            start=start, layout=split.shared, additive=given.additive,
            seed_of=lambda name: seed_for(run.seed, worker, clock, f"compress/{name}"),
        )  # fmt: skip
        after = {**after, **left}
    terms = terms.stated(
        worker=worker, clock=clock, examples=result.examples, layout=split.shared,
        integers=result.buffers,
    )  # fmt: skip
    header, sums = terms.to_wire()
    if own is not None:
        after = own.beside(after)
    return Made(metrics, result.loss, header, Weights.of(sums), after)
