"""Runs under each policy: whose bits they have, when they end, what they tell, what survives."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import actors
from actorfl import (
    ASP,
    BSP,
    SSP,
    Buffered,
    Clocks,
    Every,
    FedAsync,
    FedAvg,
    FedBuff,
    FedNova,
    HierFAVG,
    Median,
    Quorum,
    Result,
    Rounds,
    Run,
    Scaffold,
    Star,
    Tree,
    Updates,
    Versions,
    running,
)
from actorfl.algorithm import Algorithm
from actorfl.chaos import laws
from actorfl.errors import Misfit
from actorfl.sync import Sync
from actorfl.until import Until
from actorfl.witness import Act, witnessed_by
from actors import FaultPlan, Kill, Processes, Simulated
from tests.faults.runs import ROUNDS, carry_out, rows, small
from tests.faults.tasks import Broken, Fitful
from tests.faults.test_kills import fit, killing, slow
from tests.faults.test_simulated import simulate

pytestmark = pytest.mark.timeout(180)

WORKERS = 4
POLICIES: list[Sync] = [BSP(), Quorum(0.6), SSP(1), ASP(), Buffered(3)]
FREE: list[Sync] = [SSP(1), ASP(), Buffered(3)]


def uneven(node: str, examples: float | None) -> float:
    """Every node has a speed of its own; p3 is the slowest."""
    return 0.2 + 0.15 * int(node[1:]) if node[0] == "p" else 0.01


def played_alone(run: Run, out: Path, on: Simulated, *, resume: Path | None = None) -> Result:
    return actors.run(carry_out(run, out, on, resume=resume), on=on)


def played(out: Path, *, seed: int = 0, resume: Path | None = None, **values: Any) -> Result:
    on = Simulated(WORKERS, seed=seed, compute=uneven)
    return actors.run(carry_out(small(**values), out, on, resume=resume), on=on)


# -- bits ------------------------------------------------------------------------------------------


def test_ssp_without_any_staleness_has_the_bits_of_bsp(tmp_path: Path) -> None:
    told = {played(tmp_path, sync=sync).sha256 for sync in (BSP(), SSP(0))}
    assert len(told) == 1


def test_ssp_with_all_the_staleness_there_is_has_the_bits_of_asp(tmp_path: Path) -> None:
    """In the same simulation: the order in which updates come decides the bits."""
    told = [played(tmp_path, sync=sync) for sync in (ASP(), SSP(10**9), SSP(1))]
    assert told[0].sha256 == told[1].sha256 != told[2].sha256
    assert rows(told[0].directory) == rows(told[1].directory)


def test_an_update_of_each_worker_in_a_buffer_of_as_many_makes_one_version(tmp_path: Path) -> None:
    """All are made of version 0, so their mean is FedAvg's of equal weights."""
    result = played(tmp_path, sync=Buffered(WORKERS), algorithm=FedBuff(), until=Updates(WORKERS))
    (row,) = rows(result.directory)
    assert (row["version"], row["updates"], row["staleness"]) == (1, WORKERS, 0)


# -- rows ------------------------------------------------------------------------------------------


def test_a_line_without_a_barrier_tells_version_and_staleness(tmp_path: Path) -> None:
    told = rows(played(tmp_path, sync=ASP(), until=Rounds(3)).directory)
    assert [row["round"] for row in told] == [1, 2, 3]
    assert [row["version"] for row in told] == [4, 8, 12]
    assert [row["updates"] for row in told] == [WORKERS] * 3
    for row in told:
        assert 0 <= row["staleness"] <= row["stalest"] <= 12
        assert row["staleness"] * WORKERS == pytest.approx(round(row["staleness"] * WORKERS))
        assert {"train_loss", "accuracy", "examples", "bytes", "seconds"} <= row.keys()
        assert "absent" not in row
    # p3 takes three times as long as p0: its update is of a model that three others have moved.
    assert max(row["stalest"] for row in told) >= 3


def test_under_ssp_no_update_is_staler_than_the_bound_lets_it_be(tmp_path: Path) -> None:
    told = rows(played(tmp_path, sync=SSP(1), until=Clocks(5)).directory)
    # While one worker computes a clock the others end 2 * staleness + 1 at the most.
    assert 0 < max(row["stalest"] for row in told) <= 3 * (WORKERS - 1)
    assert sum(row["updates"] for row in told) == 5 * WORKERS


