"""When a run is over, and how far off its end may be moved."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorfl.errors import WrongType, WrongValue
from actorfl.until import Clocks, Progress, Rounds, Until, Updates, Versions

KINDS = (Rounds, Clocks, Versions, Updates)
counts = st.integers(1, 10**9)
kinds = st.sampled_from(KINDS)


def of(kind: type[Until], number: int) -> Until:
    return kind(number)  # type: ignore[call-arg]


@given(kinds, counts, st.integers(0, 2 * 10**9))
def test_each_end_looks_at_its_own_count_alone(kind: type[Until], end: int, at: int) -> None:
    nothing = Progress(rounds=0, clocks=0, versions=0, updates=0)
    name = kind.__name__.lower()
    assert of(kind, end).reached(replace(nothing, **{name: at})) == (at >= end)
    others = {each.__name__.lower(): 10**10 for each in KINDS if each is not kind}
    assert not of(kind, end).reached(replace(nothing, **others))


@given(kinds, counts, counts)
def test_a_later_end_extends_an_earlier_one_and_no_other(
    kind: type[Until], later: int, earlier: int
) -> None:
    assert of(kind, later).extends(of(kind, earlier)) == (later >= earlier)
    other = Rounds if kind is not Rounds else Clocks
    assert not of(kind, later).extends(other(earlier))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [0, -1, 10**9 + 1])
def test_a_number_out_of_range_is_refused(kind: type[Until], number: int) -> None:
    name = f"`{kind.__name__.lower()}` of {kind.__name__}"
    with pytest.raises(WrongValue, match=f"{name} must be from 1 to 1000000000, got {number}"):
        of(kind, number)


@pytest.mark.parametrize("kind", KINDS)
def test_half_a_clock_is_refused(kind: type[Until]) -> None:
    with pytest.raises(WrongType):
        kind(1.5)  # type: ignore[call-arg]


def test_only_clocks_bound_what_one_worker_computes() -> None:
    assert [of(kind, 7).last for kind in KINDS] == [None, 7, None, None]
