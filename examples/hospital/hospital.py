"""Eight hospitals learn one model together; no record leaves the hospital that it belongs to.

python hospital.py
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (its name everywhere)

from actorfl import SGD, FedAvg, Inline, Mean, Processes, Rounds, Run, Star, Task, Who
from actorfl.task import Batch


@dataclass(frozen=True)
class Hospital(Task):
    path: str = "data/{name}.csv"

    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 2))

    def train(self, who: Who) -> tuple[Tensor, Tensor]:
        return read_csv(self.path.format(name=who.name))

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return F.cross_entropy(model(batch[0]), batch[1])

    def metrics(self, model: nn.Module, batch: Batch) -> dict[str, Mean]:
        return {"accuracy": Mean.of(model(batch[0]).argmax(1) == batch[1])}


def read_csv(path: str) -> tuple[Tensor, Tensor]:
    """Thirty measurements of a tumour, float32, and whether it was benign."""
    table = np.loadtxt(path, delimiter=",", skiprows=1, dtype=np.float32, ndmin=2)
    return torch.tensor(table[:, :-1]), torch.tensor(table[:, -1], dtype=torch.int64)


if __name__ == "__main__":
    run = Run(
        Hospital(),
        Star(8),
        FedAvg(),
        local=SGD(lr=0.1, batch=10, epochs=5),
        until=Rounds(20),
        validate=0.2,
        seed=7,
    )
    inline = run.start(on=Inline())
    processes = run.start(on=Processes(4))
    assert inline.sha256 == processes.sha256
    print(f"accuracy {processes.accuracy:.3f}, model {processes.sha256}")