def test_buffers_move_the_model_once_for_all_their_updates(tmp_path: Path) -> None:
    told = rows(played(tmp_path, sync=Buffered(3), until=Rounds(3)).directory)
    assert told[-1]["version"] == 3 * WORKERS // 3
    assert sum(row["updates"] for row in told) == 3 * WORKERS


def test_a_quorum_names_who_is_absent_and_why(tmp_path: Path) -> None:
    told = rows(played(tmp_path, sync=Quorum(0.5), until=Rounds(8)).directory)
    why: dict[str, set[str]] = {}
    for row in told:
        absent = row.get("absent", {})
        assert row["updates"] + len(absent) == WORKERS
        assert row["updates"] >= 2
        for name, reason in absent.items():
            why.setdefault(name, set()).add(reason)
    # w3 is told of the first round and does not end it in time; then it still computes that.
    assert why["w3"] == {"late", "silent"}
    assert "w0" not in why


def test_nobody_is_absent_where_the_deadline_is_long_enough(tmp_path: Path) -> None:
    patient = played(tmp_path, sync=Quorum(0.5, deadline=60.0))
    assert not any("absent" in row for row in rows(patient.directory))
    assert patient.sha256 == played(tmp_path, sync=BSP()).sha256


def test_a_round_waits_until_its_deadline_for_those_that_it_could_do_without(
    tmp_path: Path,
) -> None:
    """p0 to p3 take .2 to .65 s; the timer closes it, and nobody comes just then."""
    told = rows(played(tmp_path, sync=Quorum(0.25, deadline=0.43), until=Rounds(8)).directory)
    assert told[0]["absent"] == {"w2": "late", "w3": "late"}
    # Also where the difference of two times is less than what was waited, by a rounding.
    assert [row["seconds"] for row in told] == pytest.approx([0.43] * 8, abs=0.002)


@pytest.mark.parametrize("sync", [*POLICIES, Quorum(1.0)], ids=str)
def test_who_sends_what_cannot_be_merged_is_refused_by_name_and_the_run_ends(
    sync: Sync, tmp_path: Path
) -> None:
    for until in (Rounds(3), Updates(10)):
        told = rows(played(tmp_path, sync=sync, algorithm=Broken(), until=until).directory)
        assert {name for row in told for name in row["refused"]} == {"w1"}
        assert {reason for row in told for reason in row["refused"].values()} == {"non-finite"}
        assert all(row["accuracy"] is not None for row in told)


@pytest.mark.parametrize("at", [1.0, 1.1, 1.2, 1.3, 1.4, 1.5])
def test_a_part_in_a_buffer_is_not_lost_where_its_worker_s_next_one_was_refused(
    at: float, tmp_path: Path
) -> None:
    run = small(algorithm=Fitful(), sync=Buffered(8), until=Updates(24))
    on = Simulated(2, faults=FaultPlan(Kill("aggregator", at=at), seed=1, until=10.0))
    acts: list[Act] = []
    with witnessed_by(acts.append):
        actors.run(carry_out(run, tmp_path, on), on=on)
    assert len({act.by for act in acts}) > 1
    assert laws.each_clock_follows_the_last(acts, run.topology.names) is None


@pytest.mark.parametrize("at", [0.7, 0.8, 0.9, 1.0, 1.1, 1.2])
def test_what_is_refused_after_a_run_was_resumed_to_a_later_end_is_durable(
    at: float, tmp_path: Path
) -> None:
    run = small(topology=Star(1), algorithm=Fitful("w0"), sync=ASP(), until=Updates(1))
    first = played_alone(run, tmp_path, Simulated(1, compute=uneven))
    faults = FaultPlan(Kill("aggregator", at=at), seed=1, until=10.0)
    acts: list[Act] = []
    with witnessed_by(acts.append):
        later = dataclasses.replace(run, until=Updates(6))
        on = Simulated(1, compute=uneven, faults=faults)
        played_alone(later, tmp_path, on, resume=first.directory)
    assert len({act.by for act in acts}) > 1
    assert laws.each_clock_follows_the_last(acts, ("w0",)) is None


@pytest.mark.parametrize("sync", [ASP(), SSP(1), Buffered(2)], ids=repr)
def test_of_an_edge_without_any_part_the_root_tells_whose_were_refused_and_why(
    sync: Sync, tmp_path: Path
) -> None:
    result = played(
        tmp_path, topology=Tree(root=1, edge=2, worker=2), algorithm=Broken(),
        sync={"root": sync, "edge": BSP()}, until=Rounds(3),
    )  # fmt: skip
    told = {of: why for row in rows(result.directory) for of, why in row["refused"].items()}
    assert told == {"edge1": "no-examples", "w1": "non-finite"}


