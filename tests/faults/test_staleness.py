"""Who may run ahead: what a policy admits is what the law allows, whatever the order of events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorfl.chaos import laws
from actorfl.sync import BSP, within

ROSTER = ("a", "b", "c")
Step = tuple[Literal["starts", "ends", "waits"], str, int]
Admits = Callable[[int, Mapping[str, int]], bool]

#: Who is next to end its clock, or else to ask for one.
turns = st.lists(st.sampled_from(ROSTER), min_size=1, max_size=60)


def steps(order: list[str], admits: Admits) -> list[Step]:
    """What happens where workers take turns in this order and a policy lets them go on."""
    clocks = dict.fromkeys(ROSTER, 0)
    busy: set[str] = set()
    found: list[Step] = []
    for worker in order:
        clock = clocks[worker]
        if worker in busy:
            busy.discard(worker)
            clocks[worker] += 1
            found.append(("ends", worker, clock))
        elif admits(clock, clocks):
            busy.add(worker)
            found.append(("starts", worker, clock))
        else:
            found.append(("waits", worker, clock))
    return found


def moves(found: list[Step]) -> list[tuple[Literal["starts", "ends"], str, int]]:
    return [(what, worker, clock) for what, worker, clock in found if what != "waits"]


@given(turns, st.integers(0, 3))
def test_whoever_is_admitted_within_the_bound_breaks_no_law(order: list[str], bound: int) -> None:
    found = steps(order, lambda clock, clocks: within(clock, clocks, bound))
    assert laws.staleness_is_bounded(moves(found), ROSTER, bound) is None


@given(turns, st.integers(0, 3))
def test_whoever_has_to_wait_would_have_broken_it(order: list[str], bound: int) -> None:
    found = steps(order, lambda clock, clocks: within(clock, clocks, bound))
    for place, (what, worker, clock) in enumerate(found):
        if what == "waits":
            instead = [*moves(found[:place]), ("starts", worker, clock)]
            assert laws.staleness_is_bounded(instead, ROSTER, bound) is not None


@given(st.integers(0, 5), st.dictionaries(st.sampled_from(ROSTER), st.integers(0, 5), min_size=1))
def test_bsp_is_ssp_with_a_bound_of_0(clock: int, clocks: dict[str, int]) -> None:
    assert BSP().admits(clock, clocks) is within(clock, clocks, 0)


@given(turns)
def test_with_an_infinite_bound_nobody_waits(order: list[str]) -> None:
    found = steps(order, lambda clock, clocks: within(clock, clocks, float("inf")))
    assert laws.nobody_waits(found) is None


@pytest.mark.parametrize("bound", [0, 1, 3])
def test_one_more_than_the_bound_is_told(bound: int) -> None:
    alone = ["a"] * 2 * (bound + 2)
    found = steps(alone, lambda clock, clocks: within(clock - 1, clocks, bound))
    told = laws.staleness_is_bounded(moves(found), ROSTER, bound)
    assert told == f"a started clock {bound + 1} while b had completed 0, more than {bound} behind"
    found = steps(alone, lambda clock, clocks: within(clock, clocks, bound))
    assert laws.nobody_waits(found) == f"a had to wait for clock {bound + 1}"
