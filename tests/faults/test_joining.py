"""Runs that workers join late or leave before the end, by plan or for good, under any faults."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

import actors
from actorfl import (
    ASP,
    BSP,
    SSP,
    Algorithm,
    Buffered,
    FedAvg,
    Krum,
    Median,
    MultiKrum,
    Quorum,
    Rounds,
    Run,
    RunFailed,
    Sample,
    Scaffold,
    Star,
    Stay,
    Supervision,
    Sync,
    TrimmedMean,
)
from actorfl.chaos.scenario import scenario_of, shortened
from actorfl.chaos.settings import Chaos
from actorfl.exitcodes import ExitCode
from actors import Deployment, FaultPlan, Inline, Kill, Processes, Simulated
from actors.testing.chaos.worker import Player
from tests.faults.runs import carry_out, events, fits, rows, small, thorough
from tests.faults.tasks import Empty, Raising
from tests.faults.test_simulated import schedule, simulate

pytestmark = pytest.mark.timeout(300)

STAYS = (Stay("w1", join=2), Stay("w3", leave=3))
#: Who computes each clock.
MEMBERS = [("w0", "w2", "w3")] * 2 + [("w0", "w1", "w2", "w3"), *[("w0", "w1", "w2")] * 2]
SYNCS = [BSP(), SSP(1), SSP(3), ASP(), Buffered(3), Quorum(0.5)]


def named(sync: Sync) -> str:
    return repr(sync)


@pytest.mark.parametrize("on", [Inline(), Simulated(2), pytest.param(Processes(2), id="processes")])
def test_each_round_is_computed_by_those_who_are_of_the_run_and_lines_tell_of_changes(
    on: Deployment, tmp_path: Path
) -> None:
    run = small(stays=STAYS, algorithm=Scaffold())
    directory = actors.run(carry_out(run, tmp_path, on), on=on).directory
    lines = rows(directory)
    assert [row["updates"] for row in lines] == [len(each) for each in MEMBERS]
    assert set(fits(directory)) == {(n, c) for c, each in enumerate(MEMBERS) for n in each}
    assert [row.get("joined") for row in lines] == [None, None, ["w1"], None, None]
    assert [row.get("left") for row in lines] == [None, None, None, ["w3"], None]
    assert not any("absent" in row for row in lines)


def test_no_schedule_of_faults_changes_a_bit_of_a_run_that_workers_join_and_leave(
    tmp_path: Path,
) -> None:
    patient = Supervision(intensity=100)
    for seed in range(4):
        select = Sample(count=2) if seed % 2 else None
        run = small(stays=STAYS, algorithm=Scaffold(), select=select, supervision=patient)
        calm, _ = simulate(run, Simulated(2), tmp_path / f"calm{seed}")
        result, told = simulate(run, schedule(seed), tmp_path / str(seed))
        assert told.killed
        assert result.sha256 == calm.sha256
        if select is not None:
            drawn = [row["selected"] for row in rows(result.directory)]
            assert all(set(each) <= set(there) for each, there in zip(drawn, MEMBERS, strict=True))


@pytest.mark.parametrize("seeds", [2, thorough(200)])
@pytest.mark.parametrize("sync", SYNCS, ids=named)
def test_what_must_hold_under_a_policy_holds_across_joins_and_leaves(
    sync: Sync, seeds: int
) -> None:
    run = small(stays=STAYS, sync=sync, until=Rounds(5))
    chaos = Chaos(rounds=5)
    player = Player(scenario_of(shortened(run, chaos), chaos))
    for seed in range(seeds):
        played = player.played(seed)
        assert played.broken == {}, f"seed {seed}"


@pytest.mark.parametrize("sync", [SSP(1), ASP(), Buffered(3)], ids=named)
def test_without_a_barrier_who_joins_starts_late_and_who_leaves_has_its_clocks(
    sync: Sync, tmp_path: Path
) -> None:
    run = small(stays=STAYS, sync=sync, until=Rounds(6))
    result, _ = simulate(run, Simulated(4), tmp_path)
    found: dict[str, list[int]] = {}
    for name, clock in sorted(fits(result.directory)):
        found.setdefault(name, []).append(clock)
    assert found["w3"] == [0, 1, 2]
    assert found["w1"][0] >= 2
    assert found["w1"] == list(range(found["w1"][0], found["w1"][-1] + 1))
    assert rows(result.directory)[-1]["members"] == 3
    assert result.rounds == 6


# -- who is gone for good --------------------------------------------------------------------------

LEAVING = Supervision(intensity=1, outside=1, exhausted="leave")


@pytest.mark.parametrize("sync", [BSP(), Quorum(0.9), SSP(1)], ids=named)
def test_a_worker_that_fails_too_often_leaves_and_the_others_go_on(
    sync: Sync, tmp_path: Path
) -> None:
    run = small(task=Raising(), sync=sync, supervision=LEAVING)
    result, _ = simulate(run, Simulated(2), tmp_path)
    assert result.rounds == 5
    assert {name for name, _ in fits(result.directory)} == {"w0", "w1", "w2", "w3"}
    assert result.unpromised == {"w1": "it has left the run for good"}
    (left,) = [event for event in events(result.directory) if event.get("kind") == "left"]
    assert left["fields"]["worker"] == "w1"
    assert "nothing can be learned here" in left["fields"]["sentence"]
    if sync.barrier:
        first, *rest = rows(result.directory)
        assert first["absent"] == {"w1": "dead"}
        assert first["left"] == ["w1"]
        assert not any("absent" in row for row in rest)
    else:
        assert rows(result.directory)[-1]["members"] == 3


@pytest.mark.parametrize(
    ("algorithm", "warning"),
    [
        (Krum(f=1), "Krum with f=1 needs 5 updates, and 4 came; it went on with f=0"),
        (TrimmedMean(trim=2), "TrimmedMean with trim=2 needs 5 updates, and 4 came; it went on w"),
        (MultiKrum(f=0, m=5), "MultiKrum averages m=5 models, and 4 updates came, of which 0 may"),
        (Median(), None),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_rule_says_in_each_row_that_too_few_are_left_for_it(
    algorithm: Algorithm, warning: str | None, tmp_path: Path
) -> None:
    run = small(task=Raising(), topology=Star(5), algorithm=algorithm, supervision=LEAVING)
    result, _ = simulate(run, Simulated(2), tmp_path)
    told = [row.get("warning", "") for row in rows(result.directory)]
    if warning is None:
        assert not any(told)
    else:
        assert [f"round {n + 1}: {warning}" in each for n, each in enumerate(told)] == [True] * 5


@pytest.mark.parametrize("sync", [BSP(), SSP(1)], ids=named)
def test_workers_whose_process_dies_too_often_leave_though_the_aggregator_dies_too(
    sync: Sync, tmp_path: Path
) -> None:
    plan = FaultPlan(Kill("p1", 1.0), Kill("p1", 2.5), Kill("aggregator", 2.9), seed=2)
    on = Simulated(2, seed=2, compute=lambda node, _: 1.0, faults=plan)
    run = small(sync=sync, until=Rounds(8), supervision=LEAVING)
    result, told = simulate(run, on, tmp_path)
    assert told.killed >= 3
    assert result.rounds == 8
    assert set(result.unpromised) == {"w1", "w3"}


def test_a_worker_that_fails_too_often_ends_the_run_where_nobody_may_leave(tmp_path: Path) -> None:
    run = small(task=Raising(), supervision=dataclasses.replace(LEAVING, exhausted="end"))
    with pytest.raises(RunFailed, match="nothing can be learned here"):
        simulate(run, Simulated(2), tmp_path)


def test_a_run_that_everybody_has_left_ends_with_a_sentence(tmp_path: Path) -> None:
    run = small(algorithm=Refusing(), supervision=LEAVING)
    with pytest.raises(RunFailed, match=r"nobody is left, .* cannot go on; see .*log") as no:
        simulate(run, Simulated(2), tmp_path)
    assert no.value.exit_code is ExitCode.RUN_FAILED
    assert no.value.who == "aggregator"


@dataclasses.dataclass(frozen=True)
class Refusing(FedAvg):
    """Nobody can compute with it."""

    def up(self, ctx: Any, mine: Any) -> Any:
        raise ZeroDivisionError("nobody learns anything")


# -- why somebody is not in a round ----------------------------------------------------------------


def absences(run: Run, on: Simulated, out: Path) -> list[dict[str, Any]]:
    result, _ = simulate(run, on, out)
    return rows(result.directory)


def test_each_line_tells_of_each_absentee_why_it_is_not_in_the_round(tmp_path: Path) -> None:
    def slow(node: str, _: float | None) -> float:
        return {"p2": 30.0}.get(node, 1.0)

    on = Simulated(4, compute=slow)
    late = absences(small(sync=Quorum(0.75)), on, tmp_path / "late")
    assert late[0]["absent"] == {"w2": "late"}
    empty = absences(small(task=Empty(), sync=Quorum(0.75)), on, tmp_path / "empty")
    assert empty[0]["refused"] == {"w0": "no-examples"}
    sampled = absences(small(select=Sample(count=2)), on, tmp_path / "sampled")
    assert all(len(row["selected"]) == row["updates"] == 2 for row in sampled)
