"""The timers of a simulated loop, in the order of their times."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from itertools import chain
from typing import Final

Entry = tuple[int, int, asyncio.TimerHandle]
"""Nanoseconds, which of the timers it is, and what is to be called."""

_SHIFT: Final = 26
"""Nanoseconds of one stretch of time, as a power of 2: 67 ms. Answers and acknowledgements, which
are set and come due all the time, then meet but few others; what is put off is sorted once."""


class TimerQueue:
    """A heap of what comes due soon, and lists, each of a stretch of time, of all that comes later.

    In one heap each timer of ten thousand would be compared with a dozen others on its way in and
    out.

    Attributes:
        near: a heap of the entries before ``horizon``; who pops it calls ``refill`` when it is
            empty.
        horizon: nanoseconds from which on entries are put off.
    """

    __slots__ = ("_far", "_stretches", "horizon", "near")

    def __init__(self) -> None:
        self.near: list[Entry] = []
        self.horizon = 1 << _SHIFT
        self._far: dict[int, list[Entry]] = {}
        self._stretches: list[int] = []

    def put_off(self, entry: Entry) -> None:
        """Add an entry at or behind the horizon; those before it are pushed to ``near``."""
        stretch = entry[0] >> _SHIFT
        entries = self._far.get(stretch)
        if entries is None:
            self._far[stretch] = [entry]
            heappush(self._stretches, stretch)
        else:
            entries.append(entry)

    def refill(self) -> bool:
        """Move the next stretch of time to ``near``, which is empty; whether there was one."""
        while self._stretches:
            stretch = heappop(self._stretches)
            self.horizon = (stretch + 1) << _SHIFT
            self.near += sorted(self._far.pop(stretch))
            if self.near:
                return True
        return False

    def __len__(self) -> int:
        return len(self.near) + sum(map(len, self._far.values()))

    def __iter__(self) -> Iterator[Entry]:
        """All entries, in no order."""
        return chain(self.near, *self._far.values())

    def keep(self, wanted: Callable[[Entry], bool]) -> None:
        """Drop all other entries."""
        # What is sorted is a heap.
        self.near[:] = sorted(filter(wanted, self.near))
        for entries in self._far.values():
            entries[:] = filter(wanted, entries)

    def clear(self) -> None:
        """Drop all entries."""
        self.near.clear()
        self._far.clear()
        self._stretches.clear()

    def __repr__(self) -> str:
        return f"<TimerQueue near={len(self.near)} later={len(self) - len(self.near)}>"
