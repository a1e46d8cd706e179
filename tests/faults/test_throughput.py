"""How fast each policy goes where every worker is slow now and then, in virtual time."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from actorfl import ASP, BSP, SGD, SSP, FedAvg, Run, Star, Task, Updates, Who
from actorfl.sync import Sync
from actorfl.task import Batch, Dataset
from actors import Exponential, Simulated
from tests.faults.runs import rows
from tests.faults.test_simulated import simulate

pytestmark = pytest.mark.timeout(300)

WORKERS = 8

#: Updates in the mean time of one, of 8 workers whose times are exponential. ASP would be 8 and BSP
#: 8 / (1 + 1/2 + ... + 1/8) = 2.94; those between were found by simulation.
LAW: list[tuple[Sync, float]] = [
    (BSP(), 2.93), (SSP(1), 4.45), (SSP(3), 5.86), (SSP(10), 7.06), (ASP(), 8.01),
]  # fmt: skip


@dataclass(frozen=True)
class Still(Task):
    """Nothing to learn, and nothing to evaluate."""

    def model(self) -> nn.Module:
        return nn.Linear(1, 1)

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        found: torch.Tensor = model(batch[0]).sum()
        return found

    def train(self, who: Who) -> Dataset:
        return (torch.zeros(1, 1),)


def played(sync: Sync, updates: int) -> float:
    """Updates a second of workers that the policy alone lets go on."""
    draw = random.Random(1)
    clocks = {f"w{number}": 0 for number in range(WORKERS)}
    busy = [(draw.expovariate(1.0), name) for name in clocks]
    heapq.heapify(busy)
    waiting: set[str] = set()
    now = 0.0
    for _ in range(updates):
        now, name = heapq.heappop(busy)
        clocks[name] += 1
        waiting.add(name)
        for free in [each for each in sorted(waiting) if sync.admits(clocks[each], clocks)]:
            waiting.discard(free)
            heapq.heappush(busy, (now + draw.expovariate(1.0), free))
    return updates / now


@pytest.mark.parametrize(("sync", "rate"), LAW, ids=lambda one: str(one))
def test_what_a_policy_admits_has_the_throughput_of_the_law(sync: Sync, rate: float) -> None:
    assert played(sync, 20_000) == pytest.approx(rate, rel=0.03)


def simulated(sync: Sync, updates: int, out: Path) -> float:
    """Updates a second of a run in virtual time, from the opening of its first clock on."""
    run = Run(
        Still(), Star(WORKERS), FedAvg(), local=SGD(lr=0.1), until=Updates(updates), sync=sync,
        name="still",
    )  # fmt: skip
    result, _ = simulate(run, Simulated(WORKERS, compute=Exponential(1.0)), out)
    lines = rows(result.directory)
    return float(sum(row["updates"] for row in lines) / sum(row["seconds"] for row in lines))


@pytest.mark.parametrize(
    ("sync", "rate"),
    [pytest.param(*case, marks=pytest.mark.slow) for case in LAW],
    ids=lambda one: str(one),
)
def test_a_run_has_the_throughput_of_the_law(sync: Sync, rate: float, tmp_path: Path) -> None:
    assert simulated(sync, 4_000, tmp_path) == pytest.approx(rate, rel=0.05)


def test_the_less_a_worker_waits_for_others_the_more_updates_there_are(tmp_path: Path) -> None:
    bound, free = (simulated(sync, 240, tmp_path) for sync in (SSP(1), ASP()))
    assert bound == pytest.approx(4.45, rel=0.1)
    assert free == pytest.approx(8.01, rel=0.1)
