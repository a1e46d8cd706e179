"""Kill a process in the middle of a run, as a test does, and compare the models.

python disturb.py
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actorfl import SGD, FedAvg, Processes, Result, Rounds, Run, Star, running

run = Run("digits", Star(4), FedAvg(), local=SGD(lr=0.1, batch=10, epochs=1), until=Rounds(4))


async def disturbed() -> Result:
    first_round = asyncio.Event()

    def hear(row: Mapping[str, Any]) -> None:
        if row.get("round") == 1:
            first_round.set()

    async with running(run, Processes(2), out=Path("runs"), on_row=hear) as under_way:
        await asyncio.wait_for(first_round.wait(), timeout=60)
        assert under_way.live.processes is not None
        under_way.live.processes.kill("p0")
        return await under_way.result()


if __name__ == "__main__":
    result = asyncio.run(disturbed())
    assert result.sha256 == run.start().sha256
    print(f"{result.restarts} restart, the same model")