@pytest.mark.parametrize("root", [BSP(), ASP(), SSP(1), Buffered(2)], ids=repr)
def test_of_those_whom_an_edge_did_not_wait_for_the_root_tells_the_names_and_no_examples(
    root: Sync, tmp_path: Path
) -> None:
    slow = {"p3": 4.0, "p1": 3.0}
    run = small(
        topology=Tree(root=1, edge=2, worker=4), sync={"root": root, "edge": Quorum(0.5)},
        until=Rounds(3),
    )  # fmt: skip
    on = Simulated(4, compute=lambda node, _: slow.get(node, 1.0))
    result, _ = simulate(run, on, tmp_path)
    told = rows(result.directory)
    assert {name for row in told for name in row.get("absent", {})} == {"w1", "w3"}
    # Two updates a round: of w0 through one edge, of w2 through the other one.
    assert {row["examples"] for row in told} <= {30 + 30, 30 + 50, 50 + 50}


@pytest.mark.parametrize("until", [Rounds(3), Versions(3)], ids=repr)
@pytest.mark.parametrize("sync", POLICIES, ids=str)
def test_a_run_in_which_all_is_refused_ends_with_a_line_that_says_so(
    sync: Sync, until: Until, tmp_path: Path
) -> None:
    run = small(topology=Star(1), algorithm=Broken(who="w0"), sync=sync, until=until)
    result, _ = simulate(run, Simulated(1), tmp_path)
    last = rows(result.directory)[-1]
    assert (last["round"], last["updates"], last["refused"]) == (3, 0, {"w0": "non-finite"})
    assert last["train_loss"] is None
    assert "the old model stays" in last["warning"]
    assert result.accuracy == last["accuracy"] is not None


# -- ends ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("until", "at"),
    [
        (Rounds(3), "central"),
        (Rounds(3), "workers"),
        (Clocks(3), "central"),
        (Versions(5), "central"),
        (Updates(10), "workers"),
    ],
    ids=str,
)
@pytest.mark.parametrize("sync", POLICIES, ids=str)
def test_each_end_is_reached_under_each_policy_and_the_last_line_is_evaluated(
    sync: Sync, until: Until, at: Any, tmp_path: Path
) -> None:
    held_back = 0.2 if at == "workers" else 0.0
    result = played(tmp_path, sync=sync, until=until, evaluate=Every(2, at=at), validate=held_back)
    told = rows(result.directory)
    numbers = [row["round"] for row in told]
    assert numbers == list(range(1, len(told) + 1))
    updates = sum(row["updates"] for row in told)
    versions = told[-1].get("version", len(told))
    match until:
        case Rounds():
            assert len(told) == 3
            assert sync.partial or updates == 3 * WORKERS
        case Clocks():
            # Who is faster has computed as many, and waits; under a barrier a clock is a round.
            assert sync.partial or updates == 3 * WORKERS
        case Versions():
            assert versions == 5
            assert sync.barrier or updates == 5 * sync.buffer
        case _ if sync.barrier:
            assert updates >= 10 > updates - told[-1]["updates"]
        case _:
            # What is left in a buffer that is not full is in no version.
            assert updates == 10 // sync.buffer * sync.buffer
    # Every second line is evaluated, and the last one.
    assert ["accuracy" in row for row in told] == [
        number % 2 == 0 or number == len(told) for number in numbers
    ]
    assert result.accuracy == told[-1]["accuracy"]


# -- what does not go together ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("algorithm", "sync", "fits"),
    [
        (Scaffold(), SSP(1), "BSP, Quorum, Buffered"),
        (Scaffold(), ASP(), "BSP, Quorum, Buffered"),
        (FedNova(), ASP(), "BSP, Quorum, Buffered"),
        (Median(), SSP(2), "BSP, Quorum, Buffered"),
        (FedAsync(), BSP(), "ASP, Buffered"),
        (FedAsync(), SSP(0), "ASP, Buffered"),
        (FedBuff(), Quorum(), "ASP, Buffered"),
    ],
    ids=str,
)
def test_an_algorithm_outside_its_policies_is_refused_before_anything_starts(
    algorithm: Algorithm, sync: Sync, fits: str, tmp_path: Path
) -> None:
    name, policy = type(algorithm).__name__, type(sync).__name__
    with pytest.raises(Misfit) as told:
        small(algorithm=algorithm, sync=sync)
    assert str(told.value) == (f"{name} does not go with {policy}; its equations hold under {fits}")


