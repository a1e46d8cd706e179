"""Messages that nobody handled, for a test to expect or to exclude."""

from __future__ import annotations

import weakref
from typing import Any

from actors.events import DeadLetter
from actors.given import check_class_of, check_ref, check_text
from actors.message import Message
from actors.ref import ActorRef
from actors.system import ActorSystem
from actors.testing.arrivals import PATIENCE
from actors.testing.events import Recorded


class DeadLetters(Recorded[DeadLetter]):
    """The dead letters of a system since ``dead_letters`` was called."""

    def __init__(self, system: ActorSystem) -> None:
        super().__init__(system, DeadLetter)

    async def expect(
        self,
        kind: type[Message[Any]] | None = None,
        *,
        reason: str = "",
        to: ActorRef | None = None,
        timeout: float = PATIENCE,
    ) -> DeadLetter:
        """The oldest dead letter of that kind that was not expected yet.

        Args:
            kind: class of the message; None for any.
            reason: a part of why nobody handled it, as "no such actor" or "mailbox full".
            to: the actor that it was for.
            timeout: seconds of the system's clock within which it comes.

        Raises:
            AssertionError: none came in time.
            UsageError: no class of messages, no reference, or no seconds from 0.
        """
        if kind is not None:
            check_class_of("expect", "messages", kind, Message)
        if to is not None:
            check_ref("expect", to)
        check_text("expect", "reason=", reason)

        def fits(letter: DeadLetter) -> bool:
            return (
                (kind is None or letter.message == kind.__qualname__)
                and reason in letter.reason
                and (to is None or letter.to.partition(" on ")[0] in {to.path, f"uid {to.uid:x}"})
            )

        name = "message" if kind is None else kind.__qualname__
        because = f" because of {reason!r}" if reason else ""
        whom = f" to {to.path}" if to is not None else ""
        expected = f"a {name}{whom} to be a dead letter{because}"
        letter = await self._next(fits, timeout, expected)
        _expected.setdefault(self._system, []).append(letter)
        return letter

    def unexpected(self) -> tuple[DeadLetter, ...]:
        """Those that neither this nor another recorder of the same system has expected."""
        known = {id(letter) for letter in _expected.get(self._system, ())}
        return tuple(letter for letter in self._left if id(letter) not in known)


#: The objects themselves: two letters may be equal. As long as their system lives.
_expected: weakref.WeakKeyDictionary[ActorSystem, list[DeadLetter]] = weakref.WeakKeyDictionary()


def dead_letters(system: ActorSystem) -> DeadLetters:
    """Record what nobody handles from now on.

    Used as ``with dead_letters(system) as letters``.

    Args:
        system: on whose node nobody handles it.
    """
    return DeadLetters(system)
