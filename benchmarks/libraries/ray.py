"""Ray: an actor is always in a process of its own."""

from __future__ import annotations

import ray

from benchmarks.libraries.pace import DATA, Rates, rates


class Counter:
    def __init__(self) -> None:
        self._count = 0

    def data(self, data: bytes) -> None:
        self._count += 1

    def echo(self, data: bytes) -> bytes:
        return data

    def count(self) -> int:
        count, self._count = self._count, 0
        return count


async def across() -> Rates:
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        actor = ray.remote(Counter).remote()

        async def tells(count: int) -> int:
            for _ in range(count):
                actor.data.remote(DATA)
            counted: int = ray.get(actor.count.remote(), timeout=60)
            return counted

        async def ask() -> object:
            return ray.get(actor.echo.remote(DATA), timeout=60)

        return await rates(tells, ask)
    finally:
        ray.shutdown()


RUNS = {"across": across}
