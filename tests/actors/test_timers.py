"""Timers that come again and again keep their pace, whatever the loop is busy with."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest

from actors import Message
from actors.timers import Tick, Timers
from transports import Clock, Timer

EVERY = 0.05


class Beat(Message[None]):
    pass


class _Later:
    def __init__(self, call: Callable[[], object]) -> None:
        self.call: Callable[[], object] | None = call

    def cancel(self) -> None:
        self.call = None


class BusyClock:
    """A clock of a loop that calls each timer so much later than it is due.

    Args:
        late: seconds, asked for anew for each call.
    """

    def __init__(self, late: Callable[[], float]) -> None:
        self._late = late
        self._now = 1000.0
        self._shift = 0.0
        self._numbers = itertools.count()
        self._waiting: list[tuple[float, int, _Later]] = []

    def now(self) -> float:
        return self._now + self._shift

    def now_ns(self) -> int:
        return round(self.now() * 1e9)

    def wall(self) -> float:
        return self.now()

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        later = _Later(lambda: callback(*args))
        heapq.heappush(self._waiting, (self._now + max(0.0, delay), next(self._numbers), later))
        return later

    async def sleep(self, seconds: float) -> None:
        self._now += seconds

    def set(self, seconds: float) -> None:
        """Set the clock forward, or back."""
        self._shift += seconds

    def run(self, seconds: float) -> None:
        """Let so many seconds pass."""
        end = self._now + seconds
        while self._waiting and self._waiting[0][0] <= end:
            due, _, later = heapq.heappop(self._waiting)
            self._now = max(self._now, due + self._late())
            if later.call is not None:
                later.call()
        self._now = max(self._now, end)


def beats(clock: Clock) -> list[float]:
    """When a message of a timer came; the list grows."""
    came: list[float] = []

    def deliver(tick: Tick) -> None:
        assert timers.take(tick)
        came.append(clock.now())

    timers = Timers(clock, deliver)
    timers.start("beat", Beat(), after=EVERY, every=EVERY)
    return came


def test_one_that_comes_late_puts_off_none_after_it() -> None:
    draw = random.Random(3)
    clock = BusyClock(lambda: draw.uniform(0.0, 0.8 * EVERY))
    came = beats(clock)
    clock.run(1000 * EVERY)
    assert 998 <= len(came) <= 1000
    for number, time in enumerate(came, 1):
        assert 0.0 <= time - 1000.0 - number * EVERY < 0.81 * EVERY


def test_what_a_loop_was_too_busy_for_is_left_out_and_the_phase_is_kept() -> None:
    late = iter([0.0, 3.4 * EVERY])
    clock = BusyClock(lambda: next(late, 0.0))
    came = beats(clock)
    clock.run(10 * EVERY)
    expected = [1, 2 + 3.4, 6, 7, 8, 9]
    assert [(time - 1000.0) / EVERY for time in came[:6]] == pytest.approx(expected)


@pytest.mark.parametrize("shift", [-3600.0, -0.4 * EVERY, 3600.0 + 0.3 * EVERY])
def test_a_clock_that_is_set_changes_one_pause_by_less_than_a_period(shift: float) -> None:
    clock = BusyClock(lambda: 0.0)
    came = beats(clock)
    clock.run(10.5 * EVERY)
    clock.set(shift)
    clock.run(10 * EVERY)
    assert 19 <= len(came) <= 21
    pauses = [b - a for a, b in itertools.pairwise(came)]
    pauses[9] -= shift
    assert sum(abs(pause - EVERY) > 1e-6 for pause in pauses) <= 2
    assert all(0.0 < pause < 2.0 * EVERY + 1e-6 for pause in pauses)


def test_one_whose_period_is_next_to_nothing_comes_on_and_on() -> None:
    clock = BusyClock(lambda: 0.001)
    came: list[float] = []

    def deliver(tick: Tick) -> None:
        assert timers.take(tick)
        came.append(clock.now())
        if len(came) == 50:
            timers.cancel("beat")

    timers = Timers(clock, deliver)
    timers.start("beat", Beat(), after=0.0, every=5e-324)
    clock.run(1.0)
    assert len(came) == 50
