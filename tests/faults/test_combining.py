"""Workers that are added up in their own process: the same bits, whoever is killed, and fewer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import actors
from actorfl import (
    ASP,
    BSP,
    EightBit,
    FedAvg,
    Median,
    Quorum,
    Rounds,
    Run,
    Sample,
    Scaffold,
    Star,
    Supervision,
    Tree,
)
from actorfl.combining import COMBINERS, combined, process_of
from actorfl.errors import Misfit, WrongValue
from actorfl.execute import running
from actorfl.topology import Node
from actors import AtClock, CrashPoint, Deployment, FaultPlan, Inline, Kill, Processes, Simulated
from tests.actorfl.configs import made_in, run_of
from tests.faults.runs import ROUNDS, carry_out, fits, learned, rows, small, thorough
from tests.faults.tasks import Broken, Counting, Empty, Tally, Wider
from tests.faults.test_simulated import schedule, simulate

pytestmark = pytest.mark.timeout(300)

EIGHT = {"topology": Star(8)}


def combiners(run: Run, on: Deployment) -> dict[str, tuple[str, ...]]:
    """The workers below each combiner, by the process of both."""
    found: dict[str, tuple[str, ...]] = {}

    def look(node: Node) -> None:
        if node.level == COMBINERS:
            found[process_of(node)] = found.get(process_of(node), ()) + node.workers
        for each in node.below:
            look(each)

    topology = run.topology
    assert isinstance(topology, (Star, Tree))
    look(combined(run, on, topology.root))
    return found


# -- who is combined -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("combine", "on", "expected"),
    [
        ("auto", Simulated(2), {"p0": ("w0", "w2", "w4", "w6"), "p1": ("w1", "w3", "w5", "w7")}),
        ("auto", Simulated(3), {"p0": ("w0", "w3", "w6"), "p1": ("w1", "w4", "w7")}),
        ("auto", Processes(4), {}),
        (True, Processes(4), {f"p{i}": (f"w{i}", f"w{i + 4}") for i in range(4)}),
        (True, Simulated(8), {}),
        (True, Inline(), {}),
        (False, Simulated(2), {}),
    ],
)
def test_workers_of_one_process_are_combined_where_that_saves_bytes(
    combine: Any, on: Deployment, expected: dict[str, tuple[str, ...]]
) -> None:
    assert combiners(small(combine=combine, **EIGHT), on) == expected


def test_in_a_tree_those_of_one_process_and_one_aggregator_are_combined() -> None:
    run = small(combine="auto", topology=Tree(root=1, edge=2, worker=12))
    assert combiners(run, Simulated(2)) == {
        "p0": ("w0", "w2", "w4", "w6", "w8", "w10"), "p1": ("w1", "w3", "w5", "w7", "w9", "w11"),
    }  # fmt: skip
    run = small(combine="auto", topology=Tree(root=1, edge=3, worker=12))
    assert combiners(run, Simulated(2)) == {}


UNFIT = [
    ({"algorithm": Median()}, "Median looks at each update by itself"),
    ({"sync": ASP()}, "ASP does not wait for all workers"),
    ({"sync": Quorum(0.5)}, "Quorum does not wait for all workers"),
    ({"select": Sample(0.5)}, "`select` has some of the workers compute"),
    ({"compress": EightBit()}, "`compress` makes updates smaller than their sum"),
    (
        {"topology": Tree(root=1, edge=2, worker=8), "sync": {"root": BSP(), "edge": BSP(2)}},
        "its levels have different policies",
    ),
]


@pytest.mark.parametrize(("values", "why"), UNFIT, ids=lambda value: "")
def test_what_cannot_be_combined_is_refused_and_left_alone_by_auto(
    values: dict[str, Any], why: str
) -> None:
    with pytest.raises(Misfit, match=f"`combine` adds up the workers of a process, but {why}"):
        run_of(combine=True, **values)
    assert combiners(run_of(combine="auto", **values), Simulated(2)) == {}


def test_combining_is_written_and_read_and_is_no_part_of_what_is_learned(tmp_path: Path) -> None:
    folder = made_in(tmp_path)
    plain = Run.from_toml(folder / "run.toml")
    assert "combine" not in plain.table()
    for setting, value in (("combine=true", True), ("combine=auto", "auto")):
        run = Run.from_toml(folder / "run.toml", [setting])
        assert run.combine == value
        assert run.hash == plain.hash
        (folder / "again.toml").write_text(run.to_toml())
        assert Run.from_toml(folder / "again.toml") == run
    with pytest.raises(WrongValue, match='`combine` of Run must be true, false or "auto"'):
        run_of(combine="yes")


# -- the same bits ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        {"task": Counting(), "validate": 0.2},
        {"algorithm": Scaffold()},
        {"algorithm": Scaffold(), "topology": Star(5)},
        {"algorithm": Broken("nan", "w3")},
        {"algorithm": Broken("huge", "w3")},
        {"task": Empty(without=5)},
        {"topology": Tree(root=1, edge=2, worker=12)},
    ],
    ids=["buffers", "scaffold", "two alone", "refused", "wider grid", "without examples", "tree"],
)
def test_a_run_tells_the_same_with_combiners_and_without(
    values: dict[str, Any], tmp_path: Path
) -> None:
    values = {**EIGHT, "until": Rounds(3), **values}
    alone, _ = simulate(small(**values), Simulated(2), tmp_path / "alone")
    combined, _ = simulate(small(combine="auto", **values), Simulated(2), tmp_path / "combined")
    assert combined.sha256 == alone.sha256
    assert combined.metrics == alone.metrics
    assert learned(combined.directory) == learned(alone.directory)


def test_combining_sends_less(tmp_path: Path) -> None:
    sent = {}
    for combine in (False, "auto"):
        values = {"task": Wider(), "until": Rounds(3), "combine": combine, **EIGHT}
        result, network = simulate(small(**values), Simulated(2), tmp_path / str(combine))
        sent[combine] = (result.bytes, network.network.nbytes)
    model = 4 * 24_586
    # Down one model for each process instead of each worker; up one sum, of 8 bytes a parameter.
    assert sent[False][0] == pytest.approx(3 * 16 * model, rel=0.01)
    assert sent["auto"][0] == pytest.approx(3 * 2 * (1 + 2) * model, rel=0.01)
    # What is told is what went over the network.
    saved = [sent[False][of] - sent["auto"][of] for of in (0, 1)]
    assert saved[0] == pytest.approx(saved[1], rel=0.02)


# -- whoever is killed -----------------------------------------------------------------------------

PATIENT = {"supervision": Supervision(intensity=100)}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    run = small(algorithm=Tally(), **EIGHT)
    return simulate(run, Simulated(2), tmp_path_factory.mktemp("expected"))[0].sha256


@pytest.mark.parametrize("action", ["sigkill", "raise"])
@pytest.mark.parametrize(
    "point", ["worker.fit", "worker.saved", "worker.put", "edge.start", "edge.merged"]
)
def test_the_death_of_a_worker_or_of_its_combiner_changes_no_bit(
    point: str, action: str, expected: str, tmp_path: Path
) -> None:
    run = small(algorithm=Tally(), combine="auto", **EIGHT)
    at: int | AtClock = 1 if point == "edge.start" else AtClock(2)
    crash = CrashPoint(point=point, action=action, at=at, node="p0")
    result, network = simulate(run, Simulated(2, faults=FaultPlan(crash)), tmp_path)
    assert network.faults == {"crash": 1}
    assert result.sha256 == expected
    if action == "raise":  # alone; the others of its process go on
        again = {clock for (_, clock), times in fits(result.directory).items() if times > 1}
        assert len(again) <= 1
        assert result.restarts == 1


@pytest.mark.parametrize("seeds", [3, thorough(40)])
def test_no_schedule_of_faults_changes_a_bit_of_what_is_combined(
    seeds: int, expected: str, tmp_path: Path
) -> None:
    run = small(algorithm=Tally(), combine="auto", **EIGHT, **PATIENT)
    for seed in range(seeds):
        result, _ = simulate(run, schedule(seed), tmp_path / str(seed))
        assert result.sha256 == expected, f"seed {seed}"
        assert len(rows(result.directory)) == ROUNDS


@pytest.mark.parametrize("ways", [(2, 1), (1, 2), (2, 3)], ids=["fewer", "more", "another rest"])
def test_a_run_is_resumed_where_others_live_together(
    ways: tuple[int, int], expected: str, tmp_path: Path
) -> None:
    first, second = ways

    async def begun() -> Path:
        run = small(algorithm=Tally(), combine=True, until=Rounds(2), **EIGHT)
        async with running(run, Simulated(first), out=tmp_path) as under_way:
            return (await under_way.result()).directory

    async def ended(directory: Path) -> str:
        run = small(algorithm=Tally(), combine=True, **EIGHT)
        async with running(run, Simulated(second), resume=directory) as under_way:
            return (await under_way.result()).sha256

    directory = actors.run(begun(), on=Simulated(first))
    assert actors.run(ended(directory), on=Simulated(second)) == expected


@pytest.mark.slow
def test_real_processes_are_combined_and_killed(tmp_path: Path) -> None:
    run = small(algorithm=FedAvg(), combine="auto", topology=Star(6))
    expected = actors.run(carry_out(small(topology=Star(6)), tmp_path, Inline())).sha256
    on = Processes(2, faults=FaultPlan(Kill("p1", at=6.0)))
    assert actors.run(carry_out(run, tmp_path, on)).sha256 == expected
