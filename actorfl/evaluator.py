"""The evaluator: builds the initial model and evaluates versions, off the critical path."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from actorfl import memo, personal
from actorfl.engine import engine_of
from actorfl.lane import lane_of
from actorfl.mean import Mean
from actorfl.protocol import Build, Evaluate, Evaluated, Idle, Initial, pack, unpack
from actorfl.runtext import RunText
from actorfl.seeds import seed_for
from actorfl.task import Dataset
from actors import Actor, ActorRef, Message
from transports import LinkFull, Transfer, Weights

if TYPE_CHECKING:
    from actorfl.flatmodel import Model

#: Seconds between two words of having nothing to do: how soon a restarted aggregator is heard.
RETRY = 0.25


class _Retry(Message[None]):
    pass


class Evaluator(Actor):
    """Lives in a process with torch, so that aggregators need none.

    It asks for work until it gets some, so a crash on either side loses nothing; what is asked for
    twice is answered twice, and alike.

    Args:
        run: what is to be done, and under which identity.
        aggregator: whom it works for.
    """

    def __init__(self, run: RunText, aggregator: ActorRef) -> None:
        self._run = run.read()
        self._task = self._run.task.resolved(self._run.base)
        self._identity = run.identity
        self._aggregator = aggregator
        self._lane = lane_of(self.system.world, self._task)
        self._test: Dataset | None = None
        self._initial: Transfer | None = None
        self._last: Evaluated | None = None

    async def on_start(self) -> None:
        """Ask for work, then again and again."""
        self._ask()
        self.timers.start("retry", _Retry(), after=RETRY, every=RETRY)

    def retry(self, message: _Retry) -> None:
        """Nothing came meanwhile."""
        if self._initial is None or self._initial.done.done():
            self._ask()

    def _ask(self) -> None:
        with contextlib.suppress(LinkFull):  # then the next time
            self._aggregator.tell(Idle(self._identity, self.ref))

    async def build(self, message: Build) -> None:
        """Build the initial model (seed purpose "init")."""
        built = await self._lane.run(self._initial_model)
        with contextlib.suppress(LinkFull):  # then it is asked for again
            self._initial = message.me.send(
                Initial(message.run, built.layout, pack(built.vector, built.buffers))
            )

    def _initial_model(self) -> Model:
        """What of the initial model travels; the rest each worker has of its own."""
        # May load torch, which takes seconds: not on the loop, whose node is to answer meanwhile.
        from actorfl.flatmodel import Model

        whole = engine_of(self._task).initial(self._task, self._run.seed)
        split = personal.split_for(self._run, self._task)
        return Model(
            split.shared, split.shared_of(whole.vector), split.shared_buffers(whole.buffers)
        )

    async def evaluate(self, message: Evaluate) -> None:
        """Evaluate a version on the task's test data."""
        if self._last is None or self._last.stamp != message.stamp:
            seed = seed_for(self._run.seed, "", message.stamp.version, "evaluate")
            metrics = await self._lane.run(self._measure, message.weights, seed=seed)
            self._last = Evaluated(message.stamp, metrics)
        with contextlib.suppress(LinkFull):  # then it is asked for again
            message.me.tell(self._last)

    def _measure(self, weights: Weights) -> dict[str, Mean]:
        vector, integers, _down = unpack(weights)
        if self._test is None:
            self._test = self._task.test()
        test = self._test
        if test is None:
            return {}
        return memo.recalled(
            "evaluate",
            lambda: engine_of(self._task).evaluate(self._task, vector, integers, test),
            vector,
            integers,
        )
