"""Keyed timers of an actor."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from actors.errors import UsageError
from actors.given import check_message, check_text
from actors.message import Message
from actors.quantities import is_finite, is_seconds
from transports import Clock, Timer


class Tick(msgspec.Struct, eq=False):
    """A timer, and its message on its way through the mailbox; stale ones are dropped there."""

    key: str
    message: Message[Any]
    #: What sends it next, or ``SPENT`` where it was sent for the last time.
    timer: Timer
    #: When it comes next, on the actor's clock, where it comes again and again.
    due: float = 0.0
    #: Whether it is in the mailbox.
    queued: bool = False
    #: Whether it is not wanted any more, wherever it is.
    cancelled: bool = False


class Timers:
    """Timers that send messages to their own actor.

    A key has at most one timer; starting it again replaces the old one, whose message no longer
    arrives even if it was already in the mailbox. At most one message per key waits in the
    mailbox, so a slow actor is not flooded. All end with the actor's incarnation.
    """

    __slots__ = ("_active", "_again", "_at_once", "_clock", "_deliver")

    def __init__(
        self,
        clock: Clock,
        deliver: Callable[[Tick], None],
        at_once: Callable[[Tick], bool] | None = None,
    ) -> None:
        self._clock: Any = clock  # with ``interval`` where there is ``again``
        #: Has its actor handle a tick without the mailbox, unless it has to wait.
        self._at_once = at_once
        #: Of a clock that can make a timer anew which has just come due, at less than a new one.
        self._again: Callable[[Timer, Any], Timer] | None = getattr(clock, "again", None)
        self._deliver = deliver
        self._active: dict[str, Tick] = {}

    def start(
        self, key: str, message: Message[Any], *, after: float, every: float | None = None
    ) -> None:
        """Send ``message`` after some seconds (0 or more), then every so many (above 0) if given.

        One that comes late puts off none after it. Those that a loop was too busy for are left out.

        Raises:
            UsageError: the seconds are none of these, or what is to be sent is no message.
        """
        check_text("timers.start", "the key", key)
        check_message("timers.start", message)
        if not _is_after(after) or not (every is None or is_seconds(every)):
            msg = (
                f"timer {key!r} cannot start with after={after!r}, every={every!r}: after takes "
                "seconds from 0, every takes seconds above 0"
            )
            raise UsageError(msg)
        self.cancel(key)
        tick = self._active[key] = Tick(key, message, SPENT)
        interval: Any = every
        if every is not None:
            if self._again is None:
                tick.due = self._clock.now() + after
            else:
                interval = self._clock.interval(every)
        # A callback without arguments of its own is called faster, again and again.
        tick.timer = self._clock.call_later(after, partial(self._fire, tick, interval))

    def cancel(self, key: str) -> None:
        """End the timer with that key, if there is one."""
        tick = self._active.pop(key, None)
        if tick is not None:
            tick.cancelled = True
            tick.timer.cancel()

    def cancel_all(self) -> None:
        """End all timers."""
        for key in tuple(self._active):
            self.cancel(key)

    def is_active(self, key: str) -> bool:
        """Whether a message of that key is still to come."""
        return key in self._active

    def take(self, tick: Tick) -> bool:
        """Whether the tick is still wanted; called when it leaves the mailbox."""
        if tick.queued:
            tick.queued = False
        if tick.cancelled:
            return False
        if tick.timer is SPENT:
            del self._active[tick.key]
        return True

    def _fire(self, tick: Tick, every: Any) -> None:
        again, at_once = self._again, self._at_once
        if every is None:
            tick.timer = SPENT
        elif again is not None:
            timer = again(tick.timer, every)
            if timer is not tick.timer:  # as hardly ever, and to say it anew costs more
                tick.timer = timer
        else:
            rest = self._rest(tick, every)
            tick.timer = self._clock.call_later(rest, self._fire, tick, every)
        if not tick.queued and (at_once is None or not at_once(tick)):
            deliver = self._deliver
            tick.queued = True
            deliver(tick)

    def _rest(self, tick: Tick, every: float) -> float:
        """Seconds until a tick that comes now is to come again."""
        now = self._clock.now()
        late = now - tick.due
        if late <= -every:  # the clock was set back
            late = 0.0
        rest = every - (late if late < every else math.fmod(late, every))
        tick.due = now + rest
        return rest

    def __repr__(self) -> str:
        return f"<Timers {sorted(self._active)}>"


def _is_after(seconds: float) -> bool:
    return is_finite(seconds) and seconds >= 0


class _Spent:
    def cancel(self) -> None:
        """Nothing is left to cancel."""


SPENT = _Spent()
