"""What a plan does to processes and when, and the sessions and absences of nodes that come and go."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import Churn, FaultPlan, Freeze, Kill, Slow
from actors.faults.churn import departures
from actors.faults.timeline import Timeline
from transports import SeededRng
from transports.sim import SimClock, SimLoop


class Noted:
    """Hands that note what they are told to do; nobody is there of those in ``away``."""

    def __init__(self, loop: SimLoop, away: set[str]) -> None:
        self._loop = loop
        self._away = away
        self.done: list[tuple[float, Any]] = []

    def _note(self, name: str, *what: object) -> bool:
        self.done.append((round(self._loop.time(), 6), what))
        return name not in self._away

    def kill(self, name: str, down: float = 0.0) -> bool:
        return self._note(name, "kill", name, down)

    def freeze(self, name: str) -> bool:
        return self._note(name, "freeze", name)

    def thaw(self, name: str) -> bool:
        return self._note(name, "thaw", name)

    def slow(self, name: str, factor: float) -> bool:
        return self._note(name, "slow", name, factor)


def carried_out(
    plan: FaultPlan, *names: str, away: set[str] | None = None, stop: float = 1000.0
) -> tuple[list[tuple[float, Any]], Counter[str]]:
    """What happens to processes of these names, and what is counted."""
    loop, counts = SimLoop(), Counter[str]()
    hands = Noted(loop, away or set())
    timeline = Timeline(plan, names, hands, SimClock(loop), counts)
    loop.call_later(stop, timeline.stop)
    loop.call_later(stop + 1000, loop.stop)
    loop.run_forever()
    loop.close()
    return hands.done, counts


def test_each_thing_happens_to_those_it_names_at_its_time() -> None:
    plan = FaultPlan(
        Kill("p*", 1.0, down=3.0), Freeze("p0", 2.0, seconds=0.5), Slow("p1", 4.0, after=2.0, before=5)
    )  # fmt: skip
    done, counts = carried_out(plan, "p0", "p1", "aggregator")
    assert done == [
        (1.0, ("kill", "p0", 3.0)), (1.0, ("kill", "p1", 3.0)), (2.0, ("freeze", "p0")),
        (2.0, ("slow", "p1", 4.0)), (2.5, ("thaw", "p0")), (5.0, ("slow", "p1", 1.0)),
    ]  # fmt: skip
    assert counts == {"kill": 2, "freeze": 1, "slow": 1}


def test_what_finds_nobody_is_not_counted() -> None:
    plan = FaultPlan(Kill("p0", 1.0), Freeze("p0", 2.0, seconds=0.5), Slow("p0", 4.0))
    _, counts = carried_out(plan, "p0", away={"p0"})
    assert not +counts


def test_of_two_freezes_that_overlap_the_later_one_ends_them() -> None:
    plan = FaultPlan(Freeze("p0", 1.0, seconds=5.0), Freeze("p0", 2.0, seconds=1.0))
    done, counts = carried_out(plan, "p0")
    assert done == [(1.0, ("freeze", "p0")), (2.0, ("freeze", "p0")), (6.0, ("thaw", "p0"))]
    assert counts["freeze"] == 2


def test_of_two_slownesses_that_overlap_the_end_of_one_leaves_the_other() -> None:
    plan = FaultPlan(Slow("p0", 2.0, before=10), Slow("p0", 3.0, after=4.0, before=6.0))
    done, _ = carried_out(plan, "p0")
    assert [(at, what[2]) for at, what in done] == [(0.0, 2.0), (4.0, 6.0), (6.0, 2.0), (10.0, 1.0)]


def test_the_end_of_the_plan_ends_what_holds_for_a_time_and_its_stop_thaws() -> None:
    done, _ = carried_out(FaultPlan(Slow("p0", 2.0), until=3.0), "p0")
    assert done[-1] == (3.0, ("slow", "p0", 1.0))
    done, _ = carried_out(
        FaultPlan(Freeze("p0", 1.0, seconds=50.0), Kill("p0", 9.0)), "p0", stop=2.0
    )
    assert done == [(1.0, ("freeze", "p0")), (2.0, ("thaw", "p0"))]


def test_churn_is_carried_out_as_departures_say() -> None:
    churn = Churn(offline=0.5, session=2.0, node="p?")
    done, counts = carried_out(FaultPlan(churn, seed=4, until=50.0), "p0", "p1", "evaluator")
    expected = sorted(
        (round(kill.at, 6), ("kill", name, kill.down))
        for name in ("p0", "p1")
        for kill in departures(churn, name, 50.0, SeededRng(4))
    )
    assert sorted(done) == expected
    assert counts["churn"] == len(expected) > 10


# -- sessions and absences -----------------------------------------------------------------------


def history(churn: Churn, until: float, seed: int = 0, node: str = "p0") -> list[Kill]:
    return list(departures(churn, node, until, SeededRng(seed)))


def sessions(kills: list[Kill]) -> list[float]:
    """Whole sessions between two departures."""
    return [b.at - a.at - a.down for a, b in itertools.pairwise(kills)]


LONG = 200_000.0


@pytest.mark.parametrize("offline", [0.05, 0.3, 0.8])
@pytest.mark.parametrize("session", [10.0, (0.0, 5.0, 35.0)], ids=["exponential", "quantiles"])
def test_a_node_is_away_for_its_share_and_its_sessions_last_as_long_as_they_say(
    offline: float, session: float | tuple[float, ...]
) -> None:
    mean = session if isinstance(session, float) else 11.25  # (2.5 + 20) / 2
    kills = history(Churn(offline=offline, session=session), LONG)
    lasted = sessions(kills)
    # Of n draws the mean is off by sd / sqrt(n); here four of these, and the sd is near the mean.
    assert statistics.mean(lasted) == pytest.approx(mean, rel=4 / len(lasted) ** 0.5)
    away = sum(kill.down for kill in kills) / LONG
    assert away == pytest.approx(offline, abs=8 * offline * (1 - offline) / len(lasted) ** 0.5)


def test_sessions_of_one_length_in_the_mean_are_distributed_exponentially() -> None:
    lasted = sessions(history(Churn(offline=0.1, session=10.0), LONG))
    assert statistics.stdev(lasted) == pytest.approx(10.0, rel=0.1)
    assert statistics.median(lasted) == pytest.approx(6.93, rel=0.1)


def test_sessions_of_a_table_have_its_quantiles() -> None:
    table = (1.0, 2.0, 30.0, 100.0)
    lasted = sessions(history(Churn(offline=0.1, session=table), LONG))
    for share, quantile in zip((1 / 3, 2 / 3), table[1:3], strict=True):
        below = sum(each <= quantile for each in lasted) / len(lasted)
        assert below == pytest.approx(share, abs=2 / len(lasted) ** 0.5)
    assert table[0] - 1e-6 <= min(lasted) <= max(lasted) <= table[-1] + 1e-6


churns = st.builds(
    lambda after, lasts, offline, session: Churn(
        offline=offline, session=session, after=after, before=None if lasts is None else after + lasts
    ),
    st.floats(0, 50), st.none() | st.floats(1, 100), st.floats(0, 0.95),
    st.floats(0.5, 50) | st.lists(st.floats(0.5, 50), min_size=2, max_size=4).map(
        lambda table: tuple(sorted(table))
    ),
)  # fmt: skip


@given(churns, st.integers(0, 99), st.floats(1, 100))
def test_departures_are_in_order_within_their_time_and_all_are_back_at_its_end(
    churn: Churn, seed: int, until: float
) -> None:
    kills = history(churn, until, seed)
    end = until if churn.before is None else min(churn.before, until)
    back = churn.after
    for kill in kills:
        assert back <= kill.at < end
        back = kill.at + kill.down
        assert back <= end + 1e-9
    assert kills == history(churn, until, seed)


def test_another_seed_or_node_comes_and_goes_at_other_times() -> None:
    churn = Churn(offline=0.5, session=3.0)
    one = history(churn, 100.0)
    assert one != history(churn, 100.0, seed=1)
    assert [kill.at for kill in one] != [kill.at for kill in history(churn, 100.0, node="p1")]


def test_a_node_that_is_never_away_leaves_and_is_back_at_once() -> None:
    assert {kill.down for kill in history(Churn(offline=0.0, session=3.0), 100.0)} == {0.0}
