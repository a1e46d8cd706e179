"""One slow worker among four, under each policy: how long the same work takes, in virtual time.

python policies.py
"""

from collections.abc import Mapping
from typing import Any

from actorfl import ASP, BSP, SGD, SSP, Buffered, FedAvg, Quorum, Rounds, Run, Star, Sync
from actors import Simulated


def compute(node: str, _: float | None) -> float:
    return {"evaluator": 0.01, "p3": 4.0}.get(node, 1.0)


def told(sync: Sync) -> str:
    rows: list[Mapping[str, Any]] = []
    run = Run(
        "digits",
        Star(4),
        FedAvg(),
        local=SGD(lr=0.1, batch=10, epochs=1),
        until=Rounds(8),
        sync=sync,
    )
    run.start(on=Simulated(4, compute=compute), out="runs/policies", on_row=rows.append)
    lines = [row for row in rows if "round" in row]
    seconds = sum(row["seconds"] for row in lines)
    updates = sum(row["updates"] for row in lines)
    stalest = max(row.get("stalest", 0) for row in lines)
    absent = sum(len(row.get("absent", ())) for row in lines)
    return f"{seconds:4.0f} s  {updates} updates, {stalest} versions stale at most, {absent} absent"


if __name__ == "__main__":
    print("BSP()         ", told(BSP()))
    print("Quorum(0.75)  ", told(Quorum(0.75)))
    print("SSP(2)        ", told(SSP(2)))
    print("ASP()         ", told(ASP()))
    print("Buffered(4)   ", told(Buffered(4)))
