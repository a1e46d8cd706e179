"""The pure state machines of the runtime: budgets of supervisors, signals, timers."""

from __future__ import annotations

import random
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import Backoff, UsageError, one_for_one
from actors.signalling import MAX_UNACKNOWLEDGED, Signalling
from actors.supervision import Budget, GiveUp, RestartAfter

gaps = st.lists(st.floats(0, 30), min_size=1, max_size=40)


@given(gaps, st.integers(0, 5))
def test_a_child_is_given_up_exactly_when_it_fails_once_more_than_its_intensity_within_the_period(
    gaps: list[float], intensity: int
) -> None:
    budget = Budget(one_for_one(intensity, per=60))
    now, restarts = 0.0, deque[float]()
    for gap in gaps:
        now += gap
        while restarts and restarts[0] <= now - 60:
            restarts.popleft()
        verdict = budget.failed(1, now, 0.5, outside=False)
        if len(restarts) < intensity:
            assert isinstance(verdict, RestartAfter)
            restarts.append(now)
        else:
            assert verdict == GiveUp(1, len(restarts))
            return


def test_deaths_from_outside_have_a_budget_of_their_own_and_progress_resets_both() -> None:
    budget = Budget(one_for_one(1, per=60, outside=1))
    for _ in range(3):
        assert isinstance(budget.failed(1, 0, 0, outside=False), RestartAfter)
        assert isinstance(budget.failed(1, 0, 0, outside=True), RestartAfter)
        budget.progressed(1)
    budget.failed(1, 0, 0, outside=True)
    assert isinstance(budget.failed(1, 0, 0, outside=True), GiveUp)
    assert isinstance(budget.failed(2, 0, 0, outside=True), RestartAfter)


def test_exceptions_may_count_until_progress_however_long_ago_they_are() -> None:
    budget = Budget(one_for_one(2, per=60, outside=1, until_progress=True))
    for start in (0, 1e6):
        for now in (start, start + 1e5):
            assert isinstance(budget.failed(1, now, 0, outside=False), RestartAfter)
            assert isinstance(budget.failed(1, now, 0, outside=True), RestartAfter)
        assert isinstance(budget.failed(1, start + 2e5, 0, outside=False), GiveUp)
        budget.progressed(1)


@given(st.integers(0, 5000), st.floats(0, 1))
def test_a_back_off_grows_to_its_maximum_and_jitter_only_shortens_it(
    attempt: int, draw: float
) -> None:
    backoff = Backoff(initial=0.1, factor=2, maximum=5, jitter=0.2)
    delay = backoff.delay(attempt, draw)
    assert 0.8 * min(0.1 * 2 ** min(attempt, 64), 5) - 1e-12 <= delay <= 5
    assert backoff.delay(attempt + 1, draw) >= delay


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError):
        Backoff(factor=0.5)
    with pytest.raises(UsageError):
        one_for_one(-1)


@given(st.integers(0, 2**32), st.integers(1, 30))
def test_signals_arrive_exactly_once_in_order_whatever_the_connection_loses(
    seed: int, count: int
) -> None:
    """Frames are lost, doubled and overtaken; a new connection sends what is unacknowledged."""
    draw = random.Random(seed)
    sender, receiver = Signalling(), Signalling()
    arrived: list[bytes] = []
    flying: list[tuple[int, bytes]] = []

    def fly(number: int, body: bytes) -> None:
        flying.extend([(number, body)] * draw.choice([0, 1, 1, 2]))
        if draw.random() < 0.3:
            draw.shuffle(flying)

    for i in range(count):
        body = str(i).encode()
        fly(sender.send(7, body), body)
        if flying and draw.random() < 0.5:
            number, body = flying.pop(0)
            if receiver.receive(number):
                arrived.append(body)
        if draw.random() < 0.3:
            sender.acknowledged(receiver.received)
    for _ in range(2):  # reconnected, and nothing is lost any more
        for number, body, to in sender.oldest(count):
            assert to == 7
            if receiver.receive(number):
                arrived.append(body)
        sender.acknowledged(receiver.received)
    assert arrived == [str(i).encode() for i in range(count)]
    assert not sender.waits


def test_a_peer_that_stops_acknowledging_costs_bounded_memory() -> None:
    sender = Signalling()
    for _ in range(MAX_UNACKNOWLEDGED):
        assert not sender.exhausted
        sender.send(0, b"")
    assert sender.exhausted


def test_what_found_no_room_is_what_is_not_on_the_wire() -> None:
    sender = Signalling()
    for number in range(1, 6):
        sender.send(0, str(number).encode())
    sender.wired = 2
    assert [number for number, _, _ in sender.unsent()] == [3, 4, 5]
    sender.acknowledged(1)
    assert [number for number, _, _ in sender.unsent()] == [3, 4, 5]
    # What was on the wire all the same (a duplicate of an old one) counts as sent.
    sender.acknowledged(4)
    assert (sender.wired, [number for number, _, _ in sender.unsent()]) == (4, [5])
