"""Workers that train nothing: what is left of a round is the framework's."""

from __future__ import annotations

from typing import ClassVar

from actorfl.engine import engine_of
from actorfl.layout import Layout, Vector
from actorfl.mean import Mean
from actorfl.protocol import Go, Put, unpack
from actorfl.terms import Sum, Terms
from actorfl.worker import Worker
from transports import Weights


class Idler(Worker):
    """Puts the model that came down."""

    layouts: ClassVar[dict[int, Layout]] = {}  # by parameters: all workers of a process have one

    async def _compute(self, go: Go) -> Put:
        model, _, _ = unpack(go.weights)
        layout = self.layouts.get(model.size)
        if layout is None:
            shape = await self._lane.run(engine_of(self._task).shape, self._task)
            layout = self.layouts[model.size] = shape[0]
        header, arrays = part(model, self._name, go.stamp.clock, layout).to_wire()
        weights = Weights.of(arrays)
        return Put(
            go.stamp, self._name, self._incarnation, {}, Mean(), header, weights, self.ref,
            waits=self._waits(weights),
        )  # fmt: skip


def part(model: Vector, worker: str, clock: int, layout: Layout) -> Terms:
    """A worker's part of a clock in which it learned nothing."""
    terms = Terms(model=Sum(model, 1))
    return terms.stated(worker=worker, clock=clock, examples=1, layout=layout)
