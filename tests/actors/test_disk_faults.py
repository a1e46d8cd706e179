"""Which writes go wrong: as often as the plan says, and whatever else is in the plan."""

from __future__ import annotations

from collections import Counter

import pytest

from actors import Drop, FaultPlan, Full, Torn
from actors.faults.disks import DiskFaults
from transports.sim import SimClock, SimLoop


def writes(plan: FaultPlan) -> list[tuple[bool, int | None]]:
    """What happens to 1,000 writes of 1,000 bytes, ten milliseconds apart, each of which crashes."""
    loop, told = SimLoop(), list[tuple[bool, int | None]]()
    disks = DiskFaults(plan, "here", 0, SimClock(loop), 0.0, Counter())
    for number in range(1000):
        loop.call_later(number / 100, lambda: told.append((disks.refuses(), disks.tears(1000))))
    loop.call_later(11.0, loop.stop)
    loop.run_forever()
    loop.close()
    return told


def test_writes_fail_and_tear_as_often_as_the_plan_says() -> None:
    told = writes(FaultPlan(Full(0.2), Torn(0.3), seed=1))
    parts = [part for _, part in told if part is not None]
    assert sum(full for full, _ in told) == pytest.approx(200, rel=0.2)
    assert len(parts) == pytest.approx(300, rel=0.2)
    assert all(0 <= part < 1000 for part in parts)
    assert sum(parts) / len(parts) == pytest.approx(500, rel=0.1)


@pytest.mark.parametrize("first", [False, True])
def test_a_fault_more_moves_no_draw_of_another(first: bool) -> None:
    mine = (Full(0.2), Torn(0.3))
    others = (Full(0.5, before=5.0), Torn(0.5, before=5.0), Torn(0.9, node="x"), Drop(0.5))
    alone = writes(FaultPlan(*mine, seed=1))
    both = writes(FaultPlan(*(others + mine if first else mine + others), seed=1))
    assert both[500:] == alone[500:]
    for (full, part), (fuller, parts) in zip(alone[:500], both[:500], strict=True):
        assert fuller or not full
        assert parts is not None or part is None
