"""A run is a value: started here, continued over processes, awaited in a loop of one's own.

python runs.py
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from actorfl import SGD, FedAvg, Inline, Processes, Rounds, Run, Star

run = Run(
    "digits",
    Star(4),
    FedAvg(),
    local=SGD(lr=0.1, batch=10, epochs=1),
    until=Rounds(2),
    seed=1,
)


def tell(row: Mapping[str, Any]) -> None:
    print(row.get("event") or f"round {row['round']}: accuracy {row['accuracy']:.3f}")


async def seeds(*given: int) -> None:
    for seed in given:
        result = await replace(run, seed=seed).on(Inline(), out="runs/seeds")
        print(f"seed {seed}: accuracy {result.accuracy:.3f}")


if __name__ == "__main__":
    first = run.start(out="runs/start", on_row=tell)
    print(f"{first.rounds} rounds, {first.restarts} restarts, in {first.directory}")

    longer = replace(run, until=Rounds(4))
    resumed = longer.start(on=Processes(2), resume=first.directory, on_row=tell)
    assert resumed.sha256 == longer.start(on=Inline()).sha256

    asyncio.run(seeds(1, 2))
