"""Computing in a simulation: on the loop's thread, with the result after its virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class SimWork:
    """One node's processor: one job at a time, each in its virtual time.

    Args:
        seconds: of virtual time that a job takes, or a function of its size.
    """

    def __init__(self, seconds: float | Callable[[float | None], float]) -> None:
        self._seconds = seconds
        #: How many times longer all takes.
        self.factor = 1.0
        self._lock = asyncio.Lock()
        self._at_end: list[Callable[[], object]] = []

    async def run(self, job: Callable[[], T], size: float | None = None) -> T:
        """See ``Work.run``."""
        async with self._lock:
            seconds = self._seconds(size) if callable(self._seconds) else self._seconds
            # Half before and half after, so that a crash can come on either side of the result.
            await asyncio.sleep(seconds * self.factor / 2)
            result = job()
            await asyncio.sleep(seconds * self.factor / 2)
            return result

    def takes(self, size: float | None = None) -> float:
        """See ``Work.takes``."""
        seconds = self._seconds(size) if callable(self._seconds) else self._seconds
        return seconds * self.factor

    def at_end(self, call: Callable[[], object]) -> None:
        """See ``Work.at_end``."""
        self._at_end.append(call)

    def close(self) -> None:
        """The node is gone."""
        while self._at_end:
            self._at_end.pop()()
