"""The same faults in virtual time: hundreds of schedules, and one seed gives one story."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import actors
from actorfl import SGD, FedAvg, Result, Rounds, Run, Star, Supervision
from actorfl.errors import Misfit
from actorfl.execute import running
from actors import (
    AtClock,
    Corrupt,
    CrashPoint,
    Drop,
    Duplicate,
    FaultPlan,
    Full,
    Inline,
    Jitter,
    Kill,
    Reorder,
    Simulated,
    Torn,
)
from actors.sim import SimulationStatistics
from tests.faults.runs import ROUNDS, carry_out, fits, rows, small
from tests.faults.tasks import Tally

pytestmark = pytest.mark.timeout(300)

SEEDS = 200
NODES = ("p0", "p1", "aggregator", "evaluator")


#: A disk that is full now and then fails an actor each time.
PATIENT = {"supervision": Supervision(intensity=20)}


def simulate(run: Run, on: Simulated, out: Path) -> tuple[Result, SimulationStatistics]:
    """Carry out a simulated run; how it ended and what went wrong in it."""

    async def main() -> tuple[Result, SimulationStatistics]:
        async with running(run, on, out=out) as under_way:
            result = await under_way.result()
            assert under_way.simulation is not None
            return result, under_way.simulation.statistics()

    return actors.run(main(), on=on)


def schedule(seed: int) -> Simulated:
    """Faults of every kind; what is drawn is drawn from the seed."""
    draw = random.Random(seed)
    kills = tuple(
        Kill(draw.choice(NODES), draw.uniform(0.1, 4.0)) for _ in range(draw.randint(1, 3))
    )
    # A kill at a time hardly ever falls into a write, which takes a millisecond.
    write = CrashPoint(
        point="storage.write", action="sigkill", at=draw.randint(1, 6), node="aggregator"
    )
    faults = (
        Drop(0.05), Duplicate(0.05), Jitter(0.05, p=0.1), Reorder(0.05), Torn(1.0), *kills,
        *((Full(0.02),) if seed % 2 else ()), *((write,) if seed % 4 == 0 else ()),
    )  # fmt: skip
    plan = FaultPlan(*faults, seed=seed, until=20.0)
    return Simulated(2, seed=seed, faults=plan)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return actors.run(carry_out(small(), tmp_path_factory.mktemp("undisturbed"), Inline())).sha256


def test_a_simulated_run_gives_the_bits_of_a_real_one(undisturbed: str, tmp_path: Path) -> None:
    result, told = simulate(small(), Simulated(2), tmp_path)
    assert (result.sha256, result.restarts, result.rounds) == (undisturbed, 0, ROUNDS)
    assert set(fits(result.directory).values()) == {1}
    assert [row["round"] for row in rows(result.directory)] == list(range(1, ROUNDS + 1))
    assert (told.killed, told.faults, told.started) == (0, {}, 4)


def test_no_schedule_of_faults_changes_a_bit(undisturbed: str, tmp_path: Path) -> None:
    told = []
    for seed in range(SEEDS):
        result, statistics = simulate(small(**PATIENT), schedule(seed), tmp_path / str(seed))
        assert result.sha256 == undisturbed, f"seed {seed}"
        assert [row["round"] for row in rows(result.directory)] == list(range(1, ROUNDS + 1))
        told.append(statistics)
    # A fault that never took effect would prove nothing.
    assert sum(s.faults.get("drop", 0) for s in told) > SEEDS
    assert sum(s.faults.get("duplicate", 0) for s in told) > SEEDS
    assert sum(s.faults.get("jitter", 0) for s in told) > SEEDS
    assert sum(s.faults.get("reorder", 0) for s in told) > SEEDS
    assert sum(s.faults.get("torn", 0) for s in told) > SEEDS / 20
    assert sum(s.faults.get("full", 0) for s in told) > SEEDS / 20
    assert sum(s.faults.get("crash", 0) for s in told) > SEEDS / 8
    assert sum(s.started - len(NODES) for s in told) > SEEDS
    assert len({s.digest for s in told}) == SEEDS


def test_a_result_tells_real_and_virtual_seconds(tmp_path: Path) -> None:
    result, _ = simulate(small(), Simulated(4, compute=100.0), tmp_path)
    assert result.virtual_seconds is not None
    assert 100.0 * ROUNDS < result.virtual_seconds < 100.0 * (ROUNDS + 2)  # the start, too
    assert 0.0 < result.seconds < 100.0
    written = json.loads((result.directory / "result.json").read_text())
    assert (written["seconds"], written["virtual_seconds"]) == (
        result.seconds, result.virtual_seconds,
    )  # fmt: skip
    assert actors.run(carry_out(small(), tmp_path)).virtual_seconds is None


def test_damaged_frames_change_no_bit_of_the_digits(tmp_path: Path) -> None:
    local = SGD(lr=0.1, batch=10, epochs=1)
    run = Run("digits", Star(2), FedAvg(), local=local, until=Rounds(3), name="damaged")
    expected = actors.run(carry_out(run, tmp_path, Inline())).sha256
    plan = FaultPlan(Corrupt(0.15), seed=1)
    result, told = simulate(run, Simulated(2, faults=plan), tmp_path)
    assert (result.sha256, result.restarts, result.rounds) == (expected, 0, 3)
    assert told.faults.keys() == {"corrupt"}
    assert told.faults["corrupt"] > 10


PHASES = ["worker.start", "worker.fit", "worker.put", "worker.saved",
          "aggregator.start", "aggregator.merge", "aggregator.merged", "storage.write",
          "aggregator.saved"]  # fmt: skip


@pytest.mark.parametrize("action", ["sigkill", "segfault", "exit:3", "raise"])
@pytest.mark.parametrize("phase", PHASES)
def test_a_crash_in_any_phase_costs_one_restart_and_no_bit(
    phase: str, action: str, tmp_path: Path
) -> None:
    run = small(algorithm=Tally())
    expected = actors.run(carry_out(run, tmp_path, Inline())).sha256
    node = "p0" if phase.startswith("worker") else "aggregator"
    at: int | AtClock = (
        1 if phase.endswith("start") else 3 if phase == "storage.write" else AtClock(2)
    )
    point = CrashPoint(point=phase, action=action, at=at, node=node)
    result, told = simulate(run, Simulated(2, faults=FaultPlan(point)), tmp_path)
    assert told.faults == {"crash": 1}
    assert result.sha256 == expected
    assert result.restarts == 1
    again = {clock for (_, clock), times in fits(result.directory).items() if times > 1}
    assert len(again) <= 1


@pytest.mark.parametrize("seed", [1, 2])
def test_one_seed_gives_one_story_and_another_seed_another(seed: int, tmp_path: Path) -> None:
    _, first = simulate(small(**PATIENT), schedule(seed), tmp_path / "first")
    _, again = simulate(small(**PATIENT), schedule(seed), tmp_path / "again")
    _, other = simulate(small(**PATIENT), schedule(seed + 1), tmp_path / "other")
    assert first == again
    assert first.digest != other.digest


TELL_DIGEST = """
import sys
from pathlib import Path
from tests.faults.runs import small
from tests.faults.test_simulated import PATIENT, schedule, simulate