@pytest.mark.parametrize("algorithm", [Scaffold(), FedNova(), Median()], ids=str)
def test_what_needs_a_barrier_goes_with_ssp_without_any_staleness(algorithm: Algorithm) -> None:
    assert small(algorithm=algorithm, sync=SSP(0)).sync == SSP(0)


@pytest.mark.parametrize("sync", FREE, ids=str)
def test_there_is_nothing_to_record_where_there_are_no_rounds(sync: Sync) -> None:
    with pytest.raises(Misfit, match=f"under {type(sync).__name__} there are none; remove it"):
        small(sync=sync, record=True)


@pytest.mark.parametrize(
    ("until", "updates"), [(Rounds(2), 8), (Clocks(2), 8), (Updates(8), 8)], ids=repr
)
def test_a_run_that_would_end_before_its_first_buffer_is_full_is_refused(
    until: Until, updates: int
) -> None:
    small(sync=Buffered(updates), until=until)
    with pytest.raises(Misfit, match="ends after 8 updates, and Buffered gathers 9 before"):
        small(sync=Buffered(updates + 1), until=until)


@pytest.mark.parametrize(
    ("sync", "algorithm"), [
        ({"root": BSP(), "edge": BSP(rounds=2)}, FedAvg()),
        (BSP(), {"root": FedAvg(), "edge": FedNova()}),
        (BSP(), HierFAVG(2)),
    ], ids=repr,
)  # fmt: skip
def test_models_that_a_level_between_has_moved_are_not_to_be_recorded(
    sync: Any, algorithm: Any
) -> None:
    tree = Tree(root=1, edge=2, worker=4)
    small(topology=tree, record=True)
    with pytest.raises(Misfit, match="`record` keeps the models that the root sends down, and"):
        small(topology=tree, record=True, sync=sync, algorithm=algorithm)


# -- what survives ---------------------------------------------------------------------------------


@pytest.mark.parametrize("sync", [*FREE, Quorum(0.5)], ids=str)
def test_a_run_that_is_cut_in_its_middle_is_resumed_to_its_end(sync: Sync, tmp_path: Path) -> None:
    on = Simulated(WORKERS, compute=uneven)
    acts: list[Act] = []

    async def cut() -> Path:
        heard = asyncio.Event()

        def hear(row: Mapping[str, Any]) -> None:
            if row.get("round") == 2:
                heard.set()

        async with running(small(sync=sync), on, out=tmp_path, on_row=hear) as under_way:
            await heard.wait()
            assert under_way.live.processes is not None
            under_way.live.processes.kill("aggregator")
            return under_way.directory.path

    with witnessed_by(acts.append):
        directory = actors.run(cut(), on=on)
        before = rows(directory)
        result = played(tmp_path, resume=directory, sync=sync)
    told = rows(result.directory)
    assert result.directory == directory
    # The last line may have been written without a checkpoint that counts on it.
    assert told[: len(before) - 1] == before[:-1]
    assert [row["round"] for row in told] == list(range(1, ROUNDS + 1))
    names = small().topology.names
    if sync.barrier:
        assert laws.each_part_is_merged_at_most_once(acts, names, ROUNDS, 2) is None
        return
    assert laws.each_clock_follows_the_last(acts, names) is None
    # Each part that was acknowledged is in one line, whichever of the two runs merged it.
    whole = ROUNDS * WORKERS // sync.buffer * sync.buffer
    assert sum(row["updates"] for row in told) == whole


async def test_kills_of_real_processes_lose_no_update_and_merge_none_twice(tmp_path: Path) -> None:
    run = slow(sync=SSP(1), until=Clocks(3))
    disturb, kills = killing("p0", "aggregator", when=fit(1))
    result = await carry_out(run, tmp_path, Processes(2), disturb=disturb)
    assert (len(kills), result.restarts) == (2, 2)
    told = rows(result.directory)
    assert [row["round"] for row in told] == [1, 2, 3]
    assert sum(row["updates"] for row in told) == told[-1]["version"] == 3 * WORKERS
    assert result.accuracy == told[-1]["accuracy"] is not None
