"""How long each library is measured, whatever its speed."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypedDict

DATA = bytes(range(100))
QUESTION = DATA + b"?"
_LONG_ENOUGH = 0.5
"""Seconds; the number of messages is doubled until they take as long."""


class Rates(TypedDict):
    """What is compared."""

    tells: float
    ask: float


async def rates(
    tells: Callable[[int], Awaitable[int]],
    ask: Callable[[], Awaitable[object]],
    *,
    least: int = 1000,
) -> Rates:
    """Tells per second until all are handled, and microseconds per ask.

    Args:
        tells: tells so many messages and gives how many the actor counted.
        ask: asks one and waits for its answer.
        least: messages to begin with; their doubles follow.
    """

    async def told(count: int) -> None:
        counted = await tells(count)
        if counted != count:
            raise RuntimeError(f"{count} messages were told and {counted} counted")

    async def asked(count: int) -> None:
        for _ in range(count):
            await ask()

    return {
        "tells": 1 / await _each(told, least),
        "ask": 1e6 * await _each(asked, 100),
    }


async def _each(work: Callable[[int], Awaitable[None]], count: int) -> float:
    while True:
        start = time.perf_counter()
        await work(count)
        seconds = time.perf_counter() - start
        if seconds > _LONG_ENOUGH:
            return seconds / count
        count *= 2
