"""Gossip goes on without nodes that are lost for good, and whoever else dies however often."""

from __future__ import annotations

from pathlib import Path

import pytest

from actorfl import (
    CompleteGraph,
    Cyclon,
    EpidemicLearning,
    FreshRegularGraph,
    Newscast,
    Period,
    PushSum,
    RingGraph,
    Stay,
    StochasticGradientPush,
    Supervision,
    Topology,
    UniformPeers,
)
from actorfl.algorithm import Algorithm
from actors import FaultPlan, Kill, Simulated
from tests.faults.programs import SENT, Sending
from tests.faults.runs import rows
from tests.faults.test_gossip import Broken, run, simulate

pytestmark = pytest.mark.timeout(120)


def test_neighbours_of_nodes_that_are_lost_say_so_and_learn_by_themselves(tmp_path: Path) -> None:
    # On this ring the neighbours of w0 and of w2 are w1 and w3.
    broken = run(
        topology=RingGraph(4), task=Broken(broken=(1, 3)), supervision=Supervision(),
    )  # fmt: skip
    result, _, said = simulate(broken, Simulated(2, compute=0.0), tmp_path)
    lines = rows(result.directory)
    assert lines[-1]["left"] == ["w1", "w3"]
    # Until they hear of it, which is when a line is due, they send to nobody that takes it.
    assert [line["messages"] for line in lines[2:]] == [0, 0]
    assert [line["age"] for line in lines] == sorted(line["age"] for line in lines)
    assert lines[-1]["age"] > 200
    assert lines[-1]["accuracy"] > 0.9
    for name in ("w0", "w2"):
        assert said.count(f"{name} has no peer that is there, and goes on by itself") == 1


@pytest.mark.parametrize(
    "topology",
    [CompleteGraph(5), Newscast(5, view=3), Cyclon(5, view=3, shuffle=2), UniformPeers(5)],
    ids=lambda topology: type(topology).__name__,
)
def test_nobody_sends_to_a_node_that_is_lost(topology: Topology, tmp_path: Path) -> None:
    broken = run(topology=topology, task=Broken(), supervision=Supervision(), rounds=60)
    result, _, _ = simulate(broken, Simulated(2, compute=0.0), tmp_path)
    lines = rows(result.directory)
    assert [line["left"] for line in lines] == [["w1"]] * 6
    assert [line["messages"] for line in lines[2:]] == [40] * 4
    assert [line["merged"] for line in lines[2:]] == [40] * 4


@pytest.mark.parametrize("topology", [CompleteGraph(5), Newscast(5, view=3), UniformPeers(5)])
def test_a_process_that_is_not_started_again_takes_its_nodes_alone(
    topology: Topology, tmp_path: Path
) -> None:
    dies = run(topology=topology, supervision=Supervision(outside=0))
    on = Simulated(5, compute=0.0, faults=FaultPlan(Kill("p1", 105.0), until=400.0))
    result, _, _ = simulate(dies, on, tmp_path)
    assert rows(result.directory)[-1]["left"] == ["w1"]
    assert rows(result.directory)[-1]["nodes"] == 4
    assert result.rounds == 40


@pytest.mark.parametrize("victim", ["gatherer", "membership"])
def test_who_only_looks_on_may_die_however_often(victim: str, tmp_path: Path) -> None:
    often = run(topology=UniformPeers(5), supervision=Supervision())
    kills = [Kill(victim, 100.0 + 1.1 * number) for number in range(30)]
    on = Simulated(2, compute=0.0, faults=FaultPlan(*kills, until=400.0))
    result, told, _ = simulate(often, on, tmp_path)
    assert told.killed > Supervision().outside
    assert result.rounds == 40
    assert rows(result.directory)[-1]["accuracy"] > 0.9


def test_what_a_node_sent_counts_whatever_it_had_saved(tmp_path: Path) -> None:
    # It saves nothing in 40 periods, so each incarnation counts from nothing.
    kills = [Kill("p1", at, 1.0) for at in (203.0, 303.0)]
    on = Simulated(2, compute=0.0, faults=FaultPlan(*kills, until=400.0))
    result, told, _ = simulate(run(sync=Period(10.0, save=1000)), on, tmp_path)
    assert told.killed == 2
    lines = rows(result.directory)
    # Of two nodes that die twice, soon after a line, it misses what none of the two has told.
    assert 200 - 2 * 2 * 2 <= sum(line["messages"] for line in lines) <= 200
    assert 200 - 2 * 2 * 4 <= sum(line["merged"] for line in lines) <= 200


@pytest.mark.parametrize("fanout", [None, 1])
def test_a_node_that_was_away_or_joins_late_is_on_the_graph_of_the_others(
    fanout: int | None, tmp_path: Path
) -> None:
    SENT.clear()
    graph = FreshRegularGraph(12, degree=2) if fanout is None else CompleteGraph(12)
    stays = (Stay("w5", join=20),)
    changing = run(topology=graph, algorithm=Sending(fanout=fanout), stays=stays)
    on = Simulated(12, compute=0.0, faults=FaultPlan(Kill("p0", 105.0, 100.0), until=400.0))
    simulate(changing, on, tmp_path)
    assert {name for at, name, _ in SENT if at > 250.0} == set(graph.names)
    algorithm = EpidemicLearning(fanout=fanout)

    def targets(name: str, number: int) -> tuple[str, ...]:
        return algorithm.targets(graph, name, number, changing.seed)

    def away(at: float) -> set[str]:
        """Who is known to be: w5 joins at 200 s, w0 is dead from 105 s to 205 s."""
        return {name for name, since, to in (("w5", 0, 199), ("w0", 120, 204)) if since < at < to}

    def may_be_away(at: float) -> set[str]:
        """The same with what it takes to notice."""
        return {name for name, since, to in (("w5", 0, 205), ("w0", 105, 215)) if since < at < to}

    def fit(at: float, sent: tuple[str, ...], whole: tuple[str, ...]) -> bool:
        """Whether it is sent to all targets that are there, and to no other."""
        missing = {*whole} - {*sent}
        return (
            tuple(each for each in whole if each in sent) == sent
            and missing <= may_be_away(at)
            and not away(at) & {*sent}
        )

    # One that was always there tells which round it is.
    always = [(at, sent) for at, name, sent in SENT if name == "w7"]
    assert len(always) == 40
    for number, (at, sent) in enumerate(always):
        assert fit(at, sent, targets("w7", number))
    for name, least in (("w0", 28), ("w5", 19)):
        mine = [(at, sent) for at, sender, sent in SENT if sender == name]
        assert len(mine) >= least
        for at, sent in mine:
            number = min(range(40), key=lambda each: abs(always[each][0] - at))
            assert any(fit(at, sent, targets(name, number + by)) for by in (-1, 0, 1))


@pytest.mark.parametrize(
    "algorithm", [EpidemicLearning(fanout=1), PushSum(), StochasticGradientPush()], ids=str
)
def test_a_node_without_neighbours_that_are_there_says_so(
    algorithm: Algorithm, tmp_path: Path
) -> None:
    faults = FaultPlan(Kill("p1", 100.0, 200.0), until=400.0)
    alone = run(topology=CompleteGraph(2), algorithm=algorithm)
    _, _, said = simulate(alone, Simulated(2, compute=0.0, faults=faults), tmp_path)
    told = [sentence for sentence in said if sentence.startswith("w0 has")]
    assert told == ["w0 has no peer that is there, and goes on by itself", "w0 has peers again"]
