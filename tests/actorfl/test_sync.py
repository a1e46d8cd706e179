"""The synchrony policies, as laws over many schedules."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorfl.errors import WrongType, WrongValue
from actorfl.sync import ASP, BSP, REMEMBERED, SSP, Buffered, Quorum, Sync

names = st.text("abcdef", min_size=1, max_size=3)
rosters = st.sets(names, min_size=1, max_size=8)
clocks_of_all = st.dictionaries(names, st.integers(0, 20), min_size=1)
bounds = st.integers(0, 4)
ALL: tuple[Sync, ...] = (BSP(), SSP(0), SSP(2), ASP(), Buffered(3), Quorum(0.5, 2.0))


# -- who may go on ---------------------------------------------------------------------------------


@given(clocks=clocks_of_all, clock=st.integers(0, 21))
def test_bsp_admits_a_clock_exactly_when_all_have_completed_those_before(
    clocks: dict[str, int], clock: int
) -> None:
    assert BSP().admits(clock, clocks) == all(done >= clock for done in clocks.values())


@given(clocks=clocks_of_all, clock=st.integers(0, 25), bound=bounds)
def test_ssp_admits_a_clock_that_is_no_further_ahead_of_the_slowest_than_its_staleness(
    clocks: dict[str, int], clock: int, bound: int
) -> None:
    assert SSP(bound).admits(clock, clocks) == all(clock - c <= bound for c in clocks.values())
    assert SSP(0).admits(clock, clocks) == BSP().admits(clock, clocks)
    assert Quorum().admits(clock, clocks) == BSP().admits(clock, clocks)
    assert SSP(10**9).admits(clock, clocks)
    assert ASP().admits(clock, clocks)
    assert Buffered(2).admits(clock, clocks)


@given(roster=rosters, choices=st.lists(st.integers(0, 7), max_size=60), bound=bounds)
def test_under_ssp_nobody_is_ever_further_ahead_than_the_staleness_and_one(
    roster: set[str], choices: list[int], bound: int
) -> None:
    """Who has completed its clock and waits shows one more than it may start with."""
    workers = sorted(roster)
    clocks = dict.fromkeys(workers, 0)
    for choice in choices:
        worker = workers[choice % len(workers)]
        if SSP(bound).admits(clocks[worker], clocks):
            clocks[worker] += 1
        assert max(clocks.values()) - min(clocks.values()) <= bound + 1


@pytest.mark.parametrize("policy", ALL, ids=repr)
@given(clocks=clocks_of_all)
def test_no_policy_ever_stops_everyone(policy: Sync, clocks: dict[str, int]) -> None:
    slowest = min(clocks.values())
    assert policy.admits(slowest, clocks)


# -- when what is open closes ----------------------------------------------------------------------


@given(expected=rosters, arrived=rosters, now=st.floats(0, 1e9))
def test_bsp_closes_when_everyone_expected_is_in_whatever_the_time(
    expected: set[str], arrived: set[str], now: float
) -> None:
    all_in = all(name in arrived for name in expected)
    assert BSP().closes(arrived, expected, now) == all_in
    assert SSP(0).closes(arrived, expected, now) == all_in


@given(expected=rosters, arrived=st.lists(names, max_size=6), k=st.integers(1, 5))
def test_without_a_barrier_the_first_update_closes_or_the_kth(
    expected: set[str], arrived: list[str], k: int
) -> None:
    for policy in (SSP(1), SSP(10**9), ASP()):
        assert policy.closes(arrived, expected, 0.0) == bool(arrived)
    assert Buffered(k).closes(arrived, expected, 0.0) == (len(arrived) >= k)


def test_a_buffer_counts_two_updates_of_one_worker() -> None:
    assert Buffered(2).closes(["a", "a"], frozenset("abc"), 0.0)


@given(
    expected=rosters, arrived=rosters, now=st.floats(0, 10), fraction=st.floats(0.01, 1),
    deadline=st.floats(0, 10),
)  # fmt: skip
def test_a_quorum_closes_with_all_or_with_enough_once_the_deadline_has_passed(
    expected: set[str], arrived: set[str], now: float, fraction: float, deadline: float
) -> None:
    present = len(arrived & expected)
    enough = now >= deadline and present >= fraction * len(expected) - 1e-9
    closes = Quorum(fraction, deadline).closes(arrived, expected, now)
    assert closes == (present == len(expected) or enough)


@pytest.mark.parametrize(
    ("fraction", "workers", "needed"),
    [
        (0.6, 4, 3), (0.5, 4, 2), (0.8, 10, 8), (0.7, 10, 7), (0.1, 30, 3), (1, 7, 7),
        (1e-6, 3, 1), (1e-12, 3, 1), (0.29, 100, 29),
    ],
)  # fmt: skip
def test_a_fraction_of_workers_is_rounded_up_and_not_by_an_error_of_floats(
    fraction: float, workers: int, needed: int
) -> None:
    assert Quorum(fraction).needed(workers) == needed


def test_nobody_is_waited_for_beyond_what_is_due() -> None:
    assert [policy.due(()) for policy in ALL] == [None] * 5 + [2.0]


# -- the deadline that adapts ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("durations", "deadline"),
    [
        ([], 9.0),
        ([1.0] * 4, 9.0),  # too few
        ([1.0] * 5, 1.0),  # no spread: the median
        # median 3, deviations 2 1 0 1 2, their median 1: 3 + 3 * 1.4826
        ([1.0, 2.0, 3.0, 4.0, 5.0], 3 + 3 * 1.4826),
        # One straggler changes neither: median 3, deviations 2 1 0 1 97
        ([1.0, 2.0, 3.0, 4.0, 100.0], 3 + 3 * 1.4826),
        ([0.1] * 5, 0.5),  # the floor
        ([8.0, 9.0, 10.0, 11.0, 12.0], 9.0),  # never above the deadline
        # Only the last 20 count: 20 of 2 after many of 8.
        ([8.0] * 30 + [2.0] * 20, 2.0),
        # An even number: median 2.5, deviations 1.5 .5 .5 1.5 0 0 -> .5
        ([1.0, 2.0, 3.0, 4.0, 2.5, 2.5], 2.5 + 3 * 1.4826 * 0.5),
    ],
)
def test_the_deadline_adapts_to_the_last_rounds_as_computed_by_hand(
    durations: list[float], deadline: float
) -> None:
    assert Quorum(0.5, 9.0, floor=0.5).due(durations) == pytest.approx(deadline, rel=1e-12)
    assert Quorum(0.5, 9.0).due(durations) == 9.0


def test_k_says_how_much_longer_than_the_median_a_round_may_take() -> None:
    durations = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert Quorum(0.5, 9.0, floor=0.0, k=0).due(durations) == 3.0
    assert Quorum(0.5, 9.0, floor=0.0, k=1).due(durations) == pytest.approx(4.4826)


@given(
    durations=st.lists(st.floats(0, 100), max_size=30), floor=st.floats(0, 5),
    above=st.floats(0, 50), k=st.floats(0, 5),
)  # fmt: skip
def test_the_deadline_stays_within_its_floor_and_its_ceiling(
    durations: list[float], floor: float, above: float, k: float
) -> None:
    policy = Quorum(0.5, floor + above, floor=floor, k=k)
    assert floor <= policy.due(durations) <= floor + above
    assert policy.due(durations) == policy.due(durations[-REMEMBERED:])


@given(st.lists(st.floats(1, 50), min_size=5, max_size=20))
def test_without_the_spread_it_is_the_median(durations: list[float]) -> None:
    due = Quorum(0.5, 100.0, floor=0.0, k=0).due(durations)
    assert due == statistics.median(durations)


# -- what they say of themselves -------------------------------------------------------------------


def test_each_policy_says_what_it_is() -> None:
    told = [(p.family, p.barrier, p.partial, p.shares, p.buffer) for p in (*ALL, SSP(1))]
    assert told == [
        ("BSP", True, False, False, 1),
        ("BSP", True, False, True, 1),
        ("SSP", False, False, True, 1),
        ("ASP", False, False, True, 1),
        ("Buffered", False, False, False, 3),
        ("Quorum", True, True, False, 1),
        ("SSP", False, False, True, 1),
    ]


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: SSP(-1), WrongValue, "`staleness` of SSP must be from 0 to 1000000000, got -1"),
        (lambda: SSP(10**9 + 1), WrongValue, "`staleness` of SSP must be from 0 to 1000000000"),
        (lambda: SSP(1.5), WrongType, "`staleness` of SSP: expected an int, from 0 to 1000000000"),  # type: ignore[arg-type]
        (lambda: SSP(True), WrongType, "`staleness` of SSP"),
        (lambda: Buffered(0), WrongValue, "`k` of Buffered must be from 1 to 1024, got 0"),
        (lambda: Buffered(1025), WrongValue, "`k` of Buffered must be from 1 to 1024"),
        (lambda: Buffered("2"), WrongType, "`k` of Buffered"),  # type: ignore[arg-type]
        (
            lambda: Quorum(0),
            WrongValue,
            "`fraction` of Quorum must be above 0 and at most 1, got 0",
        ),
        (lambda: Quorum(1.1), WrongValue, "`fraction` of Quorum"),
        (lambda: Quorum(math.nan), WrongValue, "`fraction` of Quorum"),
        (lambda: Quorum(0.5, -1), WrongValue, "`deadline` of Quorum"),
        (lambda: Quorum(0.5, math.inf), WrongValue, "`deadline` of Quorum"),
        (lambda: Quorum(0.5, 2, floor=3), WrongValue, "`floor` of Quorum must be at most 2, got 3"),
        (lambda: Quorum(0.5, 2, floor=-1), WrongValue, "`floor` of Quorum"),
        (lambda: Quorum(0.5, 2, k=-1), WrongValue, "`k` of Quorum"),
        (lambda: Quorum("all"), WrongType, "`fraction` of Quorum"),  # type: ignore[arg-type]
    ],
)
def test_what_is_out_of_range_is_refused_by_name(
    make: Callable[[], Sync], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error) as told:
        make()
    assert sentence in str(told.value)
