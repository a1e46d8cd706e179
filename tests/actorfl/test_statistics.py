"""Running statistics between neighbours: whatever the algorithm, they are means and never steps."""

from __future__ import annotations

import numpy as np
import pytest

from actorfl import BestConstant, RingGraph
from actorfl.algorithms.chocosgd import ChocoSGD
from actorfl.algorithms.dpsgd import DPSGD
from actorfl.algorithms.sgp import StochasticGradientPush
from actorfl.graphs.complete import CompleteGraph, StarGraph
from actorfl.graphs.exponential import ExponentialGraph
from actorfl.layout import Layout, Vector
from actorfl.pairing import PairAlgorithm
from actorfl.statistics import between, gone, way
from actorfl.topology import Peers
from tests.actorfl.neighbours import Network

LAYOUT = Layout.build(
    [("weight", (1,), "float32", "parameter"), ("running_var", (1,), "float32", "buffer")]
)


def settling(name: str, now: Vector) -> Vector:
    """Training takes nine tenths of the way to the variance of the node's own data, 0.1 to 4."""
    own = 0.1 if int(name[1:]) % 2 else 4.0
    return np.array([0.0, 0.9 * (now[1] - own)], np.float32)


@pytest.mark.parametrize(
    ("algorithm", "topology"),
    [
        (DPSGD(), RingGraph(4)),
        (DPSGD(), CompleteGraph(8)),
        (DPSGD("before"), RingGraph(4)),
        (DPSGD("before", mixing=BestConstant()), StarGraph(8)),
        (ChocoSGD(fraction=0.5, step=1), RingGraph(4)),
        (StochasticGradientPush(), ExponentialGraph(6)),
    ],
    ids=repr,
)
def test_a_running_variance_stays_between_those_of_the_data(
    algorithm: PairAlgorithm, topology: Peers
) -> None:
    # One node began elsewhere, so that merging moves as far as training does.
    start = {name: np.ones(2, np.float32) for name in topology.names}
    start["w0"] = np.full(2, 4.0, np.float32)
    network = Network(algorithm, topology, start, gradient=settling, lr=1.0, layout=LAYOUT)
    for _ in range(30):
        network.step()
        assert network.models[:, 1].min() > 0.099
        assert network.models[:, 1].max() < 4.001


def test_what_is_trained_beside_merging_is_a_step_of_parameters_and_a_mean_of_statistics() -> None:
    before, after = np.array([1, 1], np.float32), np.array([3, 0.2], np.float32)
    merged = np.array([10, 0.4], np.float32)
    now = gone(LAYOUT, merged, way(LAYOUT, before, after))
    assert now.tolist() == pytest.approx([12, 0.3])


def test_statistics_that_a_merge_put_outside_are_put_back() -> None:
    models = [np.array([1, 2], np.float32), np.array([3, 4], np.float32)]
    outside = np.array([9, -1], np.float32)
    assert between(LAYOUT, outside, models).tolist() == [9, 2]
