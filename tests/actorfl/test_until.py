"""When a run is over, and how far off its end may be moved."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorfl.errors import WrongValue
from actorfl.until import Progress, Rounds

counts = st.integers(1, 10**9)


@given(rounds=counts, clocks=st.integers(0, 2 * 10**9))
def test_rounds_are_reached_when_that_many_clocks_are_closed(rounds: int, clocks: int) -> None:
    assert Rounds(rounds).reached(Progress(clocks)) == (clocks >= rounds)


@given(later=counts, earlier=counts)
def test_a_later_end_extends_an_earlier_one_and_no_other(later: int, earlier: int) -> None:
    assert Rounds(later).extends(Rounds(earlier)) == (later >= earlier)


@pytest.mark.parametrize("rounds", [0, -1, 10**9 + 1])
def test_rounds_out_of_range_are_refused(rounds: int) -> None:
    with pytest.raises(WrongValue, match=f"rounds must be from 1 to 1000000000, got {rounds}"):
        Rounds(rounds)
