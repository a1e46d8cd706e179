"""Keyed timers of an actor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from actors.errors import UsageError
from actors.given import check_message, check_text
from actors.message import Message
from actors.quantities import is_finite, is_seconds
from transports import Clock, Timer


class Tick(msgspec.Struct, frozen=True):
    """A timer's message on its way through the mailbox; stale ones are dropped there."""

    key: str
    generation: int
    message: Message[Any]


class Timers:
    """Timers that send messages to their own actor.

    A key has at most one timer; starting it again replaces the old one, whose message no longer
    arrives even if it was already in the mailbox. At most one message per key waits in the
    mailbox, so a slow actor is not flooded. All end with the actor's incarnation.
    """

    __slots__ = ("_active", "_clock", "_deliver", "_generation", "_queued")

    def __init__(self, clock: Clock, deliver: Callable[[Tick], None]) -> None:
        self._clock = clock
        self._deliver = deliver
        self._generation = 0
        self._active: dict[str, tuple[int, Timer]] = {}
        self._queued: set[int] = set()

    def start(
        self, key: str, message: Message[Any], *, after: float, every: float | None = None
    ) -> None:
        """Send ``message`` after some seconds (0 or more), then every so many (above 0) if given.

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
        self._generation += 1
        self._arm(key, self._generation, message, after, every)

    def cancel(self, key: str) -> None:
        """End the timer with that key, if there is one."""
        entry = self._active.pop(key, None)
        if entry is not None:
            entry[1].cancel()
            self._queued.discard(entry[0])

    def cancel_all(self) -> None:
        """End all timers."""
        for key in tuple(self._active):
            self.cancel(key)

    def is_active(self, key: str) -> bool:
        """Whether a message of that key is still to come."""
        return key in self._active

    def take(self, tick: Tick) -> bool:
        """Whether the tick is still wanted; called when it leaves the mailbox."""
        self._queued.discard(tick.generation)
        entry = self._active.get(tick.key)
        if entry is None or entry[0] != tick.generation:
            return False
        if entry[1] is _SPENT:
            del self._active[tick.key]
        return True

    def _arm(
        self, key: str, generation: int, message: Message[Any], after: float, every: float | None
    ) -> None:
        timer = self._clock.call_later(after, self._fire, key, generation, message, every)
        self._active[key] = (generation, timer)

    def _fire(self, key: str, generation: int, message: Message[Any], every: float | None) -> None:
        if every is None:
            self._active[key] = (generation, _SPENT)
        else:
            self._arm(key, generation, message, every, every)
        if generation not in self._queued:
            self._queued.add(generation)
            self._deliver(Tick(key, generation, message))

    def __repr__(self) -> str:
        return f"<Timers {sorted(self._active)}>"


def _is_after(seconds: float) -> bool:
    return is_finite(seconds) and seconds >= 0


class _Spent:
    def cancel(self) -> None:
        """Nothing is left to cancel."""


_SPENT = _Spent()
