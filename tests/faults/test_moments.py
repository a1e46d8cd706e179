"""Faults that begin with a round, or with a message, of a run: not a bit changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import actors
from actorfl.chaos.plans import check_ends
from actorfl.errors import Misfit
from actors import (
    Corrupt,
    Cut,
    FaultPlan,
    Full,
    Inline,
    Kill,
    Moment,
    Processes,
    Simulated,
    Skew,
    Slow,
)
from tests.examples.test_docs import blocks
from tests.faults.runs import ROUNDS, carry_out, rows, small

pytestmark = pytest.mark.timeout(180)

PLAN = FaultPlan(
    Kill("p0", at=0.0, down=0.2, since=Moment(clock=1)),
    Cut("p1", "aggregator", since=Moment(message="Put", nth=2, node="aggregator"), before=0.3),
    Corrupt(p=0.8, message="Put", rounds=(0, 1)),  # of eight at least one, whatever is drawn
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


def test_a_run_survives_the_plan_of_the_reference(tmp_path: Path) -> None:
    _, code, _ = blocks("simulation.md", "python")
    names: dict[str, Any] = {}
    exec(code, names)
    on = Simulated(2, faults=names["plan"])
    result = actors.run(carry_out(small(), tmp_path, on), on=on)
    assert result.rounds == ROUNDS
    assert result.faults["kill"] == 1
    assert result.faults["slow"] >= 1


TILL = Moment(clock=2)


@pytest.mark.parametrize(
    "full", [Full(node="agg*", since=Moment(clock=1), till=TILL), Full(till=TILL)], ids=str
)
def test_a_full_disk_that_keeps_its_own_end_from_coming_is_refused(
    full: Full, tmp_path: Path
) -> None:
    with pytest.raises(Misfit, match=r"never ends: .* let it end with before=\.\.\., in seconds"):
        small().start(on=Simulated(2, faults=FaultPlan(full)), out=tmp_path)
    assert not list(tmp_path.iterdir()), "nothing is left behind"


@pytest.mark.parametrize(
    "full",
    [
        Full(node="evaluator", since=Moment(clock=1), till=TILL),
        Full(0.5, since=Moment(clock=1), till=TILL),
        Full(since=Moment(clock=1), till=TILL, before=1.0),
        Full(since=TILL, till=TILL),
        Full(since=Moment(clock=1, nth=9), till=TILL),
        Full(till=TILL, after=1.0),
        Full(till=Moment(message="Put")),
    ],
    ids=str,
)
def test_a_full_disk_that_may_end_is_none_of_them(full: Full) -> None:
    check_ends(small(), Simulated(2, faults=FaultPlan(full)))
    check_ends(small(), Processes(2))
    check_ends(small(), Inline())
