"""What a run is to be compared with: all data in one place, and each worker by itself.

Both begin at the run's initial model, use its local loop, and get its budget: one place goes
through as many examples as all workers together whose updates were merged, and each worker by
itself through its share of them. Where all are in every round that is what it went through in the
run; where some are drawn, late, or there for a part of it, what the mean worker went through.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from actorfl import arrays
from actorfl.algorithm import Closed, ServerState, StateError, advance, begun
from actorfl.checkpoint import down_of
from actorfl.engine import engine_of
from actorfl.every import evaluated_at
from actorfl.flatmodel import Model
from actorfl.grid import Grid
from actorfl.lane import Lane
from actorfl.local import SGD, Gradients
from actorfl.mean import Mean
from actorfl.merging import Merger, Refused
from actorfl.seeds import seed_for
from actorfl.step import Data, Given, load, load_seed, step, step_seed
from actorfl.sync import BSP
from actorfl.task import Dataset, Task, who_of
from actorfl.terms import Terms
from actorfl.tree import Levelled

if TYPE_CHECKING:
    from actorfl.layout import Layout
    from actorfl.run import Run

#: Who trains on all data, where seeds are derived; no worker has an empty name.
_CENTRE: Final = ""
_ALONE: Final = "alone"  # the only one whose gradient a server takes

Metrics = Mapping[str, float | None]


@dataclass(frozen=True)
class Baselines:
    """What is reached without federation, at the budget of a run.

    Attributes:
        centralised: metrics of the model of one place that has the training data of all workers.
        local_only: metrics of the mean worker. Each trains on its own data and hears of nobody;
            their values are averaged with equal weights; those without data, and those whose every
            update was refused, are left out. None where one of them has none.
    """

    centralised: Metrics = field(default_factory=dict)
    local_only: Metrics = field(default_factory=dict)


async def compared(run: Run, rows: Sequence[Mapping[str, Any]], lane: Lane) -> Baselines:
    """Compute the baselines of a run.

    All workers' data are loaded in this process. Steps are plain: what an algorithm corrects, it
    corrects towards other workers. Under ``Gradients`` there are none, so the algorithm's server
    takes them, alone with the gradients of one worker.

    Args:
        run: whose task, data, local loop and seed count.
        rows: the lines of its rounds. Whose updates were refused in each of them counts as without
            data.
        lane: where to compute; each round of each model is a job.
    """
    local = run.local
    assert isinstance(local, SGD | Gradients), "refused by Run"
    compute = _Computing(run, lane)
    whos = [who_of(run.topology, index) for index in range(len(run.topology.names))]
    held = [
        await lane.run(load, run, compute.task, who, seed=load_seed(run, who.name)) for who in whos
    ]
    refused = [set(row.get("refused", ())) for row in rows]
    never: set[str] = set.intersection(*refused) if refused else set()
    data = {
        who.name: one
        for who, one in zip(whos, held, strict=True)
        if one.examples and who.name not in never
    }
    if not data:
        return Baselines()
    merged = sum(row.get("examples", 0) for row in rows)
    rounds = rounds_of(run, merged, sum(one.examples for one in data.values()))
    test = await compute.test()
    apart: list[Metrics] = []
    for name, own in data.items():
        model = await compute.trained(name, own.train, local, rounds)
        validation = own.validation if test is None else test
        apart.append(await compute.measured(model, validation, rounds))
    together = await lane.run(engine_of(compute.task).joined, [own.train for own in data.values()])
    whole = budget(local, [own.examples for own in data.values()])
    model = await compute.trained(_CENTRE, together, whole, rounds)
    validation = test
    if validation is None:
        kept = [own.validation for own in data.values() if own.validation is not None]
        validation = await lane.run(engine_of(compute.task).joined, kept)
    return Baselines(await compute.measured(model, validation, rounds), mean_of(apart))


def rounds_of(run: Run, merged: int, examples: int) -> float:
    """In how many rounds everybody goes through as many examples as were merged.

    Args:
        run: levels of it may have several rounds in one of the root.
        merged: examples of those merged, over all rounds of the root.
        examples: that all workers have, at least 1.

    Returns:
        Not always a whole number, see ``clocks_of``.
    """
    within = 1
    if isinstance(run.topology, Levelled):
        for level, _ in run.topology.levels[1:-1]:
            sync = run.sync_at(level)
            within *= sync.rounds if isinstance(sync, BSP) else 1
    return within * merged / examples


def clocks_of(local: SGD | Gradients, rounds: float, examples: int) -> tuple[int, SGD | None]:
    """The clocks of somebody with so many examples, at least 1, that make up a number of rounds.

    Returns:
        How many with this local loop, and what is left, in one more with fewer steps: to the
        nearest step, or gradient, and at least one where it is not 0 rounds.
    """
    each = local.steps_of(examples) if isinstance(local, SGD) else 1
    steps = _nearest(rounds * each)
    whole, left = divmod(steps, each)
    if not left or not isinstance(local, SGD):
        return whole, None
    return whole, dataclasses.replace(local, epochs=None, steps=left)


def budget(local: SGD | Gradients, examples: Sequence[int]) -> SGD | Gradients:
    """The local loop with which one place goes through as many examples as several workers do.

    Args:
        local: of the workers.
        examples: how many each has, at least 1.

    Returns:
        As many epochs over the union of the data; where the length is given in steps, as many full
        batches as make up what the workers go through, to the nearest one; of gradients, a batch as
        large as theirs together.
    """
    if isinstance(local, Gradients):
        return Gradients(batch=sum(local.batch_of(one) for one in examples))
    if local.steps is None:
        return local
    total = sum(examples)
    seen = sum(local.examples_of(one) for one in examples)
    return dataclasses.replace(local, steps=max(1, round(seen / local.batch_of(total))))


def _nearest(count: float) -> int:
    """The nearest whole number, at least 1 unless it is 0."""
    return max(math.ceil(min(count, 1)), round(count))


def mean_of(apart: Sequence[Metrics]) -> Metrics:
    """The mean of each metric over several models; None where one of them has no value."""
    found: dict[str, float | None] = {}
    for name in sorted({name for metrics in apart for name in metrics}):
        values = [metrics.get(name) for metrics in apart]
        known = [value for value in values if value is not None]
        found[name] = math.fsum(known) / len(known) if len(known) == len(values) else None
    return found


class _Computing:
    """Jobs for the lane, seeded as those of a run."""

    def __init__(self, run: Run, lane: Lane) -> None:
        self.task = run.resolved_task
        self._engine = engine_of(self.task)
        self._run = run
        self._lane = lane
        self._central = evaluated_at(run) == "central"

    async def test(self) -> Dataset | None:
        """What all models are measured on; None where each is on what its worker held back."""
        return await self._lane.run(self.task.test) if self._central else None

    async def trained(
        self, name: str, data: Dataset, local: SGD | Gradients, rounds: float
    ) -> Model:
        """Train from the initial model, a clock at a time, so that Ctrl-C need not wait long."""
        trained = await self._lane.run(self._engine.initial, self.task, self._run.seed)
        if self.task.fits:  # what it does in a clock is for it to say
            rounds = _nearest(rounds)
        whole, last = clocks_of(local, rounds, arrays.size_of(data))
        if isinstance(local, Gradients):
            return await self._served(name, data, local, whole, trained)
        for clock in range(whole if last is None else whole + 1):
            seed = step_seed(self._run, name, clock)
            steps = local if last is None or clock < whole else last
            trained = await self._lane.run(
                self._clock, name, clock, data, trained, steps, seed=seed
            )
        return trained

    def _clock(self, name: str, clock: int, data: Dataset, before: Model, local: SGD) -> Model:
        seed = seed_for(self._run.seed, name, clock, "fit")
        result = self._engine.fit(
            self.task, data, before.vector, before.buffers, local=local, seed=seed
        )
        return dataclasses.replace(before, vector=result.vector, buffers=result.buffers)

    async def _served(
        self, name: str, data: Dataset, local: Gradients, rounds: int, initial: Model
    ) -> Model:
        """Move the initial model by the gradients of one worker."""
        run = dataclasses.replace(self._run, local=local, compress=None, baselines=False)
        name = name or _ALONE
        server = _Alone(run, self.task, name, data, initial.layout)
        state = begun(run.algorithm, initial.vector)
        state = dataclasses.replace(state, buffers=initial.buffers)
        try:
            for clock in range(rounds):
                seed = step_seed(run, name, clock)
                state = await self._lane.run(server.moved, state, clock, seed=seed)
        except StateError:  # as a fit would show it: what is no number is measured as such
            return dataclasses.replace(initial, vector=np.full_like(initial.vector, np.nan))
        return dataclasses.replace(initial, vector=state.weights, buffers=state.buffers)

    async def measured(self, trained: Model, data: Dataset | None, rounds: float) -> Metrics:
        """The metrics of a model after so many rounds, None for what is no finite number."""
        if data is None:
            return {}
        seed = seed_for(self._run.seed, "", math.ceil(rounds), "evaluate")
        found = await self._lane.run(self._measure, trained, data, seed=seed)
        finite = bool(np.isfinite(trained.vector).all())  # else nothing that is told means anything
        return {name: _number(mean) if finite else None for name, mean in sorted(found.items())}

    def _measure(self, trained: Model, data: Dataset) -> dict[str, Mean]:
        return self._engine.evaluate(self.task, trained.vector, trained.buffers, data)


@dataclass(frozen=True)
class _Alone:
    """The server of one worker."""

    run: Run
    task: Task
    name: str
    data: Dataset
    layout: Layout

    def moved(self, state: ServerState, clock: int) -> ServerState:
        """The next version.

        Raises:
            StateError: the gradient, or what it leads to, is not finite.
        """
        algorithm, examples = self.run.algorithm, arrays.size_of(self.data)
        given = Given(clock, train=True, evaluate=False, weights=down_of(algorithm, state), mine={})
        data = Data(self.data, None, examples)
        made = step(self.run, self.task, self.name, data, given)
        assert made.header is not None
        assert made.weights is not None
        vectors = {name: made.weights[name] for name in made.weights.names()}
        terms = Terms.from_wire(made.header, vectors)
        grid: Grid | None = Grid.of(state.weights, self.layout, examples, algorithm.floor)
        while grid is not None:
            merger = Merger(self.layout, grid, clock)
            try:
                merger.fold(terms)
            except Refused as refusal:
                grid = grid.wider() if refusal.wants_wider_grid else None
                continue
            closed = Closed(clock, clock, (self.name,), (self.name,), examples, 1)
            return advance(algorithm, state, merger.merged(), closed).state
        raise StateError("the gradient fits no grid")


def _number(mean: Mean) -> float | None:
    return mean.value if math.isfinite(mean.value) else None
