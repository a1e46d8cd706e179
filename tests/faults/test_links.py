"""Messages between real processes get lost, damaged, doubled and late: not a bit changes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import actors
from actorfl import Running
from actors import Corrupt, Drop, Duplicate, FaultPlan, Jitter, Kill, Processes, Reorder
from actors.faults.links import FaultyLinks
from tests.faults.runs import ROUNDS, carry_out, rows, small

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return actors.run(carry_out(small(), tmp_path_factory.mktemp("undisturbed"))).sha256


@pytest.mark.parametrize("over", ["ipc", "tcp"])
async def test_lost_damaged_doubled_and_late_messages_change_no_bit(
    over: str, undisturbed: str, tmp_path: Path
) -> None:
    plan = FaultPlan(
        Drop(0.1), Duplicate(0.1), Jitter(0.05, p=0.2), Reorder(0.1), Corrupt(0.02),
        seed=1, until=60.0,
    )  # fmt: skip
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
    # Those of the other processes came with their heartbeats.
    kinds = ("drop", "duplicate", "jitter", "reorder", "corrupt")
    assert min(counts[kind] for kind in kinds) > 0
    assert min(result.faults[kind] - counts[kind] for kind in kinds) > 0


async def test_a_kill_at_a_time_on_top_changes_no_bit(undisturbed: str, tmp_path: Path) -> None:
    plan = FaultPlan(Drop(0.05), Jitter(0.05, p=0.1), Kill("p1", at=1.0), seed=2, until=60.0)
    result = await carry_out(small(), tmp_path, Processes(2, faults=plan))
    assert result.sha256 == undisturbed
    assert result.restarts == 1
