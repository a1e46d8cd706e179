"""Gossip learning among nodes that know a few others, who change all the time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import actors
from actorfl import (
    SGD,
    Cyclon,
    Every,
    Gossip,
    Newscast,
    Period,
    Rounds,
    Run,
    Supervision,
    Topology,
    UniformPeers,
)
from actorfl.compiling import graph_of
from actorfl.errors import Misfit, WrongValue
from actorfl.execute import Result, running
from actorfl.graphs.report import report_on
from actors import (
    Deployment,
    Drop,
    FaultPlan,
    Inline,
    Kill,
    Partition,
    Processes,
    Simulated,
)
from actors.graphcheck import check
from tests.actorfl.test_pairing import Halves
from tests.faults.linear import Linear
from tests.faults.programs import Handing
from tests.faults.runs import rows
from tests.faults.tasks import Blobs

pytestmark = pytest.mark.timeout(120)

PATIENT = Supervision(intensity=1000, outside=1000)
LOCAL = SGD(lr=50.0, batch=10, weight_decay=1e-4)


def run(topology: Topology, gossip: Gossip | None = None, **changed: Any) -> Run:
    values: dict[str, Any] = {
        "sync": Period(10.0, save=5), "until": Rounds(30), "local": LOCAL, "evaluate": Every(10),
        "seed": 3, "supervision": PATIENT, "task": Linear(), **changed,
    }  # fmt: skip
    return Run(values.pop("task"), topology, gossip or Gossip(), **values)


def learned(run: Run, on: Deployment, out: Path) -> tuple[Result, list[str]]:
    """The result, and the sentences that are told on the way."""
    said: list[str] = []

    async def main() -> Result:
        async with running(
            run, on, out=out, on_row=lambda row: said.append(str(row.get("event", "")))
        ) as under_way:
            return await asyncio.wait_for(under_way.result(), 1e6)

    return actors.run(main(), on=on), [each for each in said if each]


@pytest.mark.parametrize("exchange", ["push", "push-pull", "pull"])
@pytest.mark.parametrize(
    "topology",
    [Newscast(12, view=4), Cyclon(12, view=4, shuffle=2), UniformPeers(12, view=4, period=20.0)],
    ids=["newscast", "cyclon", "uniform"],
)
def test_all_nodes_learn_from_peers_that_they_were_not_wired_to(
    topology: Topology, exchange: Any, tmp_path: Path
) -> None:
    on = Simulated(3, seed=1, compute=0.0)
    result, said = learned(run(topology, Gossip(exchange=exchange)), on, tmp_path)
    lines = rows(result.directory)
    each = 2 if exchange == "push-pull" else 1
    assert [row["messages"] for row in lines[1:]] == [each * 12 * 10] * 2
    assert lines[-1]["accuracy_worst"] > 0.9
    assert not said


@pytest.mark.parametrize(
    ("on", "topology"),
    [
        (Inline(), UniformPeers(6, view=3)),
        (Processes(2), Newscast(6, view=3)),
    ],
    ids=["inline", "processes"],
)
def test_the_same_on_a_clock_that_nobody_can_turn(
    on: Deployment, topology: Topology, tmp_path: Path
) -> None:
    short = run(topology, sync=Period(0.05, save=10), until=Rounds(40), evaluate=Every(40))
    result, _ = learned(short, on, tmp_path)
    (line,) = rows(result.directory)
    assert line["accuracy"] > 0.9
    assert line["messages"] > 6 * 20


def test_a_network_of_one_node_learns_from_itself(tmp_path: Path) -> None:
    alone = run(Newscast(named=("only",)))
    result, _ = learned(alone, Simulated(1, compute=0.0), tmp_path)
    assert rows(result.directory)[-1]["accuracy"] > 0.9


#: What goes wrong, in runs of 400 s.
TROUBLES = {
    "crash": FaultPlan(*(Kill(f"p{k}", 155.0, down=100.0) for k in range(2)), until=400.0),
    "islands": FaultPlan(
        Partition((("p[01]",), ("p[234]",)), others="between", after=100.0, before=250.0),
        until=400.0,
    ),
    "loss": FaultPlan(Drop(0.2), until=400.0),
}


def disturbed(faults: FaultPlan | None, out: Path) -> list[dict[str, Any]]:
    """The lines of a run of ten nodes in five processes."""
    on = Simulated(5, seed=2, compute=0.0, faults=faults or FaultPlan())
    return rows(learned(run(Newscast(10, view=4), until=Rounds(40)), on, out)[0].directory)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The same undisturbed."""
    return disturbed(None, tmp_path_factory.mktemp("calm"))


