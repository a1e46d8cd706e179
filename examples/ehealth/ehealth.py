"""Hospitals of unequal size learn together; what does the worst of them gain?

python ehealth.py [--rounds N] [--seeds N]

Each hospital has between 4 % and 25 % of the records, and an instrument of its own, which reads a
little high or low. Nothing but models, counts and metrics leaves a hospital.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (its name everywhere)

from actorfl import SGD, Every, FedAvg, Inline, Mean, Rounds, Run, Star, Task, Who
from actorfl.task import Batch

HOSPITALS = ("harbour", "hill", "lake", "market", "mill", "moor", "park", "university")
SHARES = (4, 6, 8, 10, 12, 15, 20, 25)  # percent of the records
BIAS = 0.5  # of an instrument, in standard deviations of what it measures


@dataclass(frozen=True)
class Tumours(Task):
    """Is a tumour benign? Thirty measurements of a cell sample say so."""

    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 2))

    def train(self, who: Who) -> tuple[Tensor, Tensor]:
        return records(HOSPITALS.index(who.name))

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return F.cross_entropy(model(batch[0]), batch[1])

    def metrics(self, model: nn.Module, batch: Batch) -> dict[str, Mean]:
        return {"accuracy": Mean.of(model(batch[0]).argmax(1) == batch[1])}


def records(hospital: int) -> tuple[Tensor, Tensor]:
    """A hospital's own records: float32 [records, 30] in standard units, and 1 for benign."""
    bunch = load_breast_cancer()
    measured = (bunch.data - bunch.data.mean(0)) / bunch.data.std(0)
    order = np.random.RandomState(0).permutation(len(measured))
    cuts = np.round(np.cumsum(SHARES[:-1]) / 100 * len(order)).astype(int)
    mine = np.split(order, cuts)[hospital]
    instrument = np.random.RandomState(100 + hospital).normal(0.0, BIAS, measured.shape[1])
    points = torch.tensor(measured[mine] + instrument, dtype=torch.float32)
    return points, torch.tensor(bunch.target[mine], dtype=torch.int64)


TOGETHER = Run(
    Tumours(),
    Star(named=HOSPITALS),
    FedAvg(),
    local=SGD(lr=0.1, batch=10, epochs=2),
    until=Rounds(20),
    validate=0.3,
    evaluate=Every(20, at="workers"),
    name="ehealth",
)


@dataclass(frozen=True)
class Outcome:
    """The accuracy of final models on the records that hospitals held back, 0 to 1.

    Attributes:
        all: the mean over those records.
        worst: over those of the hospital that fares worst.
    """

    all: float
    worst: float


def together(run: Run, out: Path) -> Outcome:
    """One model for all; a tenth of eight hospitals, rounded up, is the worst one."""
    found = run.start(on=Inline(), out=out).metrics
    return Outcome(found["accuracy"] or 0.0, found["accuracy_worst_decile"] or 0.0)


def alone(run: Run, out: Path) -> Outcome:
    """Each hospital learns by itself, from the same initial model and as long."""
    found = [together(replace(run, topology=Star(named=(name,))), out).all for name in HOSPITALS]
    return Outcome(fmean(found, weights=SHARES), min(found))


def line(what: str, found: Sequence[Outcome]) -> str:
    """The means over seeds."""
    every, worst = fmean(one.all for one in found), fmean(one.worst for one in found)
    return f"{what:<10}accuracy {every:.3f}, at the worst hospital {worst:.3f}"


def positive(text: str) -> int:
    """Read a number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"it must be at least 1, got {number}")
    return number


def main(arguments: Sequence[str] | None = None) -> None:
    """Train under each seed, together and alone, and print a line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=positive, default=20, help="of each run; default 20")
    parser.add_argument("--seeds", type=positive, default=5, help="default 5")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the runs are left")
    given = parser.parse_args(arguments)
    evaluate = Every(given.rounds, at="workers")
    runs = [
        replace(TOGETHER, until=Rounds(given.rounds), evaluate=evaluate, seed=seed)
        for seed in range(given.seeds)
    ]
    print(line("alone", [alone(run, given.runs) for run in runs]))
    print(line("together", [together(run, given.runs) for run in runs]))


if __name__ == "__main__":
    main()
