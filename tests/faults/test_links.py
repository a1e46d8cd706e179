"""Messages between real processes get lost, come twice and come late: not a bit changes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from actors.faultylinks import FaultyLinks

import actors
from actorfl import Running
from actors import FaultPlan, Kill, Processes
from tests.faults.runs import ROUNDS, carry_out, rows, small

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return actors.run(carry_out(small(), tmp_path_factory.mktemp("undisturbed"))).sha256


@pytest.mark.parametrize("over", ["ipc", "tcp"])
async def test_lost_doubled_and_late_messages_change_no_bit(
    over: str, undisturbed: str, tmp_path: Path
) -> None:
    plan = FaultPlan(seed=1, drop=0.1, duplicate=0.1, delay=0.2, reorder=0.1, until=60.0)
    on = Processes(2, faults=plan, over=over)  # type: ignore[arg-type]  # one of the two words
    links: list[FaultyLinks] = []

    def disturb(under_way: Running, _: Mapping[str, Any]) -> None:
        faults = under_way.live.system.world.faults
        assert faults is not None
        links[:] = [faults]

    result = await carry_out(small(), tmp_path, on, disturb=disturb)
    assert (result.sha256, result.restarts) == (undisturbed, 0)
    assert [row["round"] for row in rows(result.directory)] == list(range(1, ROUNDS + 1))
    # It took effect: what came twice or late was seen and dropped by name.
    dropped = [row["dropped"] for row in rows(result.directory)]
    assert any(dropped), dropped
    counts = links[0].counts  # of what reached the launcher
    assert min(counts.dropped, counts.duplicated, counts.delayed, counts.reordered) > 0


async def test_a_kill_at_a_time_on_top_changes_no_bit(undisturbed: str, tmp_path: Path) -> None:
    plan = FaultPlan(seed=2, drop=0.05, delay=0.1, kills=(Kill("p1", at=1.0),), until=60.0)
    result = await carry_out(small(), tmp_path, Processes(2, faults=plan))
    assert result.sha256 == undisturbed
    assert result.restarts == 1
