"""Ours: a graph of one actor, inline or in a process of its own."""

from __future__ import annotations

from actors import Inline, Processes
from benchmarks.libraries.pace import DATA, Rates, rates
from benchmarks.messaging import Echo, counter, tell

_HELD = 5000


async def _measure(on: Inline | Processes) -> Rates:
    async with counter().start(on=on) as live:
        ref = live["counter"]

        async def tells(count: int) -> int:
            await tell(ref, count, held=_HELD)  # counts by itself
            return count

        async def ask() -> object:
            return await ref.ask(Echo(DATA), timeout=60)

        return await rates(tells, ask, least=_HELD)


async def inside() -> Rates:
    return await _measure(Inline())


async def across() -> Rates:
    return await _measure(Processes(1))


RUNS = {"inside": inside, "across": across}
