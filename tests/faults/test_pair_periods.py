"""Push-sum and epidemic learning of nodes that each have a clock of their own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from actorfl import (
    BSP,
    DPSGD,
    SGD,
    CompleteGraph,
    EdgeListGraph,
    EpidemicLearning,
    Every,
    ExponentialGraph,
    FreshRegularGraph,
    PairAlgorithm,
    Period,
    PushSum,
    Result,
    RingGraph,
    Rounds,
    Run,
    Seconds,
    StochasticGradientPush,
    Supervision,
    UniformPeers,
)
from actorfl.algorithm import Algorithm
from actorfl.errors import Misfit
from actorfl.kept import folder_of
from actorfl.pairing import Content, PairCtx, PairState
from actorfl.peerstate import Saved, load
from actorfl.topology import Topology
from actors import (
    Deployment,
    Drop,
    Duplicate,
    FaultPlan,
    FileStorage,
    Inline,
    Jitter,
    Kill,
    Partition,
    Processes,
    Simulated,
    Snapshots,
)
from tests.faults.linear import Linear
from tests.faults.runs import rows
from tests.faults.test_gossip import PATIENT, simulate

pytestmark = pytest.mark.timeout(120)

NODES = 5
LOSSES = Drop(0.3), Duplicate(0.1), Jitter(15.0, p=0.2)
#: Three nodes at various points of a period, one of them twice.
DEATHS = Kill("p1", 42.0, 30.0), Kill("p3", 61.0, 5.0), Kill("p1", 155.0, 3.0), Kill("p0", 205.0)
FAULTS = pytest.mark.parametrize(
    "faults", [(), LOSSES, DEATHS, LOSSES + DEATHS], ids=["none", "loss", "deaths", "both"]
)


@dataclass(frozen=True)
class Halving(PairAlgorithm):
    """One of the user's own that does not say whether its equations hold by the clock."""

    def outgoing(self, ctx: PairCtx, state: PairState) -> tuple[Mapping[str, Content], PairState]:
        content: Content = {"model": state.weights}
        return dict.fromkeys(ctx.targets, content), state

    def incoming(
        self, ctx: PairCtx, state: PairState, received: Mapping[str, Content]
    ) -> PairState:
        return state.replaced(state.weights / 2)


def run(algorithm: Algorithm, topology: Topology | None = None, **changed: Any) -> Run:
    values: dict[str, Any] = {
        "sync": Period(10.0, save=5), "until": Rounds(40), "local": SGD(lr=0.5, batch=10),
        "evaluate": Every(20), "seed": 3, "supervision": PATIENT, **changed,
    }  # fmt: skip
    return Run(Linear(), topology or ExponentialGraph(NODES), algorithm, **values)


def on(*faults: Any, until: float = 300.0) -> Simulated:
    return Simulated(NODES, compute=0.0, faults=FaultPlan(*faults, until=until))


def saved(result: Result) -> dict[str, Saved]:
    """What lies on the disk of each node."""
    identity = json.loads((result.directory / "starts.json").read_text())["identity"]
    storage = FileStorage(result.directory)

    async def main() -> dict[str, Saved]:
        found = {}
        for place in range(NODES):
            snapshots = Snapshots(storage, folder_of(f"w{place}"), 0)
            one = await load(snapshots, identity)
            assert one is not None
            found[f"w{place}"] = one
        return found

    return asyncio.run(main())


def mass(states: dict[str, Saved], total: str) -> npt.NDArray[np.float64]:
    """What the nodes have, and what was sent and not received, of sums or of weights."""
    mark = "" if total == "sum" else "-weight"
    found = np.sum([np.asarray(one.state[f"mine/{total}"]) for one in states.values()], axis=0)
    for name, one in states.items():
        for key, sent in one.state.items():
            if key.startswith(f"mine/sent{mark}/"):
                to = states[key.rpartition("/")[2]].state
                found = found + sent - to.get(f"mine/got{mark}/{name}", 0.0)
    return np.asarray(found)


