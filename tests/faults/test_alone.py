"""Nodes without neighbours train by themselves, and the run ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from actorfl import ASP, SGD, EdgeListGraph, Rounds, Run
from actorfl.algorithms.adpsgd import ADPSGD
from actorfl.graphs.complete import CompleteGraph
from actorfl.topology import Peers
from actors import Simulated
from tests.faults.tasks import Blobs


@pytest.mark.parametrize(
    "topology",
    [CompleteGraph(1), EdgeListGraph(edges=(("a", "b"),), named=("a", "b", "c"), connected=False)],
    ids=["one", "isolated"],
)
def test_under_ad_psgd_a_node_without_neighbours_trains_by_itself(
    topology: Peers, tmp_path: Path
) -> None:
    run = Run(Blobs(), topology, ADPSGD(), sync=ASP(), until=Rounds(3), local=SGD(lr=0.1, batch=8))
    result = run.start(on=Simulated(1), out=tmp_path)
    models = list((result.directory / "models").glob("*.safetensors"))
    assert len(models) == len(topology.names)
    accuracy = result.metrics["accuracy"]
    assert accuracy is not None
    assert accuracy > 0.5
