"""The net catches: ten planted bugs are found, shortened and replayed; without them all holds.

All kinds of faults are drawn; for one bug alone, which takes a message that is late by a restart,
the scenario names those that make it so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from actorfl.roles import Roles
from actorfl.rounds import Rounds
from actors import FaultPlan, Jitter, Kill
from actors.testing.chaos import Scenario, explore, replay
from tests.faults.planted.durability import ForgetsItsClock, SavesInTwoFiles, SavesLater
from tests.faults.planted.fencing import Trusting, fenced
from tests.faults.planted.merging import MergesTwice, NeverForgets, SumsAsTheyCome
from tests.faults.planted.runs import short
from tests.faults.planted.staleness import OffByOne, Stale, running
from tests.faults.planted.waking import Haunted, Kettle, SleepsUntilWoken, kettle

pytestmark = pytest.mark.timeout(120)

SEEDS = 200


@dataclass(frozen=True)
class Planted:
    """A bug.

    Attributes:
        bug: what it is called.
        wrong: the scenario with it.
        right: the same without it.
        broken: the invariant that shows it.
    """

    bug: str
    wrong: Callable[[], Scenario[Any]]
    right: Callable[[], Scenario[Any]]
    broken: str


def of_run(bug: str, broken: str, wrong: Roles, **rest: Any) -> Planted:
    """A bug of a run's actors; ``rest`` as for ``short``."""
    return Planted(bug, lambda: short(wrong, **rest), lambda: short(**rest), broken)


BUGS = [
    of_run(
        "merge twice on duplicate", "each part is merged once",
        Roles(aggregator=MergesTwice),
    ),
    of_run(
        "forget a restored clock", "each part is merged once",
        Roles(aggregator=ForgetsItsClock),
    ),
    Planted(
        "trust an old incarnation", lambda: fenced(Trusting), lambda: fenced(Rounds),
        "nothing is merged after its fence",
    ),
    of_run(
        "non-atomic snapshot", "same bits", Roles(aggregator=SavesInTwoFiles),
    ),
    of_run("ack before persist", "same bits", Roles(worker=SavesLater)),
    of_run("lost wake-up", "ends", Roles(worker=SleepsUntilWoken)),
    Planted(
        "timer of a dead incarnation", lambda: kettle(Haunted), lambda: kettle(Kettle),
        "no timer outlives who set it",
    ),
    of_run(
        "unbounded dedup table", "tables stay small", Roles(aggregator=NeverForgets)
    ),
    Planted(
        "off-by-one in SSP's admits", lambda: running(OffByOne()), lambda: running(Stale()),
        "nobody is too far ahead",
    ),
    # Two numbers have the same sum either way.
    of_run(
        "sum depends on order", "same bits", Roles(aggregator=SumsAsTheyCome),
        workers=3,
    ),
]  # fmt: skip


@pytest.mark.parametrize("planted", BUGS, ids=lambda planted: planted.bug)
def test_a_planted_bug_is_found_shortened_and_replayed(planted: Planted) -> None:
    report = explore(planted.wrong(), range(SEEDS), enough=1)
    assert report.failed, f"{planted.bug} was not found in {report.seeds} schedules"
    (failed,) = report.failed
    assert planted.broken in failed.broken, failed.broken
    assert 1 <= failed.faults <= failed.drawn
    plan = FaultPlan.from_toml(failed.plan)
    evidence, broken = replay(planted.wrong(), plan)
    assert (evidence.digest, broken) == (failed.digest, failed.broken)
    right = planted.right()
    assert explore(right, [failed.seed]).failed == ()
    assert replay(right, plan)[1] == {}


FOUND = {
    # A clock that was asked for late threw away the states of later ones.
    "late clock": FaultPlan(
        Jitter(0.016, p=0.948, after=0.033, before=0.281, source="aggregator"),
        Jitter(0.316, p=0.084, after=0.197, before=0.325, source="p0", target="p0"),
        Jitter(0.898, p=0.707, after=0.106, before=0.31, target="p0"),
        Jitter(0.658, p=0.175, after=0.02, before=0.428, source="aggregator"),
        seed=6, until=0.43,
    ),
    # That a worker had started came after its end, and was taken for the start of the next one.
    "late start": FaultPlan(
        Kill("p0", 0.243, down=0.099), Kill("aggregator", 0.052),
        Jitter(0.765, p=0.296, after=0.004, before=0.427, source="p0"), seed=80, until=0.43,
    ),
}  # fmt: skip


@pytest.mark.parametrize("plan", FOUND.values(), ids=FOUND)
def test_a_schedule_that_broke_something_once_breaks_nothing(plan: FaultPlan) -> None:
    evidence, broken = replay(short(rounds=8), plan)
    assert broken == {}
    assert evidence.faults["jitter"] > 0