if __name__ == "__main__":
    result, told = simulate(small(**PATIENT), schedule(7), Path(sys.argv[1]))
    print(told.digest, result.sha256)
"""


def test_the_story_does_not_depend_on_the_process_or_its_hash_seed(
    undisturbed: str, tmp_path: Path
) -> None:
    script = tmp_path / "tell.py"
    script.write_text(TELL_DIGEST)
    root = str(Path(__file__).parents[2])
    told = set()
    for hash_seed in ("0", "1", "4242"):
        done = subprocess.run(
            [sys.executable, script, tmp_path / hash_seed],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": root},
            capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
        told.add(done.stdout)
    assert len(told) == 1
    assert undisturbed in told.pop()


async def test_a_simulation_in_real_time_is_refused(tmp_path: Path) -> None:
    with pytest.raises(actors.UsageError, match=r"run\.start\(on=Simulated\(\)\)"):
        await carry_out(small(), tmp_path, Simulated(2))


@pytest.mark.parametrize(
    "faults",
    [
        FaultPlan(Jitter(3.0, p=0.5)),
        FaultPlan(Drop(0.3), Duplicate(0.3), Jitter(0.05, p=0.4)),
        FaultPlan(*(Kill("aggregator", at) for at in (1.1, 2.2, 3.3))),
    ],
    ids=["late", "lost and doubled", "killed"],
)
def test_each_row_is_given_once_and_in_order_whatever_becomes_of_messages(
    faults: FaultPlan, undisturbed: str, tmp_path: Path
) -> None:
    given = []
    for seed in range(3):
        heard: list[Mapping[str, Any]] = []
        on = Simulated(2, seed=seed, faults=faults)
        result = small(**PATIENT).start(on=on, out=tmp_path, on_row=heard.append)
        assert result.sha256 == undisturbed
        given.append([row["round"] for row in heard if "round" in row])
    assert given == [list(range(1, ROUNDS + 1))] * 3


def test_a_point_that_freezes_a_process_for_good_is_refused(tmp_path: Path) -> None:
    point = CrashPoint("worker.fit", "sigstop", node="p0")
    on = Simulated(2, faults=FaultPlan(point))
    with pytest.raises(Misfit, match=r"set supervision\.stuck_after"):
        simulate(small(), on, tmp_path)
    assert not list(tmp_path.iterdir())
    result, told = simulate(small(supervision=Supervision(stuck_after=3.0)), on, tmp_path)
    assert (told.faults["crash"], result.restarts) == (1, 1)


def test_a_point_that_is_misspelt_is_told_of_at_the_end(tmp_path: Path) -> None:
    said: list[Mapping[str, Any]] = []
    point = CrashPoint("aggregator.mergd", "sigkill", node="aggregator")
    on = Simulated(2, faults=FaultPlan(point))
    actors.run(carry_out(small(), tmp_path, on, on_row=said.append), on=on)
    (line,) = [line["event"] for line in said if "event" in line]
    assert line.startswith("crash point 'aggregator.mergd' (sigkill) was never reached; look at")


def test_a_resumed_run_gives_the_rows_of_its_own_rounds(tmp_path: Path) -> None:
    def rounds(run: Run, resume: Path | None = None) -> tuple[list[int], Path]:
        heard: list[Mapping[str, Any]] = []
        result = run.start(on=Simulated(2), out=tmp_path, resume=resume, on_row=heard.append)
        return [row["round"] for row in heard if "round" in row], result.directory

    given, directory = rounds(small(until=Rounds(2)))
    assert given == [1, 2]
    assert rounds(small(until=Rounds(2)), directory)[0] == []
    assert rounds(small(), directory)[0] == [3, 4, 5]


def test_a_resumed_simulation_goes_on_where_it_was(undisturbed: str, tmp_path: Path) -> None:
    first = small(until=Rounds(2)).start(on=Simulated(2), out=tmp_path)
    further = small().start(on=Simulated(2), resume=first.directory)
    assert further.sha256 == undisturbed
    assert [row["round"] for row in rows(further.directory)] == list(range(1, ROUNDS + 1))
