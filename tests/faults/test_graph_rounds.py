"""Graphs whose links go one way, or that change by round, carry rounds as the ring does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load

from actorfl import (
    CompleteGraph,
    EdgeListGraph,
    ExponentialGraph,
    FreshRegularGraph,
    Metropolis,
    OnePeerExponentialGraph,
    Peers,
    Rounds,
    ScheduleGraph,
    Uniform,
    Vehicles,
    modelfile,
)
from actorfl.algorithms.consensus import AverageConsensus
from actorfl.algorithms.dpsgd import DPSGD
from actorfl.execute import Result
from actorfl.memo import Memo, memoised
from actors import Inline, Processes, Simulated
from actors.sim import SimulationStatistics
from tests.faults.tasks import Counting
from tests.faults.test_nodes import left, schedule, simulate
from tests.faults.test_pair_rounds import graph
from transports.sim import Net

pytestmark = pytest.mark.timeout(120)

GRAPHS: dict[Peers, Metropolis | Uniform] = {
    ExponentialGraph(5): Uniform(),
    OnePeerExponentialGraph(4): Uniform(),
    FreshRegularGraph(6, degree=3): Metropolis(),
    ScheduleGraph(edges=((("a", "b"),), (("b", "c"), ("c", "d")))): Metropolis(),
    Vehicles(6, reach=250): Metropolis(),
    EdgeListGraph(edges=(("a", "b"), ("b", "c"), ("d", "e")), connected=False): Metropolis(),
}


def vectors(result: Result) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The models that nodes ended with, in the order of their names."""
    found = [
        load((result.directory / modelfile.of_node(name)).read_bytes())
        for name in sorted(file.stem for file in (result.directory / "models").iterdir())
    ]
    return np.stack([np.concatenate([one[key].ravel() for key in sorted(one)]) for one in found])


@pytest.fixture(scope="module", autouse=True)
def memo() -> Iterator[Memo]:
    with memoised(Memo()) as one:
        yield one


@pytest.mark.parametrize("topology", GRAPHS, ids=lambda one: type(one).__name__)
def test_whatever_fails_nodes_end_with_the_same_bits_and_the_mean_is_kept(
    topology: Peers, tmp_path: Path
) -> None:
    run = graph(AverageConsensus(mixing=GRAPHS[topology]), topology, task=Counting())
    undisturbed = run.start(on=Inline(), out=tmp_path)
    result, _ = simulate(run, schedule(1), tmp_path / "faults")
    assert left(result) == left(undisturbed)
    once = vectors(replace(run, until=Rounds(1)).start(on=Inline(), out=tmp_path))
    ended = vectors(undisturbed)
    assert ended.mean(axis=0) == pytest.approx(once.mean(axis=0), abs=1e-5)
    assert ended.var(axis=0).sum() < once.var(axis=0).sum()


def test_on_a_one_peer_exponential_graph_all_nodes_have_the_mean(tmp_path: Path) -> None:
    run = graph(AverageConsensus(mixing=Uniform()), OnePeerExponentialGraph(4))
    ended = vectors(run.start(on=Inline(), out=tmp_path))
    assert ended == pytest.approx(np.broadcast_to(ended.mean(axis=0), ended.shape), abs=1e-6)


def test_vehicles_in_several_processes_have_the_bits_of_one(tmp_path: Path) -> None:
    run = graph(DPSGD(), Vehicles(4, reach=250), until=Rounds(2))
    expected = left(run.start(on=Inline(), out=tmp_path))
    assert left(run.start(on=Processes(2), out=tmp_path)) == expected


def test_on_slow_links_questions_after_letters_are_not_in_the_way_of_letters(
    tmp_path: Path,
) -> None:
    run = graph(AverageConsensus(), CompleteGraph(5), task="digits")

    def played(bandwidth: float) -> SimulationStatistics:
        def net(here: str, there: str) -> Net:
            return Net(bandwidth=bandwidth) if {here[0], there[0]} == {"p"} else Net()

        return simulate(run, Simulated(5, net=net), tmp_path / f"{bandwidth:g}")[1]

    quick, slow = played(1e6), played(500.0)
    assert slow.network.delivered < 3 * quick.network.delivered
    # Six rounds of letters of 2,688 bytes, and no more than a fifth for all else.
    assert slow.seconds < 1.2 * 6 * 2688 / 500
