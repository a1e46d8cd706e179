"""Where a worker is in its clocks: the laws of its state machine."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actorfl.stepping import Stepping
from actorfl.worker import RETRY, retry_of


def test_a_clock_is_computed_put_settled_and_the_next_one_asked_for() -> None:
    steps: Stepping[str] = Stepping()
    assert steps.clock == 0
    assert steps.go(0, 0) is None
    steps.computed("part 0", 0, 0)
    assert repr(steps) == "<Stepping putting clock 0 kept=[0]>"
    assert steps.settled(0)
    assert steps.clock == 1
    assert steps.putting is None


def test_a_clock_that_is_asked_for_again_is_not_computed_again() -> None:
    steps: Stepping[str] = Stepping()
    steps.computed("part 0", 0, 0)
    steps.settled(0)
    # The aggregator was restarted and re-enters clock 0.
    assert steps.go(0, 0) == "part 0"
    assert (steps.clock, steps.putting) == (0, "part 0")
    assert steps.settled(0)
    assert steps.clock == 1


def test_the_same_clock_from_another_version_is_computed() -> None:
    steps: Stepping[str] = Stepping()
    steps.computed("part", 4, 4)
    assert steps.go(4, 3) is None


def test_where_any_version_will_do_a_clock_is_computed_once() -> None:
    """What it leaves at the worker would else not be what its part says."""
    steps: Stepping[str] = Stepping()
    steps.computed("part", 4, 4)
    assert steps.go(4, 7, any_version=True) == "part"
    assert steps.go(5, 7, any_version=True) is None
    steps.computed("next", 5, 7)
    assert steps.go(4, 9, any_version=True) == "part"


def test_an_acknowledgement_counts_once_and_only_for_what_is_being_put() -> None:
    steps: Stepping[str] = Stepping()
    assert not steps.settled(0)
    steps.computed("part", 2, 2)
    assert not steps.settled(1)
    assert steps.settled(2)
    assert not steps.settled(2)


def test_to_wait_moves_a_worker_on_but_never_back_nor_from_what_it_puts() -> None:
    steps: Stepping[str] = Stepping()
    steps.told(5)
    assert steps.clock == 5
    steps.told(3)
    assert steps.clock == 5
    steps.computed("part", 6, 6)
    steps.told(9)
    assert (steps.clock, steps.putting) == (6, "part")


@given(st.lists(st.integers(0, 6), max_size=30))
def test_parts_of_the_last_two_clocks_are_kept_and_no_more(clocks: list[int]) -> None:
    """Each part is a whole model."""
    steps: Stepping[int] = Stepping()
    computed: list[int] = []
    for clock in clocks:
        kept = steps.go(clock, clock)
        if kept is None:
            steps.computed(clock, clock, clock)
            computed.append(clock)
        else:
            assert kept == clock
            assert clock in computed[-2:]
    for clock in set(clocks):
        assert (steps.go(clock, clock) is not None) == (clock in computed[-2:])


def test_the_questions_of_a_thousand_workers_are_no_more_load_than_those_of_a_hundred() -> None:
    assert [retry_of(workers) for workers in (1, 8, 100)] == [RETRY] * 3
    assert 100 / RETRY == 400
    assert [workers / retry_of(workers) for workers in (101, 300, 1000)] == [400] * 3
    # Whoever lost a message, or its aggregator, is heard of again within seconds, however many.
    assert retry_of(65_536) == retry_of(1000) == 10 * RETRY
