"""The trace and its digest."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from transports.sim.draws import Draws
from transports.sim.trace import Event, Trace

numbers = st.integers(0, 2**64 - 1)
events = st.lists(
    st.builds(
        Event,
        ns=numbers,
        source=st.text(max_size=3),
        target=st.text(max_size=3),
        label=st.text(max_size=3),
        number=numbers,
        size=numbers,
    ),
    max_size=5,
)


def traced(those: list[Event], keep: int = 0) -> Trace:
    trace = Trace(keep)
    for event in those:
        trace.record(event)
    return trace


@given(events, events)
def test_equal_digests_mean_equal_events(one: list[Event], other: list[Event]) -> None:
    assert (traced(one).hexdigest() == traced(other).hexdigest()) == (one == other)
    assert traced(one, keep=3).hexdigest() == traced(one).hexdigest()


def test_the_digest_is_the_same_on_every_machine() -> None:
    trace = traced(
        [Event(1, "a", "b", "control batch", 2, 3), Event(5, "ä", "b", "bulk end", 7, 0)]
    )
    assert trace.hexdigest()[:16] == "c523487238c7517f"
    assert repr(trace) == f"<Trace events=2 digest={trace.hexdigest()[:12]}>"


def test_the_last_events_are_kept() -> None:
    those = [Event(ns, "a", "b", "x", ns, 0) for ns in range(10)]
    trace = traced(those, keep=3)
    assert (len(trace), trace.events) == (10, tuple(those[-3:]))
    assert traced(those).events == ()


@given(st.integers(), st.integers(1, 2**70))
def test_draws_are_within_their_bound_and_repeat(seed: int, bound: int) -> None:
    one, other = Draws(seed), Draws(seed)
    for _ in range(10):
        drawn = one.below(bound)
        assert 0 <= drawn < bound
        assert drawn == other.below(bound)


def test_draws_are_the_same_under_every_python() -> None:
    draws = Draws(7)
    items = list(range(10))
    draws.shuffle(items)
    assert items == [4, 7, 2, 1, 3, 5, 9, 0, 6, 8]
