"""A parameter server in shards: the bits of one in one piece, whoever is killed when."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

import actors
from actorfl import (
    ASP,
    BSP,
    SGD,
    SSP,
    Buffered,
    Clocks,
    Every,
    FedAvg,
    Quorum,
    Rounds,
    Run,
    Sample,
    Seconds,
    Star,
    Supervision,
    Sync,
    TopK,
)
from actorfl.chaos import laws
from actorfl.errors import Misfit, WrongValue
from actorfl.replaying import replay
from actorfl.witness import Act, witnessed_by
from actors import CrashPoint, FaultPlan, Inline, Processes, Simulated
from actors.faults.kinds import Drop, Duplicate, Jitter, Kill, Reorder, Torn
from tests.actorfl.switching import Calm
from tests.faults.runs import carry_out, events, learned, rows
from tests.faults.serving import keep_laws, served
from tests.faults.tasks import Blobs, Broad, Counting, Empty, Misled, Spread
from tests.faults.test_kills import fit, killing
from tests.faults.test_simulated import PATIENT, simulate

pytestmark = pytest.mark.timeout(120)


def short(shards: int | None = None, **changed: Any) -> Run:
    topology = Star(4, shards=shards)
    return served(**{"task": Counting(), "topology": topology, "until": Rounds(3), **changed})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return actors.run(carry_out(short(), tmp_path_factory.mktemp("whole"))).sha256


# -- the bits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"sync": SSP(0)},
        {"select": Sample(0.5)},
        {"evaluate": Every(2, at="workers"), "validate": 0.25},
        {"task": Empty(without=1)},
        {"task": Empty(without=4)},
        {"algorithm": Spread(), "local": SGD(0.1, batch=8)},
        *({"algorithm": Misled(0.1, momentum=0.9, how=how)} for how in
          ("nan", "wide", "huge", "shape", "key", "weight")),
    ],
    ids=str,
)  # fmt: skip
def test_shards_have_the_bits_and_the_rows_of_one_piece(
    changed: dict[str, Any], tmp_path: Path
) -> None:
    whole, cut = (
        actors.run(carry_out(short(shards, **changed), tmp_path / str(shards)))
        for shards in (None, 3)
    )
    assert cut.sha256 == whole.sha256
    assert learned(cut.directory) == learned(whole.directory)


@pytest.mark.parametrize("sync", [BSP(), Quorum(0.6), SSP(1), ASP()], ids=repr)
def test_time_ends_a_run_of_shards_as_one_of_one_piece(sync: Sync, tmp_path: Path) -> None:
    ended = []
    for shards in (None, 2):
        run = short(shards, sync=sync, until=Seconds(3.5) | Rounds(30))
        result, _ = simulate(run, Simulated(4, compute=1.0), tmp_path / str(shards))
        ended.append(result.rounds)
        assert sum(row["seconds"] for row in rows(result.directory)) < 6.0
    assert ended[0] == ended[1] < 30


@pytest.mark.parametrize("shards", [1, 2, 4])
def test_any_number_of_shards_has_the_same_bits(
    shards: int, undisturbed: str, tmp_path: Path
) -> None:
    assert actors.run(carry_out(short(shards), tmp_path)).sha256 == undisturbed


@pytest.mark.parametrize("shards", [2, 4])
def test_slices_wait_for_no_memory_that_other_slices_hold(shards: int, tmp_path: Path) -> None:
    """All workers are in one process, which lands two transfers at a time."""
    run = short(shards, task=Broad(), until=Rounds(1))
    result, _ = simulate(run, Simulated(1), tmp_path)
    assert (result.rounds, result.restarts) == (1, 0)


@pytest.mark.parametrize("how", ["nan", "huge"])
@pytest.mark.parametrize("sync", [SSP(1), ASP()], ids=repr)
def test_what_a_shard_refuses_ends_the_clock_of_its_worker(
    how: str, sync: Sync, tmp_path: Path
) -> None:
    run = short(2, algorithm=Misled(0.1, how=how), sync=sync, until=Clocks(3))
    result, _ = simulate(run, Simulated(2), tmp_path)
    assert sum(line["updates"] for line in rows(result.directory)) == 9
    said = [e["fields"] for e in events(result.directory) if e.get("kind") == "refused"]
    assert {(each["worker"], each["clock"]) for each in said} == {("w1", c) for c in range(3)}
    assert "part '3.bias'" in said[0]["sentence"]


@pytest.mark.parametrize("sync", [Quorum(0.5), SSP(3), ASP(), Calm(2, 4)], ids=repr)
def test_it_learns_without_a_barrier_as_in_one_piece(sync: Sync, tmp_path: Path) -> None:
    """One worker leaves no choice of an order, so even the bits are the same."""
    run = short(sync=sync, until=Clocks(6), topology=Star(1))
    whole, cut = (
        actors.run(carry_out(replace(run, topology=Star(1, shards=k)), tmp_path / str(k)))
        for k in (None, 2)
    )
    assert cut.sha256 == whole.sha256
    assert learned(cut.directory) == learned(whole.directory)


# -- faults ----------------------------------------------------------------------------------------

ROOT_POINTS = ("aggregator.merged", "aggregator.saved")
SHARD_POINTS = ("shard.start", "shard.merged", "shard.saved", "storage.part", "storage.placed")


@pytest.mark.parametrize(
    ("node", "point"),
    [*(("aggregator", point) for point in ROOT_POINTS), *(("shard1", p) for p in SHARD_POINTS)],
)
def test_a_kill_at_any_step_of_a_version_changes_no_bit(
    node: str, point: str, undisturbed: str, tmp_path: Path
) -> None:
    at = 1 if point == "shard.start" else 2
    on = Simulated(2, faults=FaultPlan(CrashPoint(point=point, action="sigkill", at=at, node=node)))
    result, _ = simulate(short(2, **PATIENT), on, tmp_path)
    assert (result.sha256, result.restarts) == (undisturbed, 1)


def test_all_shards_and_the_root_at_once_change_no_bit(undisturbed: str, tmp_path: Path) -> None:
    faults = [
        CrashPoint(point="shard.saved", action="sigkill", at=at, node=f"shard{index}")
        for index, at in enumerate((2, 3))
    ]
    faults.append(CrashPoint(point="aggregator.saved", action="sigkill", at=2, node="aggregator"))
    on = Simulated(2, faults=FaultPlan(*faults))
    result, _ = simulate(short(2, **PATIENT), on, tmp_path)
    assert (result.sha256, result.restarts) == (undisturbed, 3)


def schedule(seed: int) -> Simulated:
    """Kills of whoever holds something, on a network that is not to be trusted."""
    draw = random.Random(seed)
    nodes = ("shard0", "shard1", "aggregator", "p0", "evaluator")
    kills = (Kill(draw.choice(nodes), draw.uniform(0.1, 2.0)) for _ in range(3))
    write = CrashPoint(
        point="storage.write", action="sigkill", at=draw.randint(1, 6), node="shard1"
    )
    faults = (Drop(0.05), Duplicate(0.05), Jitter(0.05, p=0.1), Reorder(0.05), Torn(1.0))
    plan = FaultPlan(*faults, *kills, write, seed=seed, until=20.0)
    return Simulated(2, seed=seed, faults=plan)


@pytest.mark.parametrize("sync", [BSP(), SSP(2), ASP()], ids=repr)
def test_faults_change_no_bit_under_bsp_and_break_no_bound(
    sync: Sync, undisturbed: str, tmp_path: Path
) -> None:
    run = short(2, sync=sync, until=Rounds(3) if sync.barrier else Clocks(4), **PATIENT)
    killed = 0
    for seed in range(2):
        acts: list[Act] = []
        with witnessed_by(acts.append):
            result, found = simulate(run, schedule(seed), tmp_path / str(seed))
        killed += found.killed
        if sync.barrier:
            assert result.sha256 == undisturbed
            assert laws.each_part_is_merged_once(acts, run.topology.names, 3) is None
            continue
        assert sum(line["updates"] for line in rows(result.directory)) == 16
        assert laws.each_clock_follows_the_last(acts, run.topology.names) is None
        steps = laws.steps(acts)
        if isinstance(sync, SSP):
            assert laws.staleness_is_bounded(steps, run.topology.names, 2) is None
        else:
            assert laws.nobody_waits(steps) is None
    assert killed > 2


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize(
    "sync",
    [
        '"bsp"', '{ kind = "quorum", fraction = 0.6 }', '{ kind = "ssp", staleness = 2 }', '"asp"',
    ],
)  # fmt: skip
def test_no_schedule_of_faults_breaks_a_law(sync: str, tmp_path: Path) -> None:
    keep_laws(tmp_path, sync, task="Counting", rounds=3, seeds=200, shards=2)


async def test_processes_of_shards_are_replaced_as_others_are(
    undisturbed: str, tmp_path: Path
) -> None:
    disturb, kills = killing("shard0", "shard1", "aggregator", when=fit(1))
    result = await carry_out(short(2), tmp_path, Processes(2), disturb=disturb)
    assert kills == ["shard0", "shard1", "aggregator"]
    assert (result.sha256, result.restarts) == (undisturbed, 3)


# -- what a run leaves -----------------------------------------------------------------------------


def test_a_run_in_shards_is_resumed_and_replayed(undisturbed: str, tmp_path: Path) -> None:
    first = actors.run(carry_out(short(2, record=True, until=Rounds(2)), tmp_path))
    for clock in range(2):
        assert replay(first.directory, "w1", clock).same is True
    longer = short(2, record=True)
    result = actors.run(carry_out(longer, tmp_path, resume=first.directory))
    assert result.sha256 == undisturbed
    assert replay(result.directory, "w3", 2).same is True
    model = load_file(result.directory / "model.safetensors")
    assert model["1.num_batches_tracked"].dtype == "int64"


def test_a_version_that_a_shard_has_lost_is_made_again(undisturbed: str, tmp_path: Path) -> None:
    """All go back to the newest version that is whole everywhere."""
    first = actors.run(carry_out(short(2, record=True, until=Rounds(2)), tmp_path))
    newest = max((first.directory / "snapshots" / "shard1").iterdir())
    newest.write_bytes(newest.read_bytes()[:-1])
    longer = short(2, record=True)
    result = actors.run(carry_out(longer, tmp_path, resume=first.directory))
    assert result.sha256 == undisturbed


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"algorithm": FedAvg(), "local": SGD(0.1)}, "FedAvg may look at the model as a whole"),
        ({"compress": TopK(0.5)}, "`compress` makes an update smaller as a whole, and 2 shards"),
        ({"combine": True}, "its model lies in shards, which each take a slice of every update"),
        ({"sync": Buffered(2)}, "and 2 shards keep none; use BSP, Quorum, SSP or ASP"),
    ],
)
def test_what_does_not_go_with_shards_is_refused(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Misfit, match=sentence):
        short(2, **changed)


def test_a_number_of_shards_is_one() -> None:
    assert Star(4, shards=1) == Star(4)
    with pytest.raises(WrongValue, match="`shards` of Star must be from 1 to 64, got 65"):
        Star(4, shards=65)
    with pytest.raises(WrongValue, match="other names than those of its shards, got 'shard1'"):
        Star(named=("a", "shard1"), shards=2)


def test_a_model_that_cannot_be_cut_so_often_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    run = short(12, task=Blobs(), supervision=Supervision(intensity=0))
    with pytest.raises(Misfit, match="a model of 4 tensors and 44 numbers cannot be cut into 12"):
        actors.run(carry_out(run, tmp_path, Inline()))
