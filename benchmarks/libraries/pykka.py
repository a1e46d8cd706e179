"""pykka: an actor in a thread; it does not leave its process."""

from __future__ import annotations

from typing import Any

from benchmarks.libraries.pace import DATA, Rates, rates
from benchmarks.yardsticks import Pykka


async def inside() -> Rates:
    actor = Pykka.start()

    async def tells(count: int) -> int:
        for _ in range(count):
            actor.tell(DATA)
        counted: Any = actor.ask(None)
        return int(counted)

    async def ask() -> object:
        return actor.ask(b"?")

    try:
        return await rates(tells, ask)
    finally:
        actor.stop()


RUNS = {"inside": inside}
