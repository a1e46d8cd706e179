"""Two classes of points; every worker has some of its own."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (its name everywhere)

from actorfl import Mean, Task, Who


@dataclass(frozen=True)
class Blobs(Task):
    """Two Gaussian classes; worker i has 30 + 10 i examples of its own."""

    features: int = 4

    def model(self) -> nn.Module:
        return nn.Sequential(nn.Linear(self.features, 6), nn.ReLU(), nn.Linear(6, 2))

    def loss(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        return F.cross_entropy(model(batch[0]), batch[1])

    def train(self, who: Who) -> tuple[Tensor, Tensor]:
        return self.examples(who.index, 30 + 10 * who.index)

    def test(self) -> tuple[Tensor, Tensor]:
        return self.examples(1000, 200)

    def metrics(self, model: nn.Module, batch: tuple[Tensor, ...]) -> dict[str, Mean]:
        return {"accuracy": Mean.of(model(batch[0]).argmax(1) == batch[1])}

    def examples(self, seed: int, count: int) -> tuple[Tensor, Tensor]:
        draw = torch.Generator().manual_seed(seed)
        labels = torch.arange(count) % 2
        return torch.randn(count, self.features, generator=draw) + 1.5 * labels[:, None], labels
