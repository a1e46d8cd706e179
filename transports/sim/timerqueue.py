"""The timers of a simulated loop, in the order of their times."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from itertools import chain
from typing import Final

Entry = tuple[int, int, asyncio.TimerHandle]
"""Nanoseconds, which of the timers it is, and what is to be called."""

STRETCH: Final = 26
"""Nanoseconds of one stretch of time, as a power of 2: 67 ms. Answers and acknowledgements, which
are set and come due all the time, then meet but few others; what is put off is sorted once."""


class TimerQueue:
    """A heap of what comes due soon, and lists, each of a stretch of time, of all that comes later.

    In one heap each timer of ten thousand would be compared with a dozen others on its way in and
    out.

    Attributes:
        near: a heap of the entries before ``horizon``; who pops it calls ``refill`` when it is
            empty.
        far: the lists, by the nanoseconds of their entries without the last ``STRETCH`` bits.
        horizon: nanoseconds from which on entries are put off.
    """

    __slots__ = ("_stretches", "far", "horizon", "near")

    def __init__(self) -> None:
        self.near: list[Entry] = []
        self.horizon = 1 << STRETCH
        self.far: dict[int, list[Entry]] = {}
        self._stretches: list[int] = []

    def put_off(self, entry: Entry) -> None:
        """Add an entry at or behind the horizon; those before it are pushed to ``near``."""
        stretch = entry[0] >> STRETCH
        entries = self.far.get(stretch)
        if entries is None:
            self.far[stretch] = [entry]
            heappush(self._stretches, stretch)
        else:
            entries.append(entry)

    def refill(self) -> bool:
        """Move the next stretch of time to ``near``, which is empty; whether there was one."""
        while self._stretches:
            stretch = heappop(self._stretches)
            self.horizon = (stretch + 1) << STRETCH
            self.near += sorted(self.far.pop(stretch))
            if self.near:
                return True
        return False

    def __len__(self) -> int:
        return len(self.near) + sum(map(len, self.far.values()))

    def __iter__(self) -> Iterator[Entry]:
        """All entries, in no order."""
        return chain(self.near, *self.far.values())

    def keep(self, wanted: Callable[[Entry], bool]) -> None:
        """Drop all other entries."""
        # What is sorted is a heap.
        self.near[:] = sorted(filter(wanted, self.near))
        for entries in self.far.values():
            entries[:] = filter(wanted, entries)

    def clear(self) -> None:
        """Drop all entries."""
        self.near.clear()
        self.far.clear()
        self._stretches.clear()

    def __repr__(self) -> str:
        return f"<TimerQueue near={len(self.near)} later={len(self) - len(self.near)}>"