@pytest.mark.parametrize("trouble", list(TROUBLES))
def test_nodes_end_as_well_as_undisturbed_after_crashes_a_partition_or_loss(
    trouble: str, calm: list[dict[str, Any]], tmp_path: Path
) -> None:
    lines = disturbed(TROUBLES[trouble], tmp_path)
    assert lines[-1]["nodes"] == 10
    assert lines[-1]["accuracy"] > calm[-1]["accuracy"] - 0.015
    assert lines[-1]["accuracy_worst"] > calm[-1]["accuracy_worst"] - 0.03
    if trouble == "crash":  # those that are away are missed in the line of that time
        assert lines[1]["nodes"] == 6


def test_nodes_go_on_with_their_sample_while_the_membership_is_away(tmp_path: Path) -> None:
    plan = FaultPlan(Kill("membership", 55.0, down=120.0), until=200.0)
    on = Simulated(3, seed=1, compute=0.0, faults=plan)
    result, said = learned(run(UniformPeers(12, view=4)), on, tmp_path)
    assert [row["messages"] for row in rows(result.directory)[1:]] == [120, 120]
    assert rows(result.directory)[-1]["accuracy_worst"] > 0.9
    assert not [each for each in said if "no peer" in each]


def test_a_sampler_lives_where_its_node_does() -> None:
    on = Processes(5)

    async def nothing(*_: object) -> None: ...

    graph = graph_of(run(Cyclon(12)), "id", nothing, nothing, on=on)
    places = check(graph, on)
    for index in range(12):
        assert places[f"sampler{index}"] == places[f"w{index}"] == f"p{index % 5}"


def test_a_graph_of_many_nodes_has_no_more_links_than_views_hold() -> None:
    async def nothing(*_: object) -> None: ...

    graph = graph_of(run(Newscast(400, view=5)), "id", nothing, nothing, on=Simulated(2))
    # A sampler knows samplers and nodes of its contacts, and its own; a node knows the gatherer.
    assert len(graph.links) <= 400 * (2 * 5 + 2)


def test_who_waits_for_neighbours_is_refused() -> None:
    with pytest.raises(Misfit, match="in Newscast nodes meet as it happens"):
        Run(Blobs(), Newscast(4), Halves(), until=Rounds(2), local=SGD(0.1))
    with pytest.raises(Misfit, match="sends to neighbours that stay"):
        Run(Blobs(), Cyclon(4), node=Handing())


def test_there_is_no_graph_to_show() -> None:
    with pytest.raises(Misfit, match="in Cyclon nodes meet as it happens"):
        report_on(Cyclon(8))


def test_settings_of_topologies_that_cannot_be_are_refused() -> None:
    with pytest.raises(WrongValue, match="`view` of Newscast must be from 1 to 256, got 0"):
        Newscast(4, view=0)
    with pytest.raises(WrongValue, match="`shuffle` of Cyclon must be from 1 to 5"):
        Cyclon(4, view=5, shuffle=6)
    with pytest.raises(WrongValue, match="`period` of UniformPeers must be seconds above 0"):
        UniformPeers(4, period=0.0)
    with pytest.raises(WrongValue, match="another name than those"):
        Newscast(named=("membership",))


def test_contacts_are_drawn_once_for_each_node_and_seed() -> None:
    topology = Newscast(30, view=5)
    for name in topology.names:
        found = topology.contacts(name, 1)
        assert len(set(found)) == len(found) == 5
        assert name not in found
        assert found == topology.contacts(name, 1)
    assert topology.contacts("w1", 1) != topology.contacts("w1", 2)
    assert set(Newscast(3).contacts("w0", 1)) == {"w1", "w2"}
