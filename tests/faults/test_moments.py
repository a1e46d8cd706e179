"""Faults that begin with a round, or with a message, of a run: not a bit changes."""

from __future__ import annotations

from pathlib import Path

import pytest

import actors
from actors import Corrupt, Cut, FaultPlan, Full, Kill, Moment, Processes, Simulated, Skew, Slow
from tests.faults.runs import ROUNDS, carry_out, rows, small

pytestmark = pytest.mark.timeout(180)

PLAN = FaultPlan(
    Kill("p0", at=0.0, down=0.2, since=Moment(clock=1)),
    Cut("p1", "aggregator", since=Moment(message="Put", nth=2, node="aggregator"), before=0.3),
    Corrupt(p=0.3, message="Put", rounds=(0, 1)),
    Slow("p1", 2.0, since=Moment(clock=0), till=Moment(clock=2)),
    Full(node="evaluator", since=Moment(clock=1)),
    Skew("p1", 3600.0, since=Moment(clock=1)),
    seed=1, until=30.0,
)  # fmt: skip


@pytest.mark.parametrize(
    "on",
    [
        Simulated(2, faults=PLAN),
        pytest.param(Processes(2, faults=PLAN), marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_faults_of_a_round_or_a_message_change_no_bit(
    on: Simulated | Processes, tmp_path: Path
) -> None:
    undisturbed = actors.run(carry_out(small(), tmp_path / "undisturbed", Simulated(2)),
                             on=Simulated(2)).sha256  # fmt: skip
    where = on if isinstance(on, Simulated) else None
    result = actors.run(carry_out(small(), tmp_path / "disturbed", on), on=where)
    assert result.sha256 == undisturbed
    assert [row["round"] for row in rows(result.directory)] == list(range(1, ROUNDS + 1))
    assert result.faults["kill"] == 1
    assert result.faults["slow"] >= 1
    assert result.faults["cut"] > 0
    assert result.faults["corrupt"] > 0
    assert "Kill(" not in (result.directory / "log.txt").read_text(), "none of them was missed"
