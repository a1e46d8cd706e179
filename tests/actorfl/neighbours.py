"""A network of nodes as pure functions: who sends what to whom, with nothing in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from actorfl.algorithm import Ctx
from actorfl.layout import Layout, Vector
from actorfl.pairing import (
    Content,
    PairAlgorithm,
    PairCtx,
    PairState,
    begun,
    learned,
    merged,
    sent,
)
from actorfl.seeds import seed_for
from actorfl.topology import Peers

Gradient = Callable[[str, Vector], Vector]


class Network:
    """Nodes that do rounds together, each with a vector.

    Args:
        algorithm: of all.
        topology: whose nodes they are.
        start: the model of each node.
        gradient: of a node's loss at a model; None: nobody trains.
        lr: of each step.
        steps: in a round.
        layout: of the vectors; None: one parameter.
        seed: of the run.
    """

    def __init__(
        self,
        algorithm: PairAlgorithm,
        topology: Peers,
        start: Mapping[str, Vector],
        *,
        gradient: Gradient | None = None,
        lr: float = 0.1,
        steps: int = 1,
        seed: int = 0,
        layout: Layout | None = None,
    ) -> None:
        self.algorithm, self.topology = algorithm, topology
        self.gradient, self.lr, self.steps, self.seed = gradient, lr, steps, seed
        size = next(iter(start.values())).size
        self.layout = layout or Layout.of({"w": np.zeros(size, np.float32)})
        self.round = 0
        self.state = {name: PairState(start[name].astype(np.float32)) for name in topology.names}
        self.letters: dict[str, dict[str, Content]] = {}
        for name in topology.names:
            self.state[name] = begun(algorithm, self.ctx(name), self.state[name])

    def ctx(self, name: str) -> PairCtx:
        """What a node knows of the round."""
        topology, number = self.topology, self.round
        return PairCtx(
            self.layout, name, number,
            self.algorithm.targets(topology, name, number, self.seed),
            self.algorithm.sources(topology, name, number, self.seed),
            self.algorithm.mix(topology, name, number), 1, self.lr,
            lambda purpose: np.random.default_rng(seed_for(self.seed, name, number, purpose)),
        )  # fmt: skip

    def step(self) -> None:
        """One round of all."""
        names = self.topology.names
        before = {name: self.state[name].weights for name in names}
        order = self.algorithm.order
        if order == "before":
            self._train(before)
        after = {} if order != "beside" else {name: self._fit(name, before[name]) for name in names}
        self.letters = {}
        for name in names:
            contents, self.state[name] = sent(self.algorithm, self.ctx(name), self.state[name])
            self.letters[name] = dict(contents)
        for name in names:
            ctx = self.ctx(name)
            received = {of: self.letters[of][name] for of in ctx.sources}
            state = merged(self.algorithm, ctx, self.state[name], received)
            if order == "beside" and self._trains:
                state = learned(self.algorithm, ctx, state, before[name], after[name])
            self.state[name] = state
        if order == "after":
            self._train({name: self.state[name].weights for name in names})
        self.round += 1

    def run(self, rounds: int) -> Network:
        """Some rounds."""
        for _ in range(rounds):
            self.step()
        return self

    @property
    def models(self) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        """All models, a row for each node, in float64."""
        return np.array([self.state[name].weights for name in self.topology.names], np.float64)

    @property
    def _trains(self) -> bool:
        return self.gradient is not None and self.algorithm.trains(self.round)

    def _train(self, before: Mapping[str, Vector]) -> None:
        if not self._trains:
            return
        for name in self.topology.names:
            after = self._fit(name, before[name])
            self.state[name] = learned(
                self.algorithm, self.ctx(name), self.state[name], before[name], after
            )

    def _fit(self, name: str, start: Vector) -> Vector:
        if not self._trains:
            return start
        assert self.gradient is not None
        now = start
        for _ in range(self.steps):
            slope = self.gradient(name, now).astype(np.float32)
            if self.algorithm.corrects_gradients:
                ctx = Ctx(self.layout, name, self.round, start, now, mine=self.state[name].mine)
                slope = self.algorithm.grad(ctx, slope)
            now = (now - np.float32(self.lr) * slope).astype(np.float32)
        return now
