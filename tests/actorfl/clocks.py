"""What workers and an aggregator do in a clock, with gradients that are written down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from actorfl import (
    AveragedReadout,
    Ditto,
    FedAdagrad,
    FedAdam,
    FedAsync,
    FedAvg,
    FedAvgM,
    FedBN,
    FedBuff,
    FedNova,
    FedProx,
    FedRep,
    FedSGD,
    FedYogi,
    GeometricMedian,
    HierFAVG,
    Krum,
    Median,
    MultiKrum,
    NormClipping,
    ParameterServer,
    ReadoutADMM,
    ReadoutConsensus,
    RidgeReadout,
    Scaffold,
    TrimmedMean,
)
from actorfl.algorithm import Algorithm, Closed, Ctx, Mine, ServerState, advance
from actorfl.grid import Grid
from actorfl.holding import Holder
from actorfl.layout import Layout, Vector
from actorfl.merging import Merger, Refused

#: Those that solve for the readout of an echo-state network, which no client here has.
SOLVING: dict[str, Algorithm] = {
    "ridge-readout": RidgeReadout(),
    "averaged-readout": AveragedReadout(),
    "readout-consensus": ReadoutConsensus(),
    "readout-admm": ReadoutADMM(),
}

#: One algorithm of each other kind, none of them at its degenerate values.
KINDS: dict[str, Algorithm] = {
    "fedsgd": FedSGD(),
    "fedavg": FedAvg(),
    "fedavgm": FedAvgM(lr=0.5),
    "hierfavg": HierFAVG(kappa2=2),
    "fedprox": FedProx(mu=0.1),
    "fedadagrad": FedAdagrad(),
    "fedadam": FedAdam(),
    "fedyogi": FedYogi(),
    "fednova": FedNova(),
    "scaffold": Scaffold(lr=0.9),
    "fedbn": FedBN(),
    "fedrep": FedRep(head_epochs=2),
    "ditto": Ditto(),
    "fedasync": FedAsync(),
    "fedbuff": FedBuff(lr=0.9),
    "parameter-server": ParameterServer(lr=0.1, momentum=0.5, schedule="sqrt", every=2),
    "median": Median(),
    "trimmed-mean": TrimmedMean(),
    "norm-clipping": NormClipping(norm=0.25),
    "krum": Krum(),
    "multi-krum": MultiKrum(),
    "geometric-median": GeometricMedian(),
}

#: Those that go with a barrier.
TOGETHER = {kind: each for kind, each in KINDS.items() if "BSP" in each.policies}

ONE = Layout.of({"x": np.zeros(1, np.float32)})
PAIR = Layout.of({"w": np.zeros(2, np.float32), "b": np.zeros(1, np.float32)})
#: A trained part and a running statistic.
NORMED = Layout.build(
    [("w", (1,), "float32", "parameter"), ("running_var", (1,), "float32", "buffer")]
)


@dataclass
class Client:
    """A worker whose objective has a known gradient.

    Attributes:
        gradient: of its objective at a point.
        examples: it has so many, which decide nothing but its weight.
        steps: it takes in a clock.
        mine: what the algorithm keeps at it.
    """

    gradient: Callable[[Vector], Vector]
    examples: int = 1
    steps: int = 10
    mine: Mine = field(default_factory=dict)


def quadratic(curvature: float, optimum: float, *, steps: int = 10) -> Client:
    """A client whose objective is curvature / 2 * (x - optimum)^2."""

    def gradient(x: Vector) -> Vector:
        return np.float32(curvature) * (x - np.float32(optimum))

    return Client(gradient, steps=steps)


def clock(
    algorithm: Algorithm,
    state: ServerState,
    clients: Sequence[Client],
    *,
    layout: Layout = ONE,
    lr: float = 0.1,
    momentum: float = 0.0,
    order: Sequence[int] | None = None,
) -> ServerState:
    """The state after one clock; ``order`` says whose part arrives first."""
    down = algorithm.down(state)
    start = down["model"]
    total = sum(max(1, client.examples) for client in clients)
    kind = Holder if algorithm.reduce == "all" else Merger
    merger = kind(layout, Grid.of(start, layout, total, algorithm.floor), 0)
    while True:
        try:
            after = [
                _fold(algorithm, merger, index, clients[index], down, lr, momentum)
                for index in (order or range(len(clients)))
            ]
        except Refused as refusal:
            wider = merger.grid.wider()
            if not refusal.wants_wider_grid or wider is None:
                raise
            merger.restart(wider, 0)
        else:
            break
    for index, mine in zip(order or range(len(clients)), after, strict=True):
        clients[index].mine = mine
    roster = tuple(f"w{index}" for index in range(len(clients)))
    return advance(
        algorithm, state, merger.merged(), Closed(0, 0, roster, roster, total, len(roster))
    ).state


def _fold(
    algorithm: Algorithm,
    merger: Merger,
    index: int,
    client: Client,
    down: dict[str, np.ndarray],
    lr: float,
    momentum: float,
) -> Mine:
    start = down["model"]
    ctx = Ctx(
        merger.layout, f"w{index}", 0, start, start, down, client.mine, client.examples, 0, lr,
        momentum,
    )  # fmt: skip
    weights, velocity = start.copy(), np.zeros_like(start)
    for step in range(client.steps):
        gradient = client.gradient(weights)
        if algorithm.corrects_gradients:
            gradient = algorithm.grad(replace(ctx, weights=weights, steps=step), gradient)
        velocity = np.float32(momentum) * velocity + gradient
        weights = weights - np.float32(lr) * velocity
    done = replace(ctx, weights=weights, steps=client.steps, gradient=client.gradient(start.copy()))
    terms, after = algorithm.up(done, client.mine)
    merger.fold(
        terms.stated(worker=f"w{index}", clock=0, examples=client.examples, layout=merger.layout)
    )
    return after


def merged(
    algorithm: Algorithm,
    state: ServerState,
    results: Sequence[Vector],
    *,
    layout: Layout = ONE,
    asked: int | None = None,
    workers: int | None = None,
    steps: int = 1,
    lr: float = 0.1,
    staleness: Sequence[int] = (),
) -> ServerState:
    """The state after a clock whose workers came to these models, of ``asked`` that were asked.

    ``workers`` is how many there are, asked or not.
    """
    roster = tuple(f"w{index}" for index in range(asked or len(results)))
    down = algorithm.down(state)
    kind = Holder if algorithm.reduce == "all" else Merger
    merger = kind(layout, Grid.of(state.weights, layout, len(roster), algorithm.floor), 0)
    for worker, result in zip(roster, results, strict=False):
        gradient = state.weights - result
        ctx = Ctx(
            layout, worker, 0, state.weights, result, down, {}, 1, steps, lr, gradient=gradient
        )
        terms, _ = algorithm.up(ctx, {})
        merger.fold(terms.stated(worker=worker, clock=0, examples=1, layout=layout))
    stale = dict(zip(roster, staleness, strict=False))
    closed = Closed(
        0, 0, roster, roster[: len(results)], len(roster), workers or len(roster), stale
    )
    return advance(algorithm, state, merger.merged(), closed).state


def begun(algorithm: Algorithm, *values: float) -> ServerState:
    """The state before the first clock, at a point."""
    return algorithm.begin(np.array(values, np.float32))


def after(
    rounds: int,
    algorithm: Algorithm,
    clients: Sequence[Client],
    *,
    lr: float = 0.1,
    momentum: float = 0.0,
) -> float:
    """Where the algorithm gets in so many clocks from 0, in one dimension."""
    state = begun(algorithm, 0.0)
    for _ in range(rounds):
        state = clock(algorithm, state, clients, lr=lr, momentum=momentum)
    return float(state.weights[0])


def spread(seed: int = 0, *, steps: int = 3) -> list[Client]:
    """Four workers in three dimensions with unequal numbers of examples."""
    draw = np.random.default_rng(seed)

    def made(index: int) -> Client:
        curvature = draw.uniform(0.1, 2.0, 3).astype(np.float32)
        optimum = draw.normal(0, 2, 3).astype(np.float32)

        def gradient(x: Vector) -> Vector:
            return curvature * (x - optimum)

        return Client(gradient, examples=7 * index + 3, steps=steps)

    return [made(index) for index in range(4)]


def played(algorithm: Algorithm, clients: list[Client], rounds: int = 4) -> ServerState:
    state = begun(algorithm, 0.3, -0.2, 1.7)
    for _ in range(rounds):
        state = clock(algorithm, state, clients, layout=PAIR)
    return state
