"""Waiting for something to come, by the system's clock."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from actors.given import check_timeout
from transports import Clock

T = TypeVar("T")

PATIENCE: Final = 3.0
"""Seconds that an expectation waits where it is not told: long for what is on its way within a
machine, short for who watches a test that hangs."""

KEPT: Final = 10_000
"""Messages or events that are kept, each: a flood costs a test no more memory than a mailbox."""

_SHOWN: Final = 10
_LENGTH: Final = 200


class Arrivals:
    """Wakes those who wait whenever something has come."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: set[asyncio.Future[None]] = set()

    def came(self) -> None:
        """Something has come; whoever waits looks again."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    async def wait(self, look: Callable[[], T | None], timeout: float) -> T | None:
        """What ``look`` finds at once or after an arrival; None when the time is over.

        Args:
            look: called at once and after each arrival; may raise.
            timeout: seconds, 0 or more.

        Raises:
            UsageError: the timeout is no number of seconds.
        """
        check_timeout("expect", timeout)
        found = look()
        if found is not None:
            return found
        over = False

        def end() -> None:
            nonlocal over
            over = True
            self.came()

        timer = self._clock.call_later(timeout, end) if timeout < math.inf else None
        try:
            while found is None and not over:
                future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiting.add(future)
                try:
                    await future
                finally:
                    self._waiting.discard(future)
                found = look()
        finally:
            if timer is not None:
                timer.cancel()
        return found


def shown(one: Any) -> str:
    """A value in a sentence, cut where it is long."""
    try:
        text = repr(one)
    except Exception as error:  # noqa: BLE001  (its repr is user code)
        text = f"<a {type(one).__qualname__} whose repr raised {type(error).__name__}>"
    return text if len(text) <= _LENGTH else text[: _LENGTH - 1] + "…"


def listed(all_of_them: Iterable[Any], otherwise: str = "nothing") -> str:
    """Values in a sentence: the first ten, and how many more there are."""
    each = list(all_of_them)
    text = ", ".join(shown(one) for one in each[:_SHOWN])
    more = f" and {len(each) - _SHOWN} more" if len(each) > _SHOWN else ""
    return f"{text}{more}" or otherwise


def condition(where: Callable[..., Any] | None) -> str:
    """A predicate in a sentence, by its name."""
    return "" if where is None else f" where {getattr(where, '__name__', where)} holds"
