"""Asks under way: each ends by its deadline, in exactly one way."""

from __future__ import annotations

import asyncio
import heapq
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from actors.codec import Codec
from actors.errors import (
    ActorFailed,
    AskError,
    AskTimeout,
    MailboxFull,
    NoSuchActor,
    NotStarted,
    PeerLost,
    Unreachable,
    WouldDeadlock,
)
from actors.item import Refusal
from actors.knownpaths import nameless
from actors.message import Message, reply_type
from actors.ref import ActorRef
from transports import Clock, Timer, Weights

_REASONS: dict[str, type[NotStarted]] = {
    "mailbox full": MailboxFull,
    "unreachable": Unreachable,
    "no such actor": NoSuchActor,
    "would deadlock": WouldDeadlock,
}


_SLACK: Final = 64
"""Deadlines of asks that have ended are kept up to as many as are open, and this many more."""
_EARLY: Final = 1e-6
"""Seconds by which a timer may come early."""


class _Ask(msgspec.Struct, eq=False):  # made by C, in a third of the time of __init__
    future: asyncio.Future[Any]
    ref: ActorRef
    message: type[Message[Any]]
    timeout: float
    link: object


class Asks:
    """The asks of one system that wait for their answer."""

    def __init__(self, clock: Clock, codec: Codec) -> None:
        self._clock = clock
        self._codec = codec
        self._loop = asyncio.get_running_loop()
        # As many as there are message types in the program that are asked.
        self._decode: dict[type[Message[Any]], Callable[[bytes], Any]] = {}
        #: The number of the last ask that was made.
        self.number = 0
        #: Answers that came when nobody waited for them any more, and were dropped.
        self.late = 0
        self._open: dict[int, _Ask] = {}
        # One timer for all: most asks end long before it, and one for each costs more than the
        # ask's other bookkeeping together. A heap of (deadline, number); ends leave theirs behind.
        self._deadlines: list[tuple[float, int]] = []
        self._timer: Timer | None = None
        self._timer_at = math.inf

    def open(
        self,
        number: int,
        ref: ActorRef,
        message: type[Message[Any]],
        timeout: float,
        link: object,
    ) -> asyncio.Future[Any]:
        """An ask has left, or is about to, over this link: when that dies, so does the ask.

        Returns:
            What its end resolves.
        """
        future = self._loop.create_future()
        self._open[number] = _Ask(future, ref, message, timeout, link)
        deadline = self._clock.now() + timeout
        heapq.heappush(self._deadlines, (deadline, number))
        if deadline < self._timer_at:
            self._arm(deadline, timeout)
        elif len(self._deadlines) > 2 * len(self._open) + _SLACK:
            self._deadlines = [each for each in self._deadlines if each[1] in self._open]
            heapq.heapify(self._deadlines)
        return future

    def leaves_over(self, link: object, number: int) -> None:
        """An ask that finds no room waits for it, and dies with no link in the meantime."""
        ask = self._open.get(number)
        if ask is not None:
            ask.link = link

    def close(self, number: int) -> bool:
        """Forget an ask; whether it was still open."""
        return self._open.pop(number, None) is not None

    def _arm(self, deadline: float, delay: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.call_later(delay, self._due)
        self._timer_at = deadline

    def _due(self) -> None:
        """The earliest deadline has come; its ask may have ended long ago."""
        self._timer, self._timer_at = None, math.inf
        deadlines, now = self._deadlines, self._clock.now()
        while deadlines and (deadlines[0][0] <= now + _EARLY or deadlines[0][1] not in self._open):
            _, number = heapq.heappop(deadlines)
            self._expired(number)
        if deadlines:
            self._arm(deadlines[0][0], deadlines[0][0] - now)

    def end(self, node: str) -> None:
        """The system is closed: nothing is answered any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, math.inf
        self._deadlines.clear()
        for number in list(self._open):
            self._lose(number, f"{node} was closed")

    def replied(self, number: int, body: bytes, arrays: Sequence[Weights]) -> None:
        """The reply came. One that comes late finds nobody and is dropped."""
        ask = self._open.pop(number, None)  # as _answered, without the calls
        if ask is None or ask.future.done():
            self.late += 1
            return
        try:
            if arrays:
                value = self._codec.decode(reply_type(ask.message), body, arrays)
            else:
                decode = self._decode.get(ask.message) or self._decoder(ask.message)
                value = decode(body)
        except Exception as error:  # noqa: BLE001  (what checks a reply is the user's own code)
            text = (
                f"the reply of {ask.ref.path} to {ask.message.__name__} is not a "
                f"{reply_type(ask.message)}: {error}"
            )
            ask.future.set_exception(ActorFailed(text))
        else:
            ask.future.set_result(value)

    def _decoder(self, message: type[Message[Any]]) -> Callable[[bytes], Any]:
        found = self._decode[message] = self._codec.decoder(reply_type(message)).decode
        return found

    def failed(self, number: int, refusal: Refusal) -> None:
        """The handler raised."""
        ask = self._answered(number)
        if ask is not None:
            ask.future.set_exception(ActorFailed(refusal.sentence, refusal.traceback))

    def refused(self, number: int, refusal: Refusal) -> None:
        """The message was not handled."""
        ask = self._answered(number)
        if ask is not None:
            kind = _REASONS.get(refusal.reason, NotStarted)
            # A node that has never had the actor, or not for long, knows no more than its uid.
            unnamed = nameless(ask.ref.uid, ask.ref.node)
            ask.future.set_exception(kind(refusal.sentence.replace(unnamed, ask.ref.path, 1)))

    def lost(self, link: object, why: str) -> None:
        """The link that these asks left over has died: their outcome is unknown."""
        for number in [n for n, a in self._open.items() if a.link is link]:
            self._lose(number, f"{self._open[number].ref.node} was lost ({why})")

    def lost_one(self, number: int, why: str) -> None:
        """What this ask left with has died on the way: its outcome is unknown."""
        self._lose(number, why)

    def _lose(self, number: int, why: str) -> None:
        ask = self._take(number)
        if ask is not None:
            text = (
                f"{why} while {ask.ref.path} had {ask.message.__name__}; "
                "whether it was handled is unknown"
            )
            ask.future.set_exception(PeerLost(text))

    def _expired(self, number: int) -> None:
        ask = self._take(number)
        if ask is not None:
            text = (
                f"{ask.ref.path} did not answer {ask.message.__name__} within {ask.timeout:g} s; "
                "whether it was handled is unknown"
            )
            error: AskError = AskTimeout(text)
            ask.future.set_exception(error)

    def _answered(self, number: int) -> _Ask | None:
        ask = self._take(number)
        if ask is None:
            self.late += 1
        return ask

    def _take(self, number: int) -> _Ask | None:
        ask = self._open.pop(number, None)
        return None if ask is None or ask.future.done() else ask

    def __len__(self) -> int:
        return len(self._open)

    def __repr__(self) -> str:
        return f"<Asks {len(self._open)} open, {self.number} made>"
