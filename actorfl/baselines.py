"""What a run is to be compared with: all data in one place, and each worker by itself.

Both begin at the run's initial model, use its local loop, and get its budget: a worker by itself
goes through as many examples as it did in the run, one place through as many as all did together.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from actorfl.engine import engine_of
from actorfl.every import evaluated_at
from actorfl.lane import Lane
from actorfl.local import SGD
from actorfl.mean import Mean
from actorfl.seeds import seed_for
from actorfl.step import load, load_seed, step_seed
from actorfl.task import Dataset, who_of

if TYPE_CHECKING:
    from actorfl.flatmodel import Model
    from actorfl.run import Run

#: Who trains on all data, where seeds are derived; no worker has an empty name.
_CENTRE: Final = ""

Metrics = Mapping[str, float | None]


@dataclass(frozen=True)
class Baselines:
    """What is reached without federation, at the budget of a run.

    Attributes:
        centralised: metrics of the model of one place that has the training data of all workers.
        local_only: metrics of the mean worker. Each trains on its own data and hears of nobody;
            their values are averaged with equal weights, those without data left out. None where
            one of them has none.
    """

    centralised: Metrics = field(default_factory=dict)
    local_only: Metrics = field(default_factory=dict)


async def compared(run: Run, rounds: int, lane: Lane) -> Baselines:
    """Compute the baselines of a run.

    All workers' data are loaded in this process. Steps are plain: what an algorithm corrects, it
    corrects towards other workers.

    Args:
        run: whose task, data, local loop and seed count.
        rounds: how many it took.
        lane: where to compute; each round of each model is a job.
    """
    plain = run.local
    assert isinstance(plain, SGD), "refused by Run"
    compute = _Computing(run, rounds, lane)
    whos = [who_of(run.topology, index) for index in range(len(run.topology.names))]
    held = [
        await lane.run(load, run, compute.task, who, seed=load_seed(run, who.name)) for who in whos
    ]
    data = {who.name: one for who, one in zip(whos, held, strict=True) if one.examples}
    if not data:
        return Baselines()
    test = await compute.test()
    apart: list[Metrics] = []
    for name, own in data.items():
        model = await compute.trained(name, own.train, plain)
        apart.append(await compute.measured(model, own.validation if test is None else test))
    together = await lane.run(engine_of(compute.task).joined, [own.train for own in data.values()])
    local = budget(plain, [own.examples for own in data.values()])
    model = await compute.trained(_CENTRE, together, local)
    validation = test
    if validation is None:
        kept = [own.validation for own in data.values() if own.validation is not None]
        validation = await lane.run(engine_of(compute.task).joined, kept)
    return Baselines(await compute.measured(model, validation), mean_of(apart))


def budget(local: SGD, examples: Sequence[int]) -> SGD:
    """The local loop with which one place goes through as many examples as several workers do.

    Args:
        local: of the workers.
        examples: how many each has, at least 1.

    Returns:
        As many epochs over the union of the data; where the length is given in steps, as many full
        batches as make up what the workers go through, to the nearest one.
    """
    if local.steps is None:
        return local
    total = sum(examples)
    seen = sum(local.examples_of(one) for one in examples)
    return dataclasses.replace(local, steps=max(1, round(seen / local.batch_of(total))))


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

    def __init__(self, run: Run, rounds: int, lane: Lane) -> None:
        self.task = run.resolved_task
        self._engine = engine_of(self.task)
        self._run = run
        self._rounds = rounds
        self._lane = lane
        self._central = evaluated_at(run) == "central"

    async def test(self) -> Dataset | None:
        """What all models are measured on; None where each is on what its worker held back."""
        return await self._lane.run(self.task.test) if self._central else None

    async def trained(self, name: str, data: Dataset, local: SGD) -> Model:
        """Train from the initial model, a clock at a time, so that Ctrl-C need not wait long."""
        trained = await self._lane.run(self._engine.initial, self.task, self._run.seed)
        for clock in range(self._rounds):
            seed = step_seed(self._run, name, clock)
            trained = await self._lane.run(
                self._clock, name, clock, data, trained, local, seed=seed
            )
        return trained

    def _clock(self, name: str, clock: int, data: Dataset, before: Model, local: SGD) -> Model:
        seed = seed_for(self._run.seed, name, clock, "fit")
        result = self._engine.fit(
            self.task, data, before.vector, before.buffers, local=local, seed=seed
        )
        return dataclasses.replace(before, vector=result.vector, buffers=result.buffers)

    async def measured(self, trained: Model, data: Dataset | None) -> Metrics:
        """The metrics of a model, None for what is no finite number."""
        if data is None:
            return {}
        seed = seed_for(self._run.seed, "", self._rounds, "evaluate")
        found = await self._lane.run(self._measure, trained, data, seed=seed)
        return {name: _number(mean) for name, mean in sorted(found.items())}

    def _measure(self, trained: Model, data: Dataset) -> dict[str, Mean]:
        return self._engine.evaluate(self.task, trained.vector, trained.buffers, data)


def _number(mean: Mean) -> float | None:
    return mean.value if math.isfinite(mean.value) else None