def models(result: Result) -> npt.NDArray[np.float64]:
    return np.array([one.weights.vector for one in saved(result).values()], dtype=np.float64)


@pytest.fixture(scope="module")
def mean(tmp_path_factory: pytest.TempPathFactory) -> npt.NDArray[np.float64]:
    """Of what the nodes have after training once, as rounds of push-sum find it."""
    rounds = run(PushSum(), sync=BSP())
    result, _, _ = simulate(rounds, on(), tmp_path_factory.mktemp("rounds"))
    found = models(result)
    assert np.ptp(found, axis=0).max() < 1e-6
    return np.asarray(found.mean(axis=0))


@FAULTS
def test_push_sum_keeps_its_mass_and_finds_the_mean_whoever_dies_and_whatever_is_lost(
    faults: tuple[Any, ...], mean: npt.NDArray[np.float64], tmp_path: Path
) -> None:
    result, statistics, _ = simulate(run(PushSum()), on(*faults), tmp_path)
    states = saved(result)
    assert mass(states, "weight") == pytest.approx(NODES, abs=1e-12)
    np.testing.assert_allclose(mass(states, "sum"), NODES * mean, atol=1e-5)
    np.testing.assert_allclose(models(result), np.tile(mean, (NODES, 1)), atol=1e-5)
    assert (statistics.killed > 0) == bool({*faults} & {*DEATHS})
    assert (statistics.faults.get("drop", 0) > 0) == bool({*faults} & {*LOSSES})


def test_what_a_node_of_push_sum_has_sent_is_durable_before_it_leaves(tmp_path: Path) -> None:
    gone = Kill("p1", 277.0, 90_000.0)
    seldom = run(PushSum(), sync=Period(10.0, save=10))
    result, _, _ = simulate(seldom, on(gone, until=100_000.0), tmp_path)
    states = saved(result)
    sent = {k: v for k, v in states["w1"].state.items() if k.startswith("mine/sent-weight/")}
    assert len(sent) == 3
    for key, weight in sent.items():
        got = states[key.rpartition("/")[2]].state["mine/got-weight/w1"]
        assert 0 < float(got) <= float(weight)
    assert states["w1"].rounds in {27, 28}


def test_a_node_counts_its_cycles_over_its_deaths_and_trains_once(tmp_path: Path) -> None:
    result, _, _ = simulate(run(PushSum()), on(*DEATHS), tmp_path)
    line = rows(result.directory)[-1]
    assert (line["round"], line["nodes"], line["age"]) == (40, NODES, 20)
    cycles = {name: one.rounds for name, one in saved(result).items()}
    assert cycles["w2"] == 40
    assert 34 <= cycles["w1"] < 40


@pytest.mark.parametrize(
    ("algorithm", "topology"),
    [
        (StochasticGradientPush(), ExponentialGraph(NODES)),
        (EpidemicLearning(2), CompleteGraph(NODES)),
        (EpidemicLearning(), FreshRegularGraph(NODES, degree=2)),
    ],
    ids=["sgp", "local", "oracle"],
)
def test_nodes_that_train_each_period_learn_and_stay_together_under_faults(
    algorithm: Algorithm, topology: Topology, tmp_path: Path
) -> None:
    result, _, _ = simulate(run(algorithm, topology), on(*LOSSES, *DEATHS), tmp_path)
    line = rows(result.directory)[-1]
    assert line["accuracy_worst"] > 0.95
    assert line["age"] > 20 * 30
    found = models(result)
    assert np.ptp(found, axis=0).max() < 0.2 * np.abs(found).max()


def test_the_same_seeds_give_the_same_models_and_digest(tmp_path: Path) -> None:
    one, two, other = (
        simulate(run(EpidemicLearning(2), CompleteGraph(NODES), until=Rounds(9), evaluate=Every(9)),
                 Simulated(2, seed=seed, compute=0.0), tmp_path)
        for seed in (1, 1, 2)
    )  # fmt: skip
    assert (one[0].sha256, one[1].digest) == (two[0].sha256, two[1].digest)
    assert one[1].digest != other[1].digest


