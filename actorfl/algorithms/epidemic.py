"""Epidemic learning: each node sends its model to a few others, others in each round."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from actorfl.algorithms.sendsmodel import SendsModel, model_in
from actorfl.errors import Misfit
from actorfl.mixing import drift_of
from actorfl.pairing import Content, Late, PairCtx, PairState
from actorfl.ranges import check_count
from actorfl.seeds import seed_for
from actorfl.topology import WORKERS_MAX, Peers, Same


@dataclass(frozen=True)
class EpidemicLearning(SendsModel):
    """Epidemic learning: train, send the model to s others, and take the mean of what came.

    De Vos et al., "Epidemic Learning: Boosting Decentralized Learning with Randomized
    Communication", NeurIPS 2023, Algorithms 1 and 2:

        y_i = x_i after training,   x_i <- (y_i + sum over j in S_i of y_j) / (1 + |S_i|)

    S_i are those that sent to node i in the round. Local: each node draws s of its neighbours by
    itself in each round, so that on a complete graph it may send to anybody. Means of unequal
    numbers of models keep the mean of all only in expectation, and only where all nodes have as
    many neighbours: a node that more send to than others counts for less. Oracle: without
    ``fanout`` it sends to all targets of the round; on a topology that draws a fresh regular graph
    for each round all weights are 1 / (s + 1), and the mean is kept. So other graphs are refused,
    of those that change by what is looked at. Means are taken in float64, in the order of the
    topology.

    What a node draws follows from the run's seed, its name and the round, so who receives can tell
    by itself whom to wait for. Under SSP what comes late is in the mean of the next round.

    Attributes:
        fanout: the s of the paper, 1 to 65,536, at most the neighbours of each node; None (in TOML
            left out): all targets of the round.

    Raises:
        WrongType: fanout is no whole number.
        WrongValue: fanout is out of range.
        Misfit: by ``check_peers``, where a node has fewer neighbours, or nodes unequal numbers.
    """

    periods: ClassVar[bool] = True
    outlives: ClassVar[bool] = True
    late: ClassVar[Late] = "once"

    fanout: int | None = None

    def __post_init__(self) -> None:
        if self.fanout is not None:
            check_count(self, "fanout", 1, WORKERS_MAX)

    def check_peers(self, topology: Peers, policy: str) -> None:
        """Refuse graphs whose mean would drift, too few neighbours, and to draw twice."""
        if self.fanout is None:
            if (found := drift_of(topology)) is not None:
                name, column, when = found
                raise Misfit(
                    f"on {type(topology).__name__} the weights that {name} has at itself and those "
                    f"who hear it add up to {column:.3g}{when} under EpidemicLearning, and not to "
                    "1, so the mean of all would drift; use StochasticGradientPush, or a graph in "
                    "which all have as many neighbours"
                )
            return
        for name in topology.names:
            if len(topology.neighbours(name)) < self.fanout:
                raise Misfit(
                    f"EpidemicLearning sends to {self.fanout} others, and {name} has "
                    f"{len(topology.neighbours(name))} neighbours; use a smaller fanout, or a "
                    "complete graph"
                )
        if not topology.fixed:
            raise Misfit(
                f"EpidemicLearning draws whom to send to, and {type(topology).__name__} does so "
                "too; leave out `fanout`, or use a complete graph"
            )
        degrees = {
            len(near)
            for name in topology.names
            for near in (topology.neighbours(name), topology.senders(name))
        }
        if len(degrees) > 1:
            raise Misfit(
                f"in {type(topology).__name__} nodes have {min(degrees)} to {max(degrees)} "
                "neighbours, so the mean of all would drift under EpidemicLearning also in "
                "expectation; use StochasticGradientPush, or a graph in which all have as many"
            )

    def targets(self, topology: Peers, name: str, number: int, seed: int) -> tuple[str, ...]:
        """As drawn by the node."""
        if self.fanout is None:
            return topology.targets(name, number)
        return _drawn(Same(topology), self.fanout, number, seed)[0][name]

    def sources(self, topology: Peers, name: str, number: int, seed: int) -> tuple[str, ...]:
        """Those who drew it."""
        if self.fanout is None:
            return topology.sources(name, number)
        return _drawn(Same(topology), self.fanout, number, seed)[1][name]

    def incoming(
        self, ctx: PairCtx, state: PairState, received: Mapping[str, Content]
    ) -> PairState:
        """The mean of the own model and all that came."""
        total = state.weights.astype(np.float64)
        for content in received.values():
            total += model_in(content)
        return state.replaced(total / (1 + len(received)))


_Named = Mapping[str, tuple[str, ...]]


@functools.lru_cache(maxsize=64)  # each node of a process asks, under SSP for some rounds
def _drawn(same: Same, fanout: int, number: int, seed: int) -> tuple[_Named, _Named]:
    """Whom each node sends to in a round, and whom each hears from, in the topology's order."""
    topology = same.topology
    names = topology.names
    targets: dict[str, tuple[str, ...]] = {}
    sources: dict[str, list[str]] = {name: [] for name in names}
    for name in names:
        near = topology.neighbours(name)
        draw = np.random.Generator(np.random.PCG64(seed_for(seed, name, number, "epidemic")))
        places = sorted(draw.choice(len(near), size=fanout, replace=False).tolist())
        targets[name] = tuple(near[place] for place in places)
        for to in targets[name]:
            sources[to].append(name)
    return targets, {name: tuple(each) for name, each in sources.items()}
