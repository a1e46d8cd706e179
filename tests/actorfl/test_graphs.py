"""Graphs of nodes: who is whose neighbour, and what cannot be one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from actorfl import (
    BlockModelGraph,
    CompleteGraph,
    EdgeListGraph,
    ErdosRenyiGraph,
    ExponentialGraph,
    FreshRegularGraph,
    GridGraph,
    HypercubeGraph,
    Metropolis,
    Model,
    OnePeerExponentialGraph,
    PathGraph,
    Peers,
    RegularGraph,
    RingGraph,
    RoadGrid,
    Run,
    ScaleFreeGraph,
    ScheduleGraph,
    SmallWorld,
    StarGraph,
    TorusGraph,
    Uniform,
    Vehicles,
    average,
)
from actorfl.errors import ConfigError, Misfit, MissingKey, WrongType, WrongValue
from actorfl.layout import Layout, LayoutError
from tests.faults.programs import Handing
from tests.faults.tasks import Blobs

TWO_TOWNS = BlockModelGraph(blocks=(8, 8), p=((0.7, 0.1), (0.1, 0.7)), seed=3)
TRIANGLE = (("a", "b"), ("b", "c"), ("c", "a"))

#: One of each kind, of 16 nodes.
ALL: tuple[Peers, ...] = (
    RingGraph(16), PathGraph(16), GridGraph(16), TorusGraph(16), CompleteGraph(16), StarGraph(16),
    HypercubeGraph(16), ExponentialGraph(16), OnePeerExponentialGraph(16),
    RegularGraph(16, degree=4), ErdosRenyiGraph(16, p=0.3), SmallWorld(16),
    ScaleFreeGraph(16), TWO_TOWNS, FreshRegularGraph(16, degree=3),
    EdgeListGraph.of(nx.path_graph(16)), EdgeListGraph.of(nx.cycle_graph(16, nx.DiGraph)),
    ScheduleGraph.of(RingGraph(16), TorusGraph(16), every=2), Vehicles(16),
)  # fmt: skip


def named(graph: Peers) -> str:
    return type(graph).__name__


@pytest.mark.parametrize("graph", ALL, ids=named)
def test_of_a_node_that_there_is_not_nothing_is_said(graph: Peers) -> None:
    asked: list[Callable[[], object]] = [
        lambda: graph.neighbours("nobody"),
        lambda: graph.senders("nobody"),
        lambda: graph.targets("nobody", 1),
        lambda: graph.sources("nobody", 1),
        lambda: Metropolis().weights(graph, "nobody", 1),
        lambda: Uniform().weights(graph, "nobody", 1),
    ]
    for ask in asked:
        with pytest.raises(WrongValue, match=r"^a node of \w+ must be .*, got 'nobody'$"):
            ask()


@pytest.mark.parametrize("graph", ALL, ids=named)
def test_what_one_sends_another_hears_in_every_round(graph: Peers) -> None:
    names = graph.names
    assert len(set(names)) == 16
    for name in names:
        assert name not in graph.neighbours(name)
        assert len(set(graph.neighbours(name))) == len(graph.neighbours(name))
        assert all(name in graph.senders(other) for other in graph.neighbours(name))
        for number in (0, 1, 5):
            targets = graph.targets(name, number)
            assert set(targets) <= set(graph.neighbours(name))
            assert set(graph.sources(name, number)) <= set(graph.senders(name))
            assert all(name in graph.sources(other, number) for other in targets)
            if graph.fixed:
                assert targets == graph.neighbours(name)
                assert graph.sources(name, number) == graph.senders(name)
            if graph.symmetric:
                assert targets == graph.sources(name, number)
    assert graph.fixed == all(
        graph.targets(name, 0) == graph.targets(name, number)
        for name in names
        for number in range(1, 40)
    )
    assert graph.symmetric == all(
        set(graph.targets(name, number)) == set(graph.sources(name, number))
        for name in names
        for number in range(5)
    )


def places(graph: Peers, *of: int) -> list[list[int]]:
    """The neighbours of some nodes that are named w0, w1, ..., as numbers."""
    return [[int(other[1:]) for other in graph.neighbours(f"w{place}")] for place in of]


def test_each_node_of_a_ring_has_the_next_and_the_previous_one() -> None:
    assert places(RingGraph(4), 0, 1, 2, 3) == [[1, 3], [2, 0], [3, 1], [0, 2]]


def test_of_two_nodes_each_has_the_other() -> None:
    ring = RingGraph(named=("north", "south"))
    assert ring == RingGraph(2, ("north", "south"))
    assert [ring.neighbours(name) for name in ring.names] == [("south",), ("north",)]


def test_the_ends_of_a_path_have_one_neighbour() -> None:
    assert places(PathGraph(4), 0, 1, 3) == [[1], [2, 0], [2]]


def test_a_grid_has_edges_and_a_torus_goes_round() -> None:
    assert places(GridGraph(12, rows=3), 0, 5, 11) == [[1, 4], [6, 4, 9, 1], [10, 7]]
    assert places(TorusGraph(12, rows=3), 0, 5, 11) == [[1, 3, 4, 8], [6, 4, 9, 1], [8, 10, 3, 7]]
    assert places(TorusGraph(4), 0) == [[1, 2]]


@pytest.mark.parametrize(
    ("nodes", "shape"), [(8, (2, 4)), (16, (4, 4)), (32, (4, 8)), (21, (3, 7))]
)
def test_rows_and_columns_are_as_square_as_can_be(nodes: int, shape: tuple[int, int]) -> None:
    assert TorusGraph(nodes).shape == GridGraph(nodes).shape == shape
    assert TorusGraph(nodes) == TorusGraph(nodes, rows=shape[0])
    assert hash(TorusGraph(nodes)) == hash(TorusGraph(nodes, rows=shape[0]))


def test_in_a_complete_graph_each_node_has_all_others_and_in_a_star_one_has() -> None:
    graph = CompleteGraph(named=("a", "b", "c"))
    assert [graph.neighbours(name) for name in graph.names] == [("b", "c"), ("a", "c"), ("a", "b")]
    assert places(StarGraph(4), 0, 1, 3) == [[1, 2, 3], [0], [0]]


def test_neighbours_in_a_hypercube_differ_in_one_bit() -> None:
    assert places(HypercubeGraph(8), 0, 5) == [[1, 2, 4], [4, 7, 1]]


def test_an_exponential_graph_sends_powers_of_two_on() -> None:
    graph = ExponentialGraph(6)
    assert places(graph, 0, 5) == [[1, 2, 4], [0, 1, 3]]
    assert graph.senders("w0") == ("w5", "w4", "w2")
    one = OnePeerExponentialGraph(6)
    assert [one.targets("w5", number) for number in range(4)] == [
        ("w0",),
        ("w1",),
        ("w3",),
        ("w0",),
    ]
    assert [one.sources("w0", number) for number in range(4)] == [
        ("w5",),
        ("w4",),
        ("w2",),
        ("w5",),
    ]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (RegularGraph(30, degree=3, seed=7), nx.random_regular_graph(3, 30, seed=7)),
        (SmallWorld(30, k=6, seed=7), nx.watts_strogatz_graph(30, 6, 0.1, seed=7)),
        (ScaleFreeGraph(30, links=3, seed=7), nx.barabasi_albert_graph(30, 3, seed=7)),
        (ErdosRenyiGraph(30, p=0.3, seed=7), nx.fast_gnp_random_graph(30, 0.3, seed=7)),
        (TWO_TOWNS, nx.stochastic_block_model((8, 8), ((0.7, 0.1), (0.1, 0.7)), seed=3)),
        (
            HypercubeGraph(16),
            nx.convert_node_labels_to_integers(nx.hypercube_graph(4), ordering="sorted"),
        ),
        (
            GridGraph(30),
            nx.convert_node_labels_to_integers(nx.grid_2d_graph(5, 6), ordering="sorted"),
        ),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_graph_is_that_of_networkx(ours: Peers, theirs: Any) -> None:
    for place in range(len(ours.names)):
        assert sorted(places(ours, place)[0]) == sorted(theirs[place])


def test_a_draw_is_repeated_until_it_is_connected() -> None:
    first = next(
        seed
        for seed in range(100)
        if not nx.is_connected(nx.fast_gnp_random_graph(20, 0.15, seed=seed))
    )
    found = nx.Graph()
    graph = ErdosRenyiGraph(20, p=0.15, seed=first)
    found.add_edges_from((name, other) for name in graph.names for other in graph.neighbours(name))
    assert len(found) == 20
    assert nx.is_connected(found)
    parts = ErdosRenyiGraph(20, p=0.15, seed=first, connected=False)
    assert places(parts, 0) == [sorted(nx.fast_gnp_random_graph(20, 0.15, seed=first)[0])]


def test_a_fresh_graph_is_another_one_in_each_round_and_the_same_for_everyone() -> None:
    one, other = FreshRegularGraph(20, degree=3), FreshRegularGraph(20, degree=3)
    rounds = [tuple(one.targets(name, number) for name in one.names) for number in range(20)]
    assert len(set(rounds)) == 20
    assert rounds[7] == tuple(other.targets(name, 7) for name in other.names)
    assert {len(targets) for each in rounds for targets in each} == {3}
    assert FreshRegularGraph(20, degree=3, seed=1).targets("w0", 0) != one.targets("w0", 0)


def test_graphs_of_a_schedule_follow_one_another() -> None:
    graph = ScheduleGraph(edges=(TRIANGLE, (), (("a", "b"),)), every=2)
    assert [graph.targets("a", number) for number in range(7)] == [
        ("b", "c"), ("b", "c"), (), (), ("b",), ("b",), ("b", "c"),
    ]  # fmt: skip
    assert graph.neighbours("c") == ("a", "b")
    assert ScheduleGraph.of(RingGraph(4)).targets("w0", 3) == ("w1", "w3")


# -- vehicles --------------------------------------------------------------------------------------


def test_vehicles_stay_on_the_roads_and_go_at_their_speed() -> None:
    fleet = Vehicles(50, roads=RoadGrid(rows=3, columns=5, block=80), speed=(5, 20), seconds=2)
    before = fleet.positions(0)
    for number in range(1, 100):
        now = fleet.positions(number)
        assert now.min() >= 0
        assert (now.max(axis=0) <= (4 * 80, 2 * 80)).all()
        assert (np.minimum(now % 80, 80 - now % 80).min(axis=1) < 1e-9).all()
        gone = np.abs(now - before).sum(axis=1)
        assert gone.max() <= 2 * 20 + 1e-9  # along the streets; round a corner it may be less
        before = now


@pytest.mark.parametrize(
    ("number", "error"), [(-1, WrongValue), ("a", WrongType), (True, WrongType)]
)
def test_vehicles_are_somewhere_in_rounds_from_0_on(number: Any, error: type[ConfigError]) -> None:
    with pytest.raises(error, match="a round"):
        Vehicles(3).positions(number)


def test_vehicles_within_reach_are_neighbours() -> None:
    fleet = Vehicles(40, reach=120)
    at = fleet.positions(9)
    for place, name in enumerate(fleet.names):
        near = np.hypot(*(at - at[place]).T) <= 120
        near[place] = False
        assert fleet.targets(name, 9) == tuple(np.array(fleet.names)[near])


def test_where_vehicles_are_does_not_depend_on_which_rounds_were_looked_at() -> None:
    there = Vehicles(20)
    for number in (200, 3, 130, 64):
        assert (there.positions(number) == Vehicles(20).positions(number)).all()
    assert (Vehicles(20, seed=1).positions(0) != there.positions(0)).any()


def test_no_vehicle_turns_back() -> None:
    fleet = Vehicles(1 + 20, roads=RoadGrid(2, 2, block=100), speed=(10, 10), seconds=5)
    # Round a single block there is one way on at each corner, and four blocks are 40 s.
    assert (fleet.positions(0) == fleet.positions(8)).all()
    assert (fleet.positions(0) != fleet.positions(4)).any(axis=1).all()


# -- edges -----------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: CompleteGraph(1025), WrongValue, "1025 nodes of CompleteGraph would be wired by"),
        (lambda: TorusGraph(7), WrongValue, "7 nodes of TorusGraph fill no rectangle"),
        (lambda: GridGraph(12, rows=5), WrongValue, "`rows` of GridGraph must be a divisor"),
        (lambda: GridGraph(12, rows=1), WrongValue, "`rows` of GridGraph must be from 2 to 6"),
        (
            lambda: HypercubeGraph(12),
            WrongValue,
            "`nodes` of HypercubeGraph must be a power of two",
        ),
        (lambda: RegularGraph(7, degree=3), WrongValue, "no RegularGraph of 7 nodes has degree 3"),
        (lambda: FreshRegularGraph(7, degree=3), WrongValue, "make one of the two even"),
        (lambda: RegularGraph(7, degree=7), WrongValue, "`degree` of RegularGraph .* from 1 to 6"),
        (
            lambda: RegularGraph(8, degree=1),
            WrongValue,
            "none of 100 draws of RegularGraph with see",
        ),
        (lambda: FreshRegularGraph(1025, degree=2), WrongValue, "would be wired by"),
        (lambda: ErdosRenyiGraph(9, p=0), WrongValue, "`p` of ErdosRenyiGraph must be above 0"),
        (
            lambda: ErdosRenyiGraph(9, p=True),
            WrongType,
            "`p` of ErdosRenyiGraph: expected a number",
        ),
        (lambda: ErdosRenyiGraph(9999, p=0.5), WrongValue, "would be wired by"),
        (
            lambda: ErdosRenyiGraph(100, p=0.001),
            WrongValue,
            r"none of 100 draws .* is connected; use a greater `p` \(such as 0.069\), or connected = f",
        ),
        (lambda: SmallWorld(9, k=3), WrongValue, "must be even, half of it to each side"),
        (lambda: SmallWorld(9, p=2), WrongValue, "`p` of SmallWorld"),
        (lambda: ScaleFreeGraph(9, links=9), WrongValue, "`links` of ScaleFreeGraph .* 1 to 8"),
        (lambda: RegularGraph(8, degree=3, seed=-1), WrongValue, "`seed` of RegularGraph"),
        (lambda: RegularGraph(8, degree=3, connected=1), WrongType, "`connected` of RegularGraph"),  # type: ignore[arg-type]
        (lambda: BlockModelGraph(blocks=(), p=()), WrongValue, "from 1 to 64 blocks, got 0"),
        (lambda: BlockModelGraph(blocks=(2, 0), p=()), WrongValue, "one of `blocks` .* at least 1"),
        (lambda: BlockModelGraph(9, blocks=(4,), p=((1,),)), WrongValue, r"sum of its blocks \(4;"),
        (lambda: BlockModelGraph(blocks=(4, 4), p=((1,),)), WrongValue, "2 rows of 2 numbers"),
        (
            lambda: BlockModelGraph(blocks=(4,), p=((2,),)),
            WrongValue,
            "rows of numbers from 0 to 1",
        ),
        (
            lambda: BlockModelGraph(blocks=(4, 4), p=((1, 0.5), (0.4, 1))),
            WrongValue,
            r"number 0 in row 1 of `p` .* must be symmetric, as links are \(0.5 in row 0\), got 0.4",
        ),
        (lambda: EdgeListGraph(edges=()), MissingKey, "EdgeListGraph needs the key `nodes`"),
        (lambda: EdgeListGraph(edges=[("a", "b")]), WrongType, "a tuple of pairs"),  # type: ignore[arg-type]
        (lambda: EdgeListGraph(edges=(("a",),)), WrongType, "one of `edges` of Edge"),  # type: ignore[arg-type]
        (
            lambda: EdgeListGraph(named=("a", "b"), edges=(("a", "c"),)),
            WrongValue,
            "have one between a and c, and there is no node c; name it in `named`, or correct the",
        ),
        (lambda: EdgeListGraph(edges=(("a", "a"), ("a", "b"))), WrongValue, "from a to itself"),
        (
            lambda: EdgeListGraph(named=("a", "b", "c"), edges=(("a", "b"),)),
            WrongValue,
            "not connected: there is no way from a to c",
        ),
        (
            lambda: EdgeListGraph(edges=(("a", "b"), ("a", "c")), directed=True),
            WrongValue,
            "not connected: there is no way to a from b",
        ),
        (lambda: EdgeListGraph(edges=(("a" * 64, "b"),) * 12_000), WrongValue, "828000 characters"),
        (lambda: EdgeListGraph.of("ring"), WrongType, "a networkx.Graph"),
        (lambda: ScheduleGraph(edges=()), WrongValue, "have no graph; give one at least"),
        (lambda: ScheduleGraph(edges=(TRIANGLE, (("a", "a"),))), WrongValue, "from a to itself"),
        (lambda: ScheduleGraph(edges=(TRIANGLE,), every=0), WrongValue, "`every` of ScheduleGraph"),
        (lambda: ScheduleGraph.of(ExponentialGraph(8)), Misfit, "has links that go one way only"),
        (lambda: ScheduleGraph.of(Vehicles(8)), Misfit, "Vehicles changes by round"),
        (
            lambda: ScheduleGraph.of(RingGraph(8), RingGraph(9)),
            Misfit,
            "the same nodes in one order",
        ),
        (lambda: Vehicles(9, reach=0), WrongValue, "`reach` of Vehicles must be above 0"),
        (lambda: Vehicles(9, speed=(9, 3)), WrongValue, "the smaller one first"),
        (lambda: Vehicles(9, speed=(9,)), WrongType, "two numbers"),  # type: ignore[arg-type]
        (
            lambda: Vehicles(9, seconds=3600),
            WrongValue,
            "more than 64 crossings in a round of 3600",
        ),
        (lambda: Vehicles(9, roads="grid"), WrongType, "a RoadGrid"),  # type: ignore[arg-type]
        (lambda: RoadGrid(rows=1), WrongValue, "`rows` of RoadGrid must be from 2 to 1000"),
    ],
)
def test_what_is_no_graph_is_refused_by_a_sentence(
    make: Callable[[], object], error: type[ConfigError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        make()


def test_a_graph_of_as_many_links_as_there_may_be_is_taken() -> None:
    assert len(CompleteGraph(1024).neighbours("w7")) == 1023


# -- in a run --------------------------------------------------------------------------------------


@pytest.mark.parametrize("graph", ALL, ids=named)
def test_a_run_on_a_graph_reads_what_it_writes_and_has_one_hash(
    graph: Peers, tmp_path: Path
) -> None:
    run = Run(Blobs(), graph, node=Handing(rounds=7), seed=2)
    assert not {"algorithm", "until", "sync", "select"} & run.table().keys()
    (tmp_path / "run.toml").write_text(run.to_toml())
    again = Run.from_toml(tmp_path / "run.toml")
    assert (again, again.hash, again.topology) == (run, run.hash, graph)
    assert Run(Blobs(), graph, node=Handing(rounds=8), seed=2).hash != run.hash


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
    with pytest.raises(WrongType, match="what is averaged: expected a Model"):
        average(models[0], 2)  # type: ignore[arg-type]
