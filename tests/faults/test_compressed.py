"""Runs whose workers compress: the same bits whatever is killed, in a star and in a tree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import actors
from actorfl import (
    ASP,
    BSP,
    SSP,
    Buffered,
    Clocks,
    Compression,
    EightBit,
    FedBuff,
    Gradients,
    Median,
    OneBit,
    ParameterServer,
    Quorum,
    RandomK,
    Rounds,
    Run,
    Sample,
    Scaffold,
    Supervision,
    TopK,
    Tree,
    checkpoint,
)
from actorfl.kept import Kept, folder_of
from actors import (
    AtClock,
    CrashPoint,
    FaultPlan,
    FileStorage,
    Inline,
    Processes,
    Simulated,
    Snapshots,
)
from tests.faults.runs import ROUNDS, carry_out, rows, small, thorough
from tests.faults.tasks import Counting, Ledger, Wide, entries
from tests.faults.test_simulated import schedule, simulate

pytestmark = pytest.mark.timeout(300)

TREE = Tree(root=1, edge=2, worker=4)
PATIENT = {"supervision": Supervision(intensity=100)}


def sha256(run: Run, out: Path) -> str:
    """Of the model that a simulated run without faults ends with; nothing was refused."""
    result, _ = simulate(run, Simulated(2), out)
    assert all(row["refused"] == {} for row in rows(result.directory))
    return result.sha256


@pytest.mark.parametrize("compress", [TopK(0.1), OneBit()], ids=repr)
def test_decoded_updates_give_one_model_in_a_star_in_trees_and_on_real_nodes(
    compress: Compression, tmp_path: Path
) -> None:
    run = small(compress=compress, task=Counting())  # with running statistics and a counter
    star = sha256(run, tmp_path / "star")
    assert sha256(small(task=Counting()), tmp_path / "whole") != star
    deep = Tree(root=1, mid=2, edge=3, worker=4)
    tree = small(compress=compress, task=Counting(), topology=deep)
    assert sha256(tree, tmp_path / "tree") == star
    assert actors.run(carry_out(run, tmp_path / "real", Inline())).sha256 == star


@pytest.mark.parametrize(
    ("compress", "values"),
    [
        (EightBit(), {"sync": Quorum(0.6)}),
        (TopK(0.3), {"sync": SSP(1)}),
        (RandomK(0.5), {"sync": ASP()}),
        (OneBit(), {"sync": Buffered(2)}),
        (TopK(0.3), {"algorithm": FedBuff(), "sync": Buffered(2)}),
        (EightBit(), {"algorithm": Median()}),
        (TopK(0.3), {"algorithm": Scaffold()}),
        (TopK(0.3), {"topology": TREE, "sync": {"root": ASP(), "edge": BSP()}}),
        (OneBit(), {"algorithm": ParameterServer(lr=0.1), "local": Gradients(batch=8)}),
        (TopK(0.3), {"algorithm": ParameterServer(lr=0.1), "local": Gradients(batch=8),
                     "sync": ASP()}),
    ],
    ids=lambda value: repr(value) if isinstance(value, Compression) else "-".join(value),
)  # fmt: skip
def test_what_is_compressed_is_learned_from_under_every_policy(
    compress: Compression, values: dict[str, Any], tmp_path: Path
) -> None:
    run = small(compress=compress, until=Clocks(10) if "local" in values else Rounds(6), **values)
    result, _ = simulate(run, Simulated(2), tmp_path)
    found = rows(result.directory)
    assert all(row["refused"] == {} for row in found)
    assert found[-1]["train_loss"] < found[0]["train_loss"]


@pytest.mark.parametrize(
    ("compress", "share"),
    [(TopK(0.01), 0.02), (RandomK(0.1), 0.2), (EightBit(), 0.254), (OneBit(), 0.0352)],
    ids=repr,
)
def test_less_goes_over_the_wire_by_what_the_format_says(
    compress: Compression, share: float, tmp_path: Path
) -> None:
    whole, _ = simulate(small(task=Wide(), until=Rounds(3)), Simulated(2), tmp_path)
    fewer, _ = simulate(
        small(task=Wide(), until=Rounds(3), compress=compress), Simulated(2), tmp_path
    )
    # 4 workers and 3 rounds, as much down as up; a Weights pads each array to 64 bytes.
    up = 12 * 4 * 12_294
    assert whole.bytes == pytest.approx(2 * up, rel=0.005)
    assert fewer.bytes - up == pytest.approx(share * up, rel=0.1)


@pytest.mark.parametrize("seeds", [2, thorough(40)])
@pytest.mark.parametrize(
    ("compress", "topology"),
    [(TopK(0.1), TREE), (OneBit(), None), (RandomK(0.3), None)],
    ids=["top-k in a tree", "1-bit", "random-k"],
)
def test_no_schedule_of_faults_changes_a_bit_of_what_is_compressed(
    compress: Compression, topology: Tree | None, seeds: int, tmp_path: Path
) -> None:
    values = {} if topology is None else {"topology": topology}
    run = small(compress=compress, **values, **PATIENT)
    expected = sha256(run, tmp_path / "undisturbed")
    for seed in range(seeds):
        result, _ = simulate(run, schedule(seed), tmp_path / str(seed))
        assert result.sha256 == expected, f"seed {seed}"
        assert len(rows(result.directory)) == ROUNDS


@pytest.mark.parametrize("point", ["worker.fit", "worker.saved", "worker.put"])
@pytest.mark.parametrize("compress", [TopK(0.1), OneBit()], ids=repr)
def test_what_is_still_to_be_sent_outlives_a_process_that_is_killed_in_any_phase(
    compress: Compression, point: str, tmp_path: Path
) -> None:
    run = small(compress=compress)
    crash = CrashPoint(point=point, action="sigkill", at=AtClock(3), node="p0")
    result, network = simulate(run, Simulated(2, faults=FaultPlan(crash)), tmp_path / "killed")
    assert network.faults == {"crash": 1}
    assert result.sha256 == sha256(run, tmp_path / "undisturbed")


async def books(directory: Path, run: Run) -> tuple[Any, Any]:
    """What the workers were to send, and what was taken of it with what they still keep."""
    storage = FileStorage(directory)
    try:
        found = await checkpoint.load(Snapshots(storage, checkpoint.FOLDER, 0))
        assert found is not None
        header, flow, state = found.header, found.header.flow, found.state
        owed = np.zeros_like(state.weights)
        paid = np.array(state.vectors["sent"])
        for name in run.topology.names:
            clock = header.clock if flow is None else flow.clocks[name]
            states = Kept(Snapshots(storage, folder_of(name), 0))
            await states.restore()
            mine = states.before(min(clock, header.missed.get(name, clock)))
            count = int(state.scalars.get(f"of/{name}", 0))
            owed += count * entries(name, owed.size)
            if count:
                paid += np.asarray(mine["compress/delta/residual"])
    finally:
        await storage.close()
    return owed, paid


@pytest.mark.parametrize("seeds", [2, thorough(40)])
@pytest.mark.parametrize(
    "values",
    [
        {"until": Rounds(6)},
        {"sync": Quorum(0.6), "until": Rounds(6)},
        {"sync": Quorum(0.5), "until": Rounds(6), "topology": TREE},
        {"sync": ASP(), "until": Clocks(5)},
        # An even number of updates: no buffer is left half full.
        {"sync": Buffered(2), "until": Clocks(4)},
        {"select": Sample(count=2), "until": Rounds(6)},
    ],
    ids=["bsp", "quorum", "quorums of a tree", "asp", "buffered", "sampled"],
)
def test_what_was_taken_and_what_is_kept_add_up_whatever_is_late_killed_or_said_twice(
    values: dict[str, Any], seeds: int, tmp_path: Path
) -> None:
    run = small(algorithm=Ledger(), compress=TopK(0.1), **values, **PATIENT)
    for seed in range(seeds):
        result, _ = simulate(run, schedule(seed), tmp_path / str(seed))
        owed, paid = actors.run(books(result.directory, run))
        assert owed.any()
        assert owed.tolist() == paid.tolist(), f"seed {seed}"


@pytest.mark.slow
def test_what_is_still_to_be_sent_survives_processes_that_are_killed(tmp_path: Path) -> None:
    run = small(compress=TopK(0.1))
    expected = sha256(run, tmp_path / "undisturbed")

    def kill(under_way: Any, row: Any) -> None:
        if row.get("round") == 2:
            under_way.live.processes.kill("p0")

    result = actors.run(carry_out(run, tmp_path, Processes(2), disturb=kill))
    assert result.restarts >= 1
    assert result.sha256 == expected
