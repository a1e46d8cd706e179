"""Algorithms between neighbours, in rounds: whoever dies on the way, the bits stay."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import load_file

import actors
from actorfl import (
    ASP,
    BSP,
    SGD,
    SSP,
    Every,
    FedAvg,
    Gradients,
    PathGraph,
    RingGraph,
    Rounds,
    Run,
    Sample,
    Seconds,
    Star,
    TopK,
    Topology,
)
from actorfl.algorithms.admm import ConsensusADMM
from actorfl.algorithms.adpsgd import ADPSGD
from actorfl.algorithms.chocosgd import ChocoSGD
from actorfl.algorithms.consensus import AverageConsensus
from actorfl.algorithms.dfedavg import DFedAvg
from actorfl.algorithms.dpsgd import DPSGD
from actorfl.algorithms.epidemic import EpidemicLearning
from actorfl.algorithms.pushsum import PushSum
from actorfl.algorithms.sgp import StochasticGradientPush
from actorfl.errors import Misfit
from actorfl.execute import running
from actorfl.graphs.complete import CompleteGraph
from actorfl.graphs.exponential import ExponentialGraph
from actorfl.graphs.regular import FreshRegularGraph
from actorfl.memo import Memo, memoised
from actorfl.pairing import PairAlgorithm
from actorfl.seeds import seed_for
from actors import (
    Deployment,
    FaultPlan,
    Freeze,
    Inline,
    Kill,
    Partition,
    Processes,
    Simulated,
)
from tests.faults.programs import SEEN, Scattered, Seen
from tests.faults.runs import carry_out
from tests.faults.tasks import Blobs, Counting
from tests.faults.test_nodes import PATIENT, left, schedule, simulate

pytestmark = pytest.mark.timeout(300)


def graph(algorithm: PairAlgorithm, topology: Topology | None = None, **changed: Any) -> Run:
    values: dict[str, Any] = {
        "local": SGD(lr=0.1, batch=8, steps=2),
        "until": Rounds(6),
        "seed": 3,
        "name": "graph",
        "supervision": PATIENT,
        **changed,
    }
    return Run(values.pop("task", Blobs()), topology or RingGraph(4), algorithm, **values)


@pytest.fixture(scope="module")
def memo() -> Iterator[Memo]:
    with memoised(Memo()) as one:
        yield one


@pytest.mark.parametrize("seeds", [2, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("algorithm", "topology"),
    [
        (DPSGD("beside"), RingGraph(4)),
        (DPSGD("before"), RingGraph(4)),
        (DFedAvg(mu=0.1), RingGraph(4)),
        (AverageConsensus(), RingGraph(4)),
        (ChocoSGD(fraction=0.3), RingGraph(4)),
        (ConsensusADMM(), RingGraph(4)),
        (StochasticGradientPush(), ExponentialGraph(4)),
        (EpidemicLearning(2), CompleteGraph(4)),
        (EpidemicLearning(), FreshRegularGraph(4, degree=2)),
    ],
    ids=repr,
)
def test_no_schedule_of_faults_changes_a_bit_of_any_node(
    algorithm: PairAlgorithm, topology: Topology, seeds: int, memo: Memo, tmp_path: Path
) -> None:
    run = graph(algorithm, topology, task=Counting())
    undisturbed = left(actors.run(carry_out(run, tmp_path, Simulated(2)), on=Simulated(2)))
    assert len(undisturbed) == 4 + 3
    started = 0
    for seed in range(seeds):
        result, statistics = simulate(run, schedule(seed), tmp_path / str(seed))
        assert left(result) == undisturbed, f"seed {seed}"
        started += statistics.started - 3
    assert started > seeds  # a fault that never took effect would prove nothing


def test_push_sum_under_ssp_loses_nothing_whoever_is_killed(tmp_path: Path) -> None:
    run = graph(PushSum(), ExponentialGraph(5), sync=SSP(2), until=Rounds(40))
    models = []
    for on in (Simulated(2), schedule(1)):
        result, _ = simulate(run, on, tmp_path)
        models.append(np.array([vector(file) for file in (result.directory / "models").iterdir()]))
    # All trained alike in the first round, so what they tend to is the mean of the same models.
    assert np.abs(models[0] - models[1]).max() < 1e-5
    assert np.ptp(models[0], axis=0).max() < 1e-5


@pytest.mark.parametrize("on", [Simulated(2), Processes(2)], ids=["simulated", "processes"])
def test_a_graph_gives_the_same_bits_wherever_it_runs(on: Deployment, tmp_path: Path) -> None:
    run = graph(DPSGD(), until=Rounds(2))
    expected = left(run.start(on=Inline(), out=tmp_path))
    assert left(run.start(on=on, out=tmp_path)) == expected


def test_ssp_without_staleness_is_bsp(tmp_path: Path) -> None:
    expected = left(actors.run(carry_out(graph(DPSGD()), tmp_path, Inline())))
    run = graph(DPSGD(), sync=SSP(0))
    assert left(actors.run(carry_out(run, tmp_path, Inline()))) == expected


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("staleness", [1, 3])
def test_under_ssp_a_node_is_ahead_of_its_neighbours_by_no_more_than_the_staleness(
    staleness: int, seed: int, tmp_path: Path
) -> None:
    SEEN.clear()
    run = graph(Seen(), RingGraph(6), sync=SSP(staleness), until=Rounds(12))

    def slow(node: str, examples: float | None) -> float:
        return 0.0 if examples is None else examples * (0.05 if node == f"p{seed}" else 0.01)

    plan = schedule(seed).faults if seed else FaultPlan()
    on = Simulated(6, seed=seed, compute=slow, faults=plan)
    result, _ = simulate(run, on, tmp_path)
    assert result.rounds == 12
    clocks: dict[str, int] = defaultdict(int)
    most = 0
    for what, name, number in SEEN:
        if what == "completed":
            clocks[name] = max(clocks[name], number + 1)
            continue
        for other in RingGraph(6).neighbours(name):
            assert number - clocks[other] <= staleness
            most = max(most, number - clocks[other])
    assert most == staleness


def test_a_run_that_has_ended_goes_on_to_a_later_end(tmp_path: Path) -> None:
    run = graph(DPSGD(), evaluate=Every(2))
    whole = left(actors.run(carry_out(run, tmp_path / "whole", Inline())))
    half = actors.run(carry_out(replace(run, until=Rounds(3)), tmp_path, Inline()))
    assert half.rounds == 3
    result = actors.run(carry_out(run, tmp_path, Inline(), resume=half.directory))
    assert left(result) == whole


def test_a_start_that_was_stopped_is_resumed_to_the_same_bits(tmp_path: Path) -> None:
    run = graph(DPSGD())
    expected = left(actors.run(carry_out(run, tmp_path, Inline())))

    second = asyncio.Event()

    def hear(row: Mapping[str, Any]) -> None:
        if row.get("round") == 2:
            second.set()

    async def stopped() -> Path:
        async with running(run, Inline(), out=tmp_path / "cut", on_row=hear) as under_way:
            await second.wait()
            return under_way.directory.path

    directory = actors.run(stopped())
    result = actors.run(carry_out(run, tmp_path, Inline(), resume=directory))
    assert left(result) == expected


@pytest.mark.parametrize("seed", range(3))
def test_random_pairs_keep_the_sum_of_all_models_whoever_is_killed(
    seed: int, tmp_path: Path
) -> None:
    run = graph(Scattered(), RingGraph(5), sync=ASP(), until=Rounds(12))
    on = schedule(seed) if seed else Simulated(2)
    result, _ = simulate(run, on, tmp_path)
    assert result.rounds == 12
    models = np.array([vector(file) for file in (result.directory / "models").iterdir()])
    first = []
    for name in run.topology.names:
        draw = np.random.Generator(np.random.PCG64(seed_for(run.seed, name, 0, "draw begin")))
        first.append(np.asarray(draw.normal(size=models.shape[1]), np.float32))
    assert np.abs(models.mean(0) - np.mean(first, axis=0)).max() < 1e-5
    assert np.ptp(models, axis=0).max() < 0.5 * np.ptp(first, axis=0).max()


def test_ad_psgd_learns_at_the_speed_of_each_node(tmp_path: Path) -> None:
    run = graph(ADPSGD(), RingGraph(3), sync=ASP(), until=Rounds(20))
    result, _ = simulate(run, Simulated(3, compute=_uneven), tmp_path)
    assert result.accuracy is not None
    assert result.accuracy > 0.8


@pytest.mark.parametrize("away", ["frozen", "cut off", "dead"])
def test_ad_psgd_waits_for_a_node_that_is_away_for_long(away: str, tmp_path: Path) -> None:
    # w1 has asked w2 for a mean, so it is busy for w0 until w2 is back.
    seconds = 320.0  # and some 1,200 answers
    islands = (("p0", "p1"), ("p2",))
    faults: dict[str, Freeze | Partition | Kill] = {
        "frozen": Freeze("p2", 8.0, seconds),
        "cut off": Partition(islands, others="between", after=8.0, before=8.0 + seconds),
        "dead": Kill("p2", 8.0, down=seconds),
    }
    plan = FaultPlan(faults[away], until=500.0)
    run = graph(ADPSGD(), PathGraph(3), sync=ASP(), until=Rounds(100))
    on = Simulated(3, compute=0.5, faults=plan)
    result, told = simulate(run, on, tmp_path)
    assert told.seconds > seconds
    assert (result.rounds, result.restarts) == (100, int(away == "dead"))


def _uneven(node: str, examples: float | None) -> float:
    return 0.5 if node == "p0" else 0.1


def vector(file: Path) -> npt.NDArray[np.float32]:
    """A model of ``Blobs``, in the order of its layout."""
    tensors = load_file(file)
    names = ("0.weight", "0.bias", "2.weight", "2.bias")
    return np.concatenate([tensors[name].reshape(-1) for name in names])


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"sync": ASP()}, "DPSGD does not go with ASP; between neighbours it runs under BSP or"),
        ({"sync": SSP(61)}, "use a staleness of at most 60"),
        ({"sync": BSP(rounds=2)}, "how many rounds nodes have is said by `until`"),
        ({"until": Seconds(5)}, "no node of RingGraph sees what all have done"),
        ({"topology": Star(4)}, "DPSGD is computed between neighbours, and Star has an aggregator"),
        ({"compress": TopK(0.1)}, "TopK would spoil it; remove `compress`, or use ChocoSGD"),
        ({"local": Gradients(batch=8)}, "the nodes of DPSGD train by themselves"),
        ({"select": Sample(0.5)}, "the nodes of DPSGD wait for their neighbours; remove `select`"),
        ({"parts": {"0.*": "local", "*": "shared"}}, "what a node sends of its model"),
        ({"record": True}, "`record` is for runs with a centre"),
        ({"algorithm": FedAvg()}, "RingGraph has no centre, and FedAvg needs one"),
    ],
)
def test_what_does_not_fit_an_algorithm_between_neighbours_is_refused(
    changed: dict[str, Any], sentence: str
) -> None:
    values = {"algorithm": DPSGD(), **changed}
    with pytest.raises(Misfit, match=sentence):
        graph(values.pop("algorithm"), values.pop("topology", None), **values)
