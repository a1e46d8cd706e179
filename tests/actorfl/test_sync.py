"""The synchrony policies, as laws over many schedules."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actorfl.sync import BSP

names = st.text("abcdef", min_size=1, max_size=3)
rosters = st.sets(names, min_size=1, max_size=8)


@given(clocks=st.dictionaries(names, st.integers(0, 20), min_size=1), clock=st.integers(0, 21))
def test_bsp_admits_a_clock_exactly_when_all_have_completed_those_before(
    clocks: dict[str, int], clock: int
) -> None:
    assert BSP().admits(clock, clocks) == all(done >= clock for done in clocks.values())


@given(roster=rosters, choices=st.lists(st.integers(0, 7), max_size=60))
def test_under_bsp_no_worker_is_ever_more_than_one_clock_ahead(
    roster: set[str], choices: list[int]
) -> None:
    workers = sorted(roster)
    clocks = dict.fromkeys(workers, 0)
    for choice in choices:
        worker = workers[choice % len(workers)]
        if BSP().admits(clocks[worker], clocks):
            clocks[worker] += 1
        assert max(clocks.values()) - min(clocks.values()) <= 1


@given(clocks=st.dictionaries(names, st.integers(0, 20), min_size=1))
def test_bsp_never_stops_everyone(clocks: dict[str, int]) -> None:
    assert any(BSP().admits(clock, clocks) for clock in clocks.values())


@given(expected=rosters, arrived=rosters, now=st.floats(0, 1e9))
def test_bsp_closes_when_everyone_expected_is_in_whatever_the_time(
    expected: set[str], arrived: set[str], now: float
) -> None:
    assert BSP().closes(arrived, expected, now) == all(name in arrived for name in expected)
