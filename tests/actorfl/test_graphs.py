"""Graphs of nodes: who is whose neighbour, and what cannot be one."""

from pathlib import Path

import numpy as np
import pytest

from actorfl import CompleteGraph, Model, RingGraph, Run, average
from actorfl.errors import ConfigError, MissingKey, WrongValue
from actorfl.layout import Layout, LayoutError
from tests.faults.programs import Handing
from tests.faults.tasks import Blobs


def test_each_node_has_the_next_and_the_previous_one() -> None:
    ring = RingGraph(4)
    assert [ring.neighbours(name) for name in ring.names] == [
        ("w1", "w3"), ("w2", "w0"), ("w3", "w1"), ("w0", "w2"),
    ]  # fmt: skip


def test_of_two_nodes_each_has_the_other() -> None:
    ring = RingGraph(named=("north", "south"))
    assert ring == RingGraph(2, ("north", "south"))
    assert [ring.neighbours(name) for name in ring.names] == [("south",), ("north",)]


def test_in_a_complete_graph_each_node_has_all_others() -> None:
    graph = CompleteGraph(named=("a", "b", "c"))
    assert [graph.neighbours(name) for name in graph.names] == [("b", "c"), ("a", "c"), ("a", "b")]


def test_a_graph_of_too_many_links_is_refused_by_their_number() -> None:
    assert len(CompleteGraph(1024).neighbours("w7")) == 1023
    with pytest.raises(WrongValue, match="the 1025 nodes of CompleteGraph would be wired by"):
        CompleteGraph(1025)


def test_a_graph_that_says_its_neighbours_alone_is_fixed_and_goes_both_ways() -> None:
    ring = RingGraph(4)
    assert ring.symmetric
    assert ring.fixed
    assert ring.senders("w0") == ring.targets("w0", 7) == ring.sources("w0", 7) == ("w1", "w3")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, MissingKey), ({"nodes": 1}, WrongValue), ({"nodes": 65_537}, WrongValue),
        ({"nodes": 3, "named": ("a", "b")}, WrongValue), ({"named": ("a", "a")}, WrongValue),
        *(({"named": ("a", name)}, WrongValue) for name in ("gatherer", "monitor", "nodes", "root")),
    ],
)  # fmt: skip
def test_what_is_no_ring_is_refused(arguments: dict[str, object], error: type[ConfigError]) -> None:
    with pytest.raises(error, match="RingGraph"):
        RingGraph(**arguments)  # type: ignore[arg-type]


def test_a_run_of_programs_reads_what_it_writes_and_has_one_hash(tmp_path: Path) -> None:
    run = Run(Blobs(), RingGraph(3), node=Handing(rounds=7), seed=2)
    assert not {"algorithm", "until", "sync", "select"} & run.table().keys()
    (tmp_path / "run.toml").write_text(run.to_toml())
    again = Run.from_toml(tmp_path / "run.toml")
    assert (again, again.hash) == (run, run.hash)
    assert Run(Blobs(), RingGraph(3), node=Handing(rounds=8), seed=2).hash != run.hash


def test_without_a_program_an_algorithm_is_needed() -> None:
    with pytest.raises(MissingKey, match="or give the nodes a program, `node`"):
        Run(Blobs(), RingGraph(3))


def test_an_average_weighs_all_alike_and_takes_the_largest_counter() -> None:
    layout = Layout.build([("a", (2,), "float32", "parameter")], [("n", (), "int64")])
    models = [
        Model(layout, np.array([1, value], np.float32), {"n": np.array(count)})
        for value, count in ((1, 5), (2, 9), (4, 7))
    ]
    mean = average(*models)
    assert mean.vector.dtype == np.float32
    assert mean.vector.tolist() == [1, np.float32(7 / 3)]
    assert mean.buffers["n"] == 9
    other = Model(Layout.build([("b", (2,), "float32", "parameter")]), np.zeros(2, np.float32), {})
    with pytest.raises(LayoutError, match="only models of one layout"):
        average(models[0], other)
    with pytest.raises(LayoutError, match="of one model at least"):
        average()
