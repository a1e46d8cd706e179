"""What the actors of nodes without a centre have in common: who they are, what they start from."""

from __future__ import annotations

from actorfl import step
from actorfl.engine import engine_of
from actorfl.fingerprint import Fingerprint
from actorfl.flatmodel import Model
from actorfl.kept import folder_of
from actorfl.lane import lane_of
from actorfl.runtext import RunText
from actorfl.step import Data
from actorfl.task import Dataset, who_of
from actors import Actor, ActorRef
from actors.crashpoints import crash_point


class GraphNode(Actor):
    """Base of nodes that hold data and a model, and talk to neighbours.

    Args:
        name: of the node.
        index: its place in the topology.
        run: what is to be done, and under which identity.
        gatherer: is told how it fares, and what its model is at the end.
        neighbours: all whom it sends to or hears from, by name, in the order of the topology.
        at: where models are evaluated.
    """

    _data: Data
    _test: Dataset | None
    _fingerprint: Fingerprint

    def __init__(
        self,
        *,
        name: str,
        index: int,
        run: RunText,
        gatherer: ActorRef,
        neighbours: dict[str, ActorRef],
        at: str,
    ) -> None:
        self._name = name
        self._run = run.read()
        self._identity = run.identity
        self._task = self._run.task.resolved(self._run.base)
        self._engine = engine_of(self._task)
        self._who = who_of(self._run.topology, index)
        self._gatherer = gatherer
        self._neighbours = neighbours
        self._at = at
        self._lane = lane_of(self.system.world, self._task)
        self._snapshots = self.snapshots(folder_of(name))

    async def _load_data(self) -> None:
        """Load what it trains on and is measured by, and see what decides its bits."""
        crash_point("worker.start")
        seed = step.load_seed(self._run, self._name)
        self._data = await self._lane.run(step.load, self._run, self._task, self._who, seed=seed)
        self._test = None
        if self._at == "central":
            self._test = await self._lane.run(self._task.test, seed=seed)
        elif self._at == "workers":
            self._test = self._data.validation
        self._fingerprint = await self._lane.run(self._engine.fingerprint)

    def _initial(self) -> Model:
        return self._engine.initial(self._task, self._run.seed)
