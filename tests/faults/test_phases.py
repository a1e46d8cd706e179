"""Real processes die at a named place of the code, in each phase of a clock: not a bit changes.

The same places on simulated processes are in test_simulated.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import actors
from actorfl import Run
from actors import AtClock, CrashPoint, FaultPlan, Processes
from tests.faults.runs import ROUNDS, carry_out, fits, rows, small
from tests.faults.tasks import Tally

pytestmark = pytest.mark.timeout(120)

WORKER = ["worker.start", "worker.fit", "worker.put", "storage.write", "worker.saved"]
AGGREGATOR = [
    *("aggregator.start", "aggregator.merge", "aggregator.merged"),
    *("storage.write", "aggregator.saved"),
]
PHASES = [("p0", phase) for phase in WORKER] + [("aggregator", phase) for phase in AGGREGATOR]


def run() -> Run:
    """Workers keep a state, so that they have something to save."""
    return small(algorithm=Tally())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return actors.run(carry_out(run(), tmp_path_factory.mktemp("undisturbed"))).sha256


async def killed(node: str, phase: str, at: int | AtClock, expected: str, out: Path) -> None:
    point = CrashPoint(point=phase, action="sigkill", at=at, node=node)
    result = await carry_out(run(), out, Processes(2, faults=FaultPlan(point)))
    assert result.sha256 == expected
    assert result.restarts == 1
    assert result.faults == {"crash": 1}
    computed = fits(result.directory)
    assert len({clock for (_, clock), times in computed.items() if times > 1}) <= 1
    assert [row["round"] for row in rows(result.directory)] == list(range(1, ROUNDS + 1))


@pytest.mark.parametrize(
    ("node", "phase"),
    [("p0", "worker.put"), ("aggregator", "aggregator.merged"), ("aggregator", "storage.write")],
)
async def test_a_kill_between_two_lines_changes_no_bit(
    node: str, phase: str, undisturbed: str, tmp_path: Path
) -> None:
    await killed(node, phase, 3 if phase == "storage.write" else AtClock(2), undisturbed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("time", [1, 2, 3])
@pytest.mark.parametrize(("node", "phase"), PHASES)
async def test_a_kill_in_any_phase_changes_no_bit(
    node: str, phase: str, time: int, undisturbed: str, tmp_path: Path
) -> None:
    # A start has one passage (each worker of a process its own, here two); others one a clock.
    at: int | AtClock = time if phase == "storage.write" else AtClock(time)
    if phase.endswith("start"):
        at = 1 if node == "aggregator" else min(time, 2)
    await killed(node, phase, at, undisturbed, tmp_path)
