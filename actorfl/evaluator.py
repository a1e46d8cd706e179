"""The evaluator: builds the initial model and evaluates versions, off the critical path."""

from __future__ import annotations

import tomllib
from pathlib import Path

from actorfl.lane import shared_lane
from actorfl.mean import Mean
from actorfl.protocol import Build, Evaluate, Evaluated, Initial, pack, unpack
from actorfl.run import Run
from actorfl.seeds import seed_for
from actorfl.task import Dataset
from actors import Actor
from transports import Weights


class Evaluator(Actor):
    """Lives in a process with torch, so that aggregators need none.

    Both of its messages may come again after a crash on either side; the answer is the same.

    Args:
        run: the resolved configuration as TOML.
        base: directory that its relative paths start from.
    """

    def __init__(self, run: str, base: str) -> None:
        self._run = Run.from_table(tomllib.loads(run), Path(base))
        self._task = self._run.task.resolved(self._run.base)
        self._lane = shared_lane()
        self._test: Dataset | None = None

    async def build(self, message: Build) -> None:
        """Build the initial model (seed purpose "init")."""
        from actorfl import model

        built = await self._lane.run(model.initial, self._task, self._run.seed)
        message.me.tell(Initial(message.run, built.layout, pack(built.vector, built.buffers)))

    async def evaluate(self, message: Evaluate) -> None:
        """Evaluate a version on the task's test data."""
        seed = seed_for(self._run.seed, "", message.stamp.version, "evaluate")
        metrics = await self._lane.run(self._measure, message.weights, seed=seed)
        message.me.tell(Evaluated(message.stamp, metrics))

    def _measure(self, weights: Weights) -> dict[str, Mean]:
        from actorfl import fit, model

        module = self._task.model()
        vector, integers, _down = unpack(weights)
        model.load(module, vector, integers)
        if self._test is None:
            self._test = self._task.test()
        return {} if self._test is None else fit.evaluate(self._task, module, self._test)
