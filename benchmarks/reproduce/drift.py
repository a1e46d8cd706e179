"""Where the algorithms converge to when workers pull in different directions.

Worker k minimises a_k/2 (x - b_k)^2 by exact gradient steps from x = 0; a = 1, b = 0 and a = 4,
b = 1 weigh the same, so the optimum of all is .8. Nothing is drawn: where an algorithm converges to
follows from its equations, and ours must show the same digits.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import Any

from actorfl import (
    SGD,
    Algorithm,
    Every,
    FedAvg,
    FedNova,
    FedProx,
    Mean,
    Rounds,
    Run,
    Scaffold,
    Star,
    Task,
    Who,
)
from actorfl.task import Batch, Dataset
from actors import Simulated
from benchmarks.reproduce.gates import Row
from benchmarks.reproduce.running import spread_over

OPTIMUM = 0.8
#: Half of the last bit of a float32 at the optimum: the gradients there are rounded to it, and the
#: expected distances were computed in float64.
ROUNDING = 2.0**-25


@dataclass(frozen=True)
class Quadratics(Task):
    """One number x, kept as x - origin: float32 is finest around 0.

    Args:
        origin: near where x is to converge to. With a learning rate of .001 a round moves x by less
            than half of its last bit long before six digits are right, unless bits are small there.
        uneven: whether the steep workers take ten steps of one example a round and the others two.
            An update weighs as much as its worker has examples, so of the others there must be five
            to each steep one.
    """

    origin: float = OPTIMUM
    uneven: bool = False

    def model(self) -> Any:
        import torch
        from torch import nn

        class Number(nn.Module):
            def __init__(self, start: float) -> None:
                super().__init__()
                self.from_origin = nn.Parameter(torch.tensor([start]))

        return Number(-self.origin)

    def loss(self, model: Any, batch: Batch) -> Any:
        curvature, optimum = batch
        return (curvature / 2 * (model.from_origin - optimum) ** 2).mean()

    def train(self, who: Who) -> Dataset:
        import torch

        steep = who.index == who.count - 1
        examples = (10 if steep else 2) if self.uneven else 1
        curvature, optimum = (4.0, 1.0) if steep else (1.0, 0.0)
        return torch.full((examples,), curvature), torch.full((examples,), optimum - self.origin)

    def test(self) -> Dataset:
        import torch

        return torch.zeros(1), torch.zeros(1)

    def metrics(self, model: Any, batch: Batch) -> dict[str, Mean]:
        return {"x": Mean.of(model.from_origin.double() + self.origin)}


@dataclass(frozen=True)
class Case:
    """A run, and what is looked at after which of its rounds.

    Attributes:
        origin: see ``Quadratics``.
        uneven: whether steps are 2 and 10 a round; else all take 10.
        expected: what x, or its distance from the optimum, must be after a round, and to within
            what: half of the last digit that is known.
    """

    name: str
    algorithm: Algorithm
    lr: float
    expected: dict[int, tuple[float, float]]
    uneven: bool = False
    origin: float = OPTIMUM
    distance: bool = False
    form: str = ".6f"

    def rows(self) -> list[Row]:
        """Carry it out."""
        if self.uneven:
            workers, local = 6, SGD(lr=self.lr, batch=1, epochs=1)
        else:
            workers, local = 2, SGD(lr=self.lr, steps=10)
        found: dict[int, float] = {}
        look = min(self.expected)
        run = Run(
            Quadratics(self.origin, self.uneven), Star(workers), self.algorithm, local=local,
            until=Rounds(max(self.expected)), evaluate=Every(look),
        )  # fmt: skip
        with tempfile.TemporaryDirectory() as out:
            run.start(Simulated(1), out=out, on_row=lambda row: _note(row, found))
        return [
            Row(
                f"{self.name}, round {number}" if self.distance else self.name,
                abs(found[number] - OPTIMUM) if self.distance else found[number],
                expected,
                within,
                form=self.form,
            )
            for number, (expected, within) in self.expected.items()
        ]


def _note(row: Any, found: dict[int, float]) -> None:
    if row.get("x") is not None:
        found[row["round"]] = row["x"]


def _at(rounds: int, expected: float) -> dict[int, tuple[float, float]]:
    return {rounds: (expected, 5e-7)}


#: Rounds after which what is left of the first distance is below the digits that are known.
CASES = (
    Case("FedAvg", FedAvg(), 0.1, _at(40, 0.604126)),
    Case("FedProx, mu 0", FedProx(0.0), 0.1, _at(40, 0.604126)),
    Case("FedProx, mu .1", FedProx(0.1), 0.1, _at(40, 0.608067)),
    Case("FedProx, mu 1", FedProx(1.0), 0.1, _at(40, 0.641669)),
    Case("FedProx, mu 10", FedProx(10.0), 0.1, _at(120, 0.758601)),
    Case(
        "SCAFFOLD, distance from .8", Scaffold(), 0.1,
        {5: (6.2e-3, 5e-5), 10: (4.9e-5, 5e-7), 20: (3.0e-9, ROUNDING)},
        distance=True, form=".1e",
    ),
    Case("FedAvg, 2 and 10 steps, lr .1", FedAvg(), 0.1, _at(40, 0.839521), uneven=True),
    Case("FedNova, 2 and 10 steps, lr .1", FedNova(), 0.1, _at(60, 0.511305), uneven=True),
    Case(
        "FedAvg, 2 and 10 steps, lr .001", FedAvg(), 0.001, _at(800, 0.951582),
        uneven=True, origin=0.95,
    ),
    Case("FedNova, 2 and 10 steps, lr .001", FedNova(), 0.001, _at(1100, 0.797190), uneven=True),
)  # fmt: skip


def rows(jobs: int) -> list[Row]:
    """Carry out all cases, so many at a time."""
    # The longest first, so that none of them is left alone at the end.
    order = sorted(range(len(CASES)), key=lambda index: -max(CASES[index].expected))
    made = spread_over(Case.rows, [CASES[index] for index in order], jobs)
    found = dict(zip(order, made, strict=True))
    return [row for index in range(len(CASES)) for row in found[index]]
