"""The queue of timers: what comes out is in order, however far apart it was put in."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from transports.sim.timerqueue import TimerQueue

near, later = st.integers(0, 3), st.integers(10**9, 10**9 + 3)
moments = near | later | st.integers(0, 10**9) | st.integers(0, 10**13)
"""Nanoseconds of one stretch of time, now and later, of neighbouring ones, and of some far apart."""


def put(queue: TimerQueue, ns: int, number: int) -> None:
    entry: Any = (ns, number, None)
    if ns < queue.horizon:
        heappush(queue.near, entry)
    else:
        queue.put_off(entry)


@given(st.lists(st.tuples(moments, st.booleans()), max_size=40))
def test_entries_come_out_in_order_though_some_are_put_in_between(
    steps: list[tuple[int, bool]],
) -> None:
    queue = TimerQueue()
    waiting: list[tuple[int, int]] = []
    now = 0
    for number, (after, takes) in enumerate(steps):
        put(queue, now + after, number)
        waiting.append((now + after, number))
        assert len(queue) == len(waiting) == len(list(queue))
        if takes:
            assert queue.near or queue.refill()
            taken = heappop(queue.near)[:2]
            assert taken == min(waiting)
            waiting.remove(taken)
            now = taken[0]
    left = []
    while queue.near or queue.refill():
        left.append(heappop(queue.near)[:2])
    assert left == sorted(waiting)
    assert not queue.refill()


@given(st.lists(moments, max_size=40), st.integers(1, 5))
def test_what_is_not_kept_is_gone_and_the_rest_in_order(times: list[int], every: int) -> None:
    queue = TimerQueue()
    for number, ns in enumerate(times):
        put(queue, ns, number)
    queue.refill()
    queue.keep(lambda entry: entry[1] % every == 0)
    kept = sorted((ns, number) for number, ns in enumerate(times) if number % every == 0)
    assert len(queue) == len(kept)
    out = []
    while queue.near or queue.refill():
        out.append(heappop(queue.near)[:2])
    assert out == kept


def test_nothing_is_left_of_a_queue_that_was_cleared() -> None:
    queue = TimerQueue()
    for ns in (0, 10**9):
        put(queue, ns, ns)
    assert "near=1 later=1" in repr(queue)
    queue.clear()
    assert len(queue) == 0
    assert not queue.refill()
