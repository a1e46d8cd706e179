"""SCAFFOLD where clocks close without some, and without a barrier: c stays the mean of the c_i."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import actors
from actorfl import (
    BSP,
    Buffered,
    Clocks,
    Quorum,
    Rounds,
    Run,
    Sample,
    Scaffold,
    Supervision,
    Tree,
    checkpoint,
)
from actorfl.kept import Kept, folder_of
from actorfl.sync import Sync
from actors import FaultPlan, FileStorage, Kill, Simulated, Snapshots
from tests.faults.runs import rows, small, thorough
from tests.faults.test_simulated import schedule, simulate
from tests.faults.test_trees import SHAPES

pytestmark = pytest.mark.timeout(300)


async def gap(directory: Path, run: Run) -> tuple[float, float]:
    """How far c is from the mean of what the workers' parts that were taken have left; and c."""
    storage = FileStorage(directory)
    try:
        found = await checkpoint.load(Snapshots(storage, checkpoint.FOLDER, 0))
        assert found is not None
        header, flow = found.header, found.header.flow
        control = np.array(found.state.vectors["control"])
        kept = []
        for name in run.topology.names:
            clock = header.clock if flow is None else flow.clocks[name]
            states = Kept(Snapshots(storage, folder_of(name), 0))
            await states.restore()
            mine = states.before(min(clock, header.missed.get(name, clock)))
            kept.append(np.asarray(mine.get("control", np.zeros_like(control))))
    finally:
        await storage.close()
    return float(np.abs(control - np.mean(kept, axis=0)).max()), float(np.abs(control).max())


@pytest.mark.parametrize("seeds", [6, thorough(200)])
@pytest.mark.parametrize(
    "values",
    [
        {"sync": Quorum(0.6), "until": Rounds(6)},
        {"sync": Quorum(0.3, deadline=0.05), "until": Rounds(8)},
        # An even number of updates: no buffer is left half full.
        {"sync": Buffered(2), "until": Clocks(4)},
        {"select": Sample(count=2), "until": Rounds(6)},
    ],
    ids=["quorum", "few", "buffered", "sampled"],
)
def test_c_stays_the_mean_of_the_c_i_whatever_is_late_killed_or_said_twice(
    values: dict[str, object], seeds: int, tmp_path: Path
) -> None:
    run = small(algorithm=Scaffold(), supervision=Supervision(intensity=100), **values)
    late = 0
    for seed in range(seeds):
        result, _ = simulate(run, schedule(seed), tmp_path / str(seed))
        between, size = actors.run(gap(result.directory, run))
        assert size > 0.01
        assert between < 1e-6, f"seed {seed}"
        late += sum("absent" in row for row in rows(result.directory))
    assert (late > 0) == isinstance(run.sync, Quorum)


def in_tree(seed: int, tree: Tree) -> Simulated:
    """The same faults, and kills of aggregators between."""
    draw, on = random.Random(seed + 1000), schedule(seed)
    levels = [level for level, _ in tree.levels[1:-1]]
    kills = [Kill(draw.choice(levels), draw.uniform(0.1, 4.0)) for _ in range(draw.randint(1, 3))]
    return replace(on, faults=FaultPlan(*on.faults.faults, *kills, seed=seed, until=20.0))


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seeds", [3, thorough(200)])
@pytest.mark.parametrize(
    ("tree", "syncs"),
    [
        (SHAPES["edges"], (Quorum(0.5), Quorum(0.5))),
        (SHAPES["deep"], (BSP(), Quorum(0.5, deadline=0.05), Quorum(0.5))),
        (SHAPES["deep"], (Quorum(0.5), BSP(), BSP())),
    ],
    ids=["both", "below", "root"],
)
def test_c_stays_the_mean_of_the_c_i_in_a_tree_whose_aggregators_forget(
    tree: Tree, syncs: tuple[Sync, ...], seeds: int, tmp_path: Path
) -> None:
    levels = [level for level, _ in tree.levels[:-1]]
    run = small(
        topology=tree, algorithm=Scaffold(), sync=dict(zip(levels, syncs, strict=True)),
        supervision=Supervision(intensity=100),
    )  # fmt: skip
    late = 0
    for seed in range(seeds):
        result, _ = simulate(run, in_tree(seed, tree), tmp_path / str(seed))
        between, size = actors.run(gap(result.directory, run))
        assert size > 0.01
        assert between < 1e-6, f"seed {seed}"
        late += sum("absent" in row for row in rows(result.directory))
    assert late > 0
