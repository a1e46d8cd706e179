"""xoscar: an actor in a pool of this process, or in the pool's subprocess."""

from __future__ import annotations

import asyncio

import xoscar

from benchmarks.libraries.pace import DATA, Rates, rates

_TOGETHER = 100
"""Tells under way at once: each is a coroutine."""


class Counter(xoscar.Actor):
    def __init__(self) -> None:
        self._count = 0

    def data(self, data: bytes) -> None:
        self._count += 1

    def echo(self, data: bytes) -> bytes:
        return data

    def count(self) -> int:
        count, self._count = self._count, 0
        return count


async def _measure(process: int) -> Rates:
    pool = await xoscar.create_actor_pool("127.0.0.1", n_process=1)
    async with pool:
        ref = await xoscar.create_actor(
            Counter,
            address=pool.external_address,
            allocate_strategy=xoscar.allocate_strategy.ProcessIndex(process),
        )

        async def tells(count: int) -> int:
            for _ in range(count // _TOGETHER):
                await asyncio.gather(*(ref.data.tell(DATA) for _ in range(_TOGETHER)))
            counted: int = await ref.count()
            return counted

        async def ask() -> object:
            return await ref.echo(DATA)

        return await rates(tells, ask)


async def inside() -> Rates:
    return await _measure(0)


async def across() -> Rates:
    return await _measure(1)


RUNS = {"inside": inside, "across": across}
