"""A run that loses its machine at any write whatever, and is resumed, ends with the same bits."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import actors
from actorfl import ASP, BSP, SGD, SSP, Buffered, FedAvg, Quorum, Rounds, Run, Star, Tree
from actorfl.chaos import laws
from actorfl.data.digits import Digits
from actorfl.errors import RunFailed
from actorfl.execute import running
from actorfl.memo import Memo, memoised
from actorfl.roles import USUAL, Roles
from actorfl.witness import Act, witnessed_by
from actors import ActorSystem, FaultPlan, Simulated, Torn, crashpoints
from actors.sim import Simulation
from tests.faults.planted.durability import SavesInTwoFiles
from tests.faults.runs import rows
from tests.faults.tasks import Tally

ROUNDS = 2


def digits(rounds: int = ROUNDS, workers: int = 2) -> Run:
    """Digits, by workers that keep a state: they write snapshots, too."""
    return Run(
        Digits(), Star(workers), Tally(), local=SGD(lr=0.1, batch=50, epochs=1),
        until=Rounds(rounds), seed=3, name="digits",
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def memo() -> Iterator[None]:
    """Every fit is computed once: the runs of this file all compute the same."""
    with memoised(Memo()):
        yield


@dataclass
class Played:
    """One start of a run.

    Attributes:
        sha256: of its model; None where the power was cut.
        directory: of the run.
        passed: how often each point of a write came by.
    """

    sha256: str | None = None
    directory: Path = Path()
    passed: Counter[str] = field(default_factory=Counter)


def played(
    run: Run, out: Path, *, cut: int = 0, resume: Path | None = None, roles: Roles = USUAL
) -> Played:
    """Start a run; the power is cut at the nth point of a write, if it gets there."""
    # Whatever is written then is torn, at a byte drawn from the seed.
    on = Simulated(2, seed=cut, faults=FaultPlan(Torn(1.0), seed=cut, until=1e6), start=0.05)
    found = Played()
    world: list[Simulation] = []

    def at(directory: Path) -> None:
        found.directory = directory

    def begun(_: ActorSystem, simulation: Simulation | None) -> None:
        assert simulation is not None
        world.append(simulation)

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None

        def watch(point: str, _clock: int | None, _actor: str, _message: str) -> None:
            if not point.startswith("storage.") or world[0].disk.unplugged:
                return
            found.passed[point] += 1
            if found.passed.total() == cut:
                world[0].cut_power()
                task.cancel()

        with crashpoints.watched_by(watch, ()):
            async with running(
                run, on, out=out, resume=resume, on_directory=at, on_system=begun,
                roles=roles,
            ) as under_way:  # fmt: skip
                found.sha256 = (await under_way.result()).sha256

    try:
        actors.run(main(), on=on)
    except asyncio.CancelledError:
        assert world[0].disk.unplugged
    return found


POINTS = ("storage.append", "storage.begin", "storage.part", "storage.placed", "storage.write")


def every_write(run: Run, out: Path, rounds: int, *, times: int = 1, roles: Roles = USUAL) -> None:
    """Cut the power at each point of each write, so many times in a row, then go on to the end."""
    whole = played(run, out, roles=roles)
    assert tuple(sorted(whole.passed)) == POINTS
    assert whole.passed["storage.append"] == rounds
    if roles == USUAL:
        # Each worker's state of each clock; a checkpoint before each clock, before the end, and
        # after it; the model.
        writes = len(run.topology.names) * rounds + (rounds + 2) + 1
        assert whole.passed["storage.placed"] == writes
    for number in range(1, whole.passed.total() + 1):
        directory = None
        for _ in range(times):
            cut = played(run, out, cut=number, resume=directory, roles=roles)
            directory = cut.directory
            if cut.sha256 is not None:  # the second time less is left to be written
                break
            assert not (directory / "result.json").exists()
        resumed = played(run, out, resume=directory, roles=roles)
        assert resumed.sha256 == whole.sha256, f"the power was cut at point {number}"
        assert [row["round"] for row in rows(resumed.directory)] == list(range(1, rounds + 1))


@pytest.mark.timeout(300)
def test_a_run_whose_power_is_cut_at_any_write_ends_with_the_same_bits(tmp_path: Path) -> None:
    every_write(digits(), tmp_path, ROUNDS)


def test_snapshots_that_are_not_atomic_are_found_by_it(tmp_path: Path) -> None:
    # Other bits, or none: what one of the two files holds is torn.
    with pytest.raises((AssertionError, RunFailed)):
        every_write(digits(), tmp_path, ROUNDS, roles=Roles(aggregator=SavesInTwoFiles))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_power_that_is_cut_three_times_in_a_row_costs_no_bit(tmp_path: Path) -> None:
    every_write(digits(3, 4), tmp_path, 3, times=3)


POLICIES = [
    (BSP(), Tree(root=1, edge=2, worker=2)),
    (Quorum(0.5), Star(2)),
    (SSP(1), Star(2)),
    (ASP(), Star(2)),
    (Buffered(2), Star(2)),
]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("sync", "topology"), POLICIES, ids=lambda value: type(value).__name__)
def test_power_that_is_cut_at_any_write_breaks_no_promise_of_a_policy(
    sync: Any, topology: Star | Tree, tmp_path: Path
) -> None:
    run = Run(
        Digits(), topology, FedAvg(), local=SGD(lr=0.1, batch=50, epochs=1), sync=sync,
        until=Rounds(ROUNDS), seed=3, name="digits",
    )  # fmt: skip
    names = run.topology.names
    acts: list[Act] = []
    with witnessed_by(acts.append):
        whole = played(run, tmp_path)
        assert whole.passed.total() > 10
        for number in range(1, whole.passed.total() + 1):
            acts.clear()
            cut = played(run, tmp_path, cut=number)
            resumed = played(run, tmp_path, resume=cut.directory)
            told = rows(resumed.directory)
            assert [row["round"] for row in told] == list(range(1, ROUNDS + 1))
            where = f"the power was cut at point {number}"
            if sync == BSP():
                assert resumed.sha256 == whole.sha256, where
                assert laws.each_part_is_merged_once(acts, names, ROUNDS) is None, where
            elif sync.barrier:
                assert laws.each_part_is_merged_at_most_once(acts, names, ROUNDS, 1) is None, where
            else:
                assert laws.each_clock_follows_the_last(acts, names) is None, where
                assert sum(row["updates"] for row in told) == ROUNDS * len(names), where
            if isinstance(sync, SSP):
                steps = laws.steps(acts)
                assert laws.staleness_is_bounded(steps, names, sync.staleness) is None, where
            assert laws.nothing_is_merged_after_its_fence(acts) is None, where