#: Longer than what halves in each period takes to be rounding.
LONG = 900.0
AWAY = {
    "island": Partition((("p0",),), after=50.0, before=50.0 + LONG),
    "dead": Kill("p0", 50.0, LONG),
}


@pytest.mark.parametrize("away", list(AWAY))
@pytest.mark.parametrize("directed", [False, True], ids=["ring", "directed"])
def test_those_whose_neighbour_is_away_for_long_learn_on(
    directed: bool, away: str, tmp_path: Path
) -> None:
    links = (("w0", "w1"), ("w1", "w2"), ("w2", "w3"), ("w3", "w4"), ("w4", "w0"))
    topology = EdgeListGraph(edges=links, directed=directed)
    long = run(
        StochasticGradientPush(), topology, until=Rounds(110), evaluate=Every(5),
        local=SGD(lr=0.5, batch=10, steps=1),
    )  # fmt: skip
    result, _, _ = simulate(long, on(AWAY[away], until=2000.0), tmp_path)
    lines = [row for row in rows(result.directory) if "loss" in row]
    meanwhile = [row["loss"] for row in lines if 20 <= row["round"] <= 95]
    assert max(meanwhile) < lines[0]["loss"]
    assert lines[-1]["accuracy_worst"] > 0.95
    assert mass(saved(result), "weight") == pytest.approx(NODES, abs=1e-12)


@pytest.mark.parametrize("away", list(AWAY))
def test_whom_nobody_talks_to_keeps_its_estimate(away: str, tmp_path: Path) -> None:
    links = (("w0", "w1"), ("w1", "w2"), ("w2", "w3"), ("w3", "w4"), ("w4", "w0"))
    long = run(
        PushSum(), EdgeListGraph(edges=links, directed=True), until=Rounds(300), evaluate=Every(5)
    )
    result, _, _ = simulate(long, on(AWAY[away], until=2000.0), tmp_path)
    lines = [row for row in rows(result.directory) if "loss" in row]
    # w1 hears of w0 alone, and all others after it: they have one model in the end, and keep it.
    alone = [row["loss_worst"] for row in lines if 60 <= row["round"] <= 90]
    assert max(alone) - min(alone) < 1e-6
    found = models(result)
    assert np.ptp(found, axis=0).max() < 1e-5
    assert mass(saved(result), "weight") == pytest.approx(NODES, abs=1e-12)


@pytest.mark.parametrize("place", [Inline(), Processes(2)], ids=["inline", "processes"])
def test_push_sum_finds_the_same_mean_over_real_sockets(
    place: Deployment, mean: npt.NDArray[np.float64], tmp_path: Path
) -> None:
    real = run(PushSum(), sync=Period(0.05), until=Rounds(60), evaluate=Every(60))
    result = real.start(on=place, out=tmp_path)
    assert mass(saved(result), "weight") == pytest.approx(NODES, abs=1e-12)
    np.testing.assert_allclose(models(result), np.tile(mean, (NODES, 1)), atol=1e-5)


@pytest.mark.parametrize(
    ("algorithm", "changed", "sentence"),
    [
        (DPSGD(), {}, "does not run under Period; use Gossip, StochasticGradientPush or"),
        (
            Halving(),
            {},
            "EpidemicLearning, set `periods = True` in it if its equations hold there, or BSP",
        ),
        (
            PushSum(),
            {"evaluate": Every(41)},
            r"is every 41 periods, and .* after 40; use Every\(40\)",
        ),
        (
            PushSum(),
            {"until": Seconds(1.0)},
            "over before a period is; use a later `until`, or sho",
        ),
        (PushSum(), {"topology": UniformPeers(NODES)}, "nodes meet as it happens"),
        (EpidemicLearning(5), {"topology": RingGraph(NODES)}, "sends to 5 others"),
        (PushSum(), {"supervision": Supervision(exhausted="leave")}, "count on their neighbours"),
    ],
)
def test_what_does_not_run_by_the_clock_is_refused(
    algorithm: Algorithm, changed: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(Misfit, match=sentence):
        run(algorithm, **changed)
