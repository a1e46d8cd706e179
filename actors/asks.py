"""Asks under way: each ends by its deadline, in exactly one way."""

from __future__ import annotations

import asyncio
from typing import Any

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
from actors.ref import ActorRef
from transports import Clock, Timer, Weights

_REASONS: dict[str, type[NotStarted]] = {
    "mailbox full": MailboxFull,
    "unreachable": Unreachable,
    "no such actor": NoSuchActor,
    "would deadlock": WouldDeadlock,
}


class _Ask:
    __slots__ = ("future", "link", "message", "ref", "reply", "timeout", "timer")

    def __init__(
        self, future: asyncio.Future[Any], ref: ActorRef, message: str, reply: Any, timeout: float
    ) -> None:
        self.future = future
        self.ref = ref
        self.message = message
        self.reply = reply
        self.timeout = timeout
        self.timer: Timer | None = None
        self.link: object = None


class Asks:
    """The asks of one system that wait for their answer."""

    def __init__(self, clock: Clock, codec: Codec) -> None:
        self._clock = clock
        self._codec = codec
        self._next = 0
        self._open: dict[int, _Ask] = {}

    def open(
        self, ref: ActorRef, message: str, reply: Any, timeout: float
    ) -> tuple[int, asyncio.Future[Any]]:
        """Number a new ask.

        Returns:
            Its number, and the future that its end resolves.
        """
        self._next += 1
        number = self._next
        future = asyncio.get_running_loop().create_future()
        ask = _Ask(future, ref, message, reply, timeout)
        ask.timer = self._clock.call_later(timeout, self._expired, number)
        self._open[number] = ask
        return number, future

    def sent(self, number: int, link: object) -> None:
        """It left over this link: when that dies, so does the ask."""
        self._open[number].link = link

    def close(self, number: int) -> bool:
        """Forget an ask; whether it was still open."""
        ask = self._open.pop(number, None)
        if ask is None:
            return False
        if ask.timer is not None:
            ask.timer.cancel()
        return True

    def replied(self, number: int, body: bytes, arrays: list[Weights]) -> None:
        """The reply came. One that comes late finds nobody and is dropped."""
        ask = self._take(number)
        if ask is None:
            return
        try:
            value = self._codec.decode(ask.reply, body, arrays)
        except (msgspec.DecodeError, ValueError, TypeError) as error:
            text = f"the reply of {ask.ref.path} to {ask.message} is not a {ask.reply}: {error}"
            ask.future.set_exception(ActorFailed(text))
        else:
            ask.future.set_result(value)

    def failed(self, number: int, refusal: Refusal) -> None:
        """The handler raised."""
        ask = self._take(number)
        if ask is not None:
            ask.future.set_exception(ActorFailed(refusal.sentence, refusal.traceback))

    def refused(self, number: int, refusal: Refusal) -> None:
        """The message was not handled."""
        ask = self._take(number)
        if ask is not None:
            kind = _REASONS.get(refusal.reason, NotStarted)
            ask.future.set_exception(kind(refusal.sentence))

    def lost(self, link: object, why: str) -> None:
        """The link that these asks left over has died: their outcome is unknown."""
        for number in [n for n, a in self._open.items() if a.link is link]:
            ask = self._take(number)
            if ask is not None:
                text = (
                    f"{ask.ref.node} was lost ({why}) while {ask.ref.path} had {ask.message}; "
                    "whether it was handled is unknown"
                )
                ask.future.set_exception(PeerLost(text))

    def _expired(self, number: int) -> None:
        ask = self._take(number)
        if ask is not None:
            text = (
                f"{ask.ref.path} did not answer {ask.message} within {ask.timeout:g} s; "
                "whether it was handled is unknown"
            )
            error: AskError = AskTimeout(text)
            ask.future.set_exception(error)

    def _take(self, number: int) -> _Ask | None:
        ask = self._open.pop(number, None)
        if ask is None:
            return None
        if ask.timer is not None:
            ask.timer.cancel()
        return None if ask.future.done() else ask

    def __len__(self) -> int:
        return len(self._open)

    def __repr__(self) -> str:
        return f"<Asks {len(self._open)} open, {self._next} made>"
