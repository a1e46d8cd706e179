"""Laws of the algorithms between neighbours, as pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from actorfl import ASP, SGD, RingGraph, Rounds, Run, Uniform
from actorfl.algorithms.admm import ConsensusADMM
from actorfl.algorithms.adpsgd import ADPSGD
from actorfl.algorithms.chocosgd import ChocoSGD
from actorfl.algorithms.consensus import AverageConsensus
from actorfl.algorithms.dfedavg import DFedAvg
from actorfl.algorithms.dpsgd import DPSGD
from actorfl.algorithms.epidemic import EpidemicLearning
from actorfl.algorithms.mixed import Mixed
from actorfl.algorithms.pushsum import PushSum
from actorfl.algorithms.sgp import StochasticGradientPush
from actorfl.errors import ConfigError, Misfit, RunFailed, WrongType
from actorfl.graphs.complete import CompleteGraph, StarGraph
from actorfl.graphs.exponential import ExponentialGraph, OnePeerExponentialGraph
from actorfl.graphs.regular import FreshRegularGraph
from actorfl.layout import Vector
from actorfl.pairing import PairAlgorithm, PairCtx, PairState
from actorfl.topology import Peers
from actors import Simulated
from tests.actorfl.neighbours import Network
from tests.faults.tasks import Blobs

SIZE = 3


def spread(topology: Peers, seed: int = 0) -> dict[str, Vector]:
    draw = np.random.default_rng(seed)
    return {name: draw.normal(size=SIZE).astype(np.float32) for name in topology.names}


def alike(topology: Peers) -> dict[str, Vector]:
    return dict.fromkeys(topology.names, np.arange(SIZE, dtype=np.float32))


def curved(name: str, x: Vector) -> Vector:
    """The gradient of a parabola; that of each node has its own bend and minimum."""
    return np.float32(1 + int(name[1:]) % 3) * (x - np.float32(int(name[1:])))


@pytest.mark.parametrize("algorithm", [DPSGD("beside"), DPSGD("before"), DFedAvg()], ids=repr)
def test_the_mean_of_all_models_moves_by_the_mean_of_all_gradients(algorithm: Mixed) -> None:
    network = Network(algorithm, RingGraph(8), spread(RingGraph(8)), gradient=curved, lr=0.05)
    for _ in range(20):
        before = network.models
        slopes = [curved(f"w{i}", row.astype(np.float32)) for i, row in enumerate(before)]
        expected = before.mean(0) - 0.05 * np.mean(slopes, axis=0, dtype=np.float64)
        network.step()
        assert np.abs(network.models.mean(0) - expected).max() < 2e-6


def test_on_a_complete_graph_adapting_first_is_sgd_on_the_union_of_the_batches() -> None:
    topology = CompleteGraph(6)
    network = Network(DPSGD("before"), topology, alike(topology), gradient=curved, lr=0.05)
    central = np.arange(SIZE, dtype=np.float64)
    for _ in range(10):
        slopes = [curved(name, central.astype(np.float32)) for name in topology.names]
        central -= 0.05 * np.mean(slopes, axis=0, dtype=np.float64)
        network.step()
        assert np.abs(network.models - central).max() < 1e-5
        assert np.ptp(network.models, axis=0).max() < 1e-6


def test_as_printed_nodes_of_a_complete_graph_differ_by_their_last_step() -> None:
    topology = CompleteGraph(6)
    network = Network(DPSGD("beside"), topology, alike(topology), gradient=curved, lr=0.05).run(3)
    assert np.ptp(network.models, axis=0).max() > 1e-2


@pytest.mark.parametrize("algorithm", [DPSGD("beside"), DPSGD("before"), DFedAvg()], ids=repr)
def test_without_gradients_it_is_average_consensus(algorithm: Mixed) -> None:
    topology = RingGraph(8)
    one = Network(algorithm, topology, spread(topology)).run(10)
    other = Network(AverageConsensus(), topology, spread(topology)).run(10)
    assert np.array_equal(one.models, other.models)


@pytest.mark.parametrize(("nodes", "second"), [(8, 0.804738), (16, 0.949253)])
def test_consensus_keeps_the_mean_and_shrinks_by_the_second_eigenvalue(
    nodes: int, second: float
) -> None:
    topology = RingGraph(nodes)
    network = Network(AverageConsensus(), topology, spread(topology))
    mean = network.models.mean(0)
    distance = np.linalg.norm(network.models - mean)
    for t in range(1, 41):
        network.step()
        assert np.abs(network.models.mean(0) - mean).max() < 1e-6
        assert np.linalg.norm(network.models - mean) <= second**t * distance + 1e-5


def test_the_one_peer_exponential_graph_averages_in_log2_n_rounds() -> None:
    topology = OnePeerExponentialGraph(16)
    network = Network(AverageConsensus(mixing=Uniform()), topology, spread(topology))
    mean = network.models.mean(0)
    network.run(3)
    assert np.abs(network.models - mean).max() > 1e-3
    network.step()
    assert np.abs(network.models - mean).max() < 1e-6


def test_consensus_trains_in_the_first_round_alone() -> None:
    topology = RingGraph(4)
    network = Network(AverageConsensus(), topology, alike(topology), gradient=curved, lr=0.1)
    once = [x - 0.1 * curved(f"w{i}", x) for i, x in enumerate(alike(topology).values())]
    network.run(60)
    assert np.abs(network.models - np.mean(once, axis=0)).max() < 1e-5


@pytest.mark.parametrize("topology", [CompleteGraph(20), ExponentialGraph(12)], ids=repr)
@pytest.mark.parametrize("algorithm", [PushSum(), StochasticGradientPush()], ids=repr)
def test_push_sum_keeps_all_mass_and_finds_the_mean(algorithm: PushSum, topology: Peers) -> None:
    network = Network(algorithm, topology, spread(topology))

    def mass() -> tuple[Any, float]:
        states = network.state.values()
        return (
            np.sum([state.array("sum") for state in states], axis=0),
            sum(float(state.mine["weight"]) for state in states),
        )

    first, weight = mass()
    for _ in range(1000 if algorithm == PushSum() and len(topology.names) < 20 else 50):
        network.step()
        now, weighed = mass()
        assert np.abs(now - first).max() < 1e-13 * len(topology.names)
        assert abs(weighed - weight) < 1e-13 * len(topology.names)
    assert np.abs(network.models - first / weight).max() < 1e-6


def test_push_sum_by_random_targets_is_as_near_as_the_reference() -> None:
    """Section 2 of the paper: in each round each node keeps a half and sends one to anybody."""
    worst = []
    for seed in range(10):
        draw = np.random.default_rng(seed)
        names = CompleteGraph(20).names
        algorithm = PushSum()
        network = Network(algorithm, CompleteGraph(20), spread(CompleteGraph(20), seed))
        mean = network.models.mean(0)
        for _ in range(40):
            letters = []
            for place, name in enumerate(names):
                other = names[(place + 1 + int(draw.integers(19))) % 20]
                ctx = network.ctx(name)
                one = type(ctx)(**{**vars(ctx), "targets": (other,)})
                contents, network.state[name] = algorithm.outgoing(one, network.state[name])
                letters.append((name, other, contents[other]))
            for name, other, content in letters:
                network.state[other] = algorithm.incoming(
                    network.ctx(other), network.state[other], {name: content}
                )
        worst.append(np.abs(network.models - mean).max())
    assert max(worst) < 1e-4


def test_a_share_that_was_lost_or_came_twice_is_in_the_next_one() -> None:
    topology, algorithm = ExponentialGraph(8), PushSum()
    network = Network(algorithm, topology, spread(topology))
    mean = network.models.mean(0)
    draw = np.random.default_rng(1)
    for number in range(400):
        letters = []
        for name in topology.names:
            contents, network.state[name] = algorithm.outgoing(
                network.ctx(name), network.state[name]
            )
            letters += [(name, to, content) for to, content in contents.items()]
        for name, to, content in letters:
            # The last rounds lose nothing, so that all mass is somewhere.
            for _ in range(1 if number > 390 else int(draw.integers(3))):
                network.state[to] = algorithm.incoming(
                    network.ctx(to), network.state[to], {name: content}
                )
    assert np.abs(network.models - mean).max() < 1e-6


def test_sgp_between_nodes_of_one_degree_is_dpsgd() -> None:
    topology = RingGraph(6)
    push = Network(StochasticGradientPush(), topology, alike(topology), gradient=curved, lr=0.05)
    mix = Network(
        DPSGD("before", mixing=Uniform()), topology, alike(topology), gradient=curved, lr=0.05
    )
    assert np.abs(push.run(20).models - mix.run(20).models).max() < 1e-4


def test_choco_that_sends_everything_is_dpsgd() -> None:
    topology = RingGraph(6)
    values: dict[str, Any] = {"gradient": curved, "lr": 0.05}
    choco = Network(ChocoSGD(fraction=1, step=1), topology, alike(topology), **values).run(20)
    plain = Network(DPSGD("before"), topology, alike(topology), **values).run(20)
    assert np.abs(choco.models - plain.models).max() < 1e-4


def test_choco_keeps_the_mean_and_agrees_though_it_sends_a_third() -> None:
    topology = RingGraph(6)
    first = Network(DPSGD("before"), topology, alike(topology), gradient=curved, lr=0.05).run(3)
    start = dict(zip(topology.names, first.models.astype(np.float32), strict=True))
    network = Network(ChocoSGD(fraction=0.3, step=0.3), topology, alike(topology))
    for name, model in start.items():
        network.state[name] = network.state[name].replaced(model)
    mean = network.models.mean(0)
    network.run(200)
    assert all(len(np.asarray(c["indices"])) == 1 for c in network.letters["w0"].values())
    assert np.abs(network.models.mean(0) - mean).max() < 1e-5
    assert np.abs(network.models - mean).max() < 1e-4
    # What a neighbour keeps of a node is what the node itself does.
    for name in topology.names:
        for other in topology.neighbours(name):
            theirs = network.state[other].mine[f"estimate/{name}"]
            assert np.array_equal(theirs, network.state[name].array("estimate"))


def test_epidemic_learning_sends_to_so_many_others_and_all_know_it() -> None:
    topology, algorithm = CompleteGraph(10), EpidemicLearning(3)
    seen = set()
    for number in range(20):
        for name in topology.names:
            targets = algorithm.targets(topology, name, number, 7)
            assert len(set(targets)) == 3
            assert name not in targets
            seen.add(targets)
            for to in topology.names:
                hears = name in algorithm.sources(topology, to, number, 7)
                assert hears == (to in targets)
    assert len(seen) > 80  # of 120, two hundred times drawn


def test_the_oracle_keeps_the_mean_and_local_draws_do_in_expectation() -> None:
    oracle = FreshRegularGraph(10, degree=3, seed=2)
    network = Network(EpidemicLearning(), oracle, spread(oracle))
    mean = network.models.mean(0)
    assert np.abs(network.run(10).models.mean(0) - mean).max() < 1e-6
    assert np.ptp(network.models, axis=0).max() < 1e-2

    local = CompleteGraph(10)
    drifts = []
    for seed in range(200):
        one = Network(EpidemicLearning(3), local, spread(local), seed=seed).run(1)
        drifts.append(one.models.mean(0) - Network(PushSum(), local, spread(local)).models.mean(0))
    assert np.abs(drifts).max() > 1e-2
    assert np.abs(np.mean(drifts, axis=0)).max() < 4 * np.std(drifts) / np.sqrt(200)


def test_admm_finds_the_minimum_of_the_sum_where_dpsgd_does_not() -> None:
    topology = RingGraph(4)
    bends = np.array([1 + i % 3 for i in range(4)])
    best = float((bends * np.arange(4)).sum() / bends.sum())
    values: dict[str, Any] = {"gradient": curved, "lr": 0.1, "steps": 30}
    admm = Network(ConsensusADMM(rho=0.5), topology, alike(topology), **values).run(80)
    assert np.abs(admm.models - best).max() < 1e-4
    duals = np.sum([state.array("dual") for state in admm.state.values()], axis=0)
    assert np.abs(duals).max() < 1e-5
    drifting = Network(DFedAvg(), topology, alike(topology), **values).run(80)
    assert np.abs(drifting.models - best).max() > 0.1


def test_a_proximal_term_holds_nodes_together() -> None:
    topology = RingGraph(4)
    values: dict[str, Any] = {"gradient": curved, "lr": 0.1, "steps": 20}
    free = Network(DFedAvg(), topology, alike(topology), **values).run(20)
    held = Network(DFedAvg(mu=5.0), topology, alike(topology), **values).run(20)
    assert np.ptp(held.models, axis=0).max() < 0.7 * np.ptp(free.models, axis=0).max()


@pytest.mark.parametrize(
    ("algorithm", "topology", "sentence"),
    [
        (DPSGD(mixing=Uniform()), StarGraph(5), "so the mean of all would drift"),
        (
            DPSGD(),
            ExponentialGraph(8),
            r"or StochasticGradientPush \(PushSum, where nodes are to train once",
        ),
        (ChocoSGD(), FreshRegularGraph(6, degree=2), "use DPSGD"),
        (ConsensusADMM(), ExponentialGraph(8), "use an undirected graph that stays"),
        (EpidemicLearning(4), RingGraph(8), "w0 has 2 neighbours; use a smaller fanout"),
        (EpidemicLearning(2), FreshRegularGraph(6, degree=2), "leave out `fanout`"),
        (
            EpidemicLearning(),
            StarGraph(5),
            "to 2.2 under EpidemicLearning, and not to 1, .* use StochasticGradientPush",
        ),
        (EpidemicLearning(1), StarGraph(5), "have 1 to 4 neighbours, .* StochasticGradientPush"),
        (ConsensusADMM(rho=10), RingGraph(8), "take an lr of at most 0.05, or a smaller rho"),
        (DFedAvg(mu=30), RingGraph(8), "their product is at most 2"),
    ],
    ids=str,
)
def test_what_an_algorithm_does_not_hold_for_is_refused(
    algorithm: PairAlgorithm, topology: Peers, sentence: str
) -> None:
    with pytest.raises(Misfit, match=sentence):
        Run(Blobs(), topology, algorithm, local=SGD(lr=0.1), until=Rounds(2))


def test_unknown_words_are_refused() -> None:
    wanted = r"`mixing` of DPSGD: expected Metropolis\(\.\.\.\), Uniform\(\.\.\.\) or BestConstant"
    with pytest.raises(WrongType, match=wanted):
        DPSGD(mixing="metropolis")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="order"):
        DPSGD("after")  # type: ignore[arg-type]


@dataclass(frozen=True)
class Counted(DPSGD):
    """Keeps something, and says that it runs under ASP."""

    policies: ClassVar[tuple[str, ...]] = ("ASP",)


@dataclass(frozen=True)
class Trained(ADPSGD):
    """Has a training of its own."""

    def trained(self, ctx: PairCtx, state: PairState, before: Vector, after: Vector) -> PairState:
        return super().trained(ctx, state, before, after).keeping({"count": ctx.round})


@dataclass(frozen=True)
class Marked(ADPSGD):
    """Would keep something beside its model."""

    def started(self, ctx: PairCtx, state: PairState) -> PairState:
        return state.keeping({"mark": 1})


def test_under_asp_what_a_node_would_keep_ends_the_run_by_name(tmp_path: Path) -> None:
    run = Run(Blobs(), RingGraph(4), Marked(), sync=ASP(), local=SGD(lr=0.1), until=Rounds(2))
    with pytest.raises(RunFailed, match=r"Marked\.started keeps mark, and nodes that average"):
        run.start(on=Simulated(1), out=tmp_path)


@pytest.mark.parametrize("algorithm", [Counted(), Trained()], ids=repr)
def test_under_asp_an_algorithm_that_is_not_ad_psgd_is_refused(algorithm: PairAlgorithm) -> None:
    with pytest.raises(Misfit, match=r"derive it from ADPSGD and leave `trained` alone"):
        Run(Blobs(), RingGraph(4), algorithm, sync=ASP(), local=SGD(lr=0.1), until=Rounds(2))
