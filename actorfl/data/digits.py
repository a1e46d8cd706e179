"""Handwritten digits of scikit-learn, 8x8 pixels, learned by softmax regression."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from actorfl.errors import MissingExtra
from actorfl.mean import Mean
from actorfl.task import Batch, Dataset, Task

Columns = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Digits(Task):
    """Softmax regression on scikit-learn's digits.

    Images are float32 of shape ``(64,)``, pixels / 16 in [0, 1]; labels int64 in [0, 10). The split
    is stratified with ``random_state=0``: 1437 examples to train on, 360 to test. 100 centralised
    epochs reach an accuracy of .967, ten IID workers under FedAvg (5 epochs, lr .1, batch 10) .944
    in round 20.
    """

    def model(self) -> nn.Module:
        """Build 64 -> 10 logits; 650 parameters, torch's default initialisation."""
        return nn.Linear(64, 10)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Compute the mean cross-entropy, in nats."""
        images, labels = batch
        return functional.cross_entropy(model(images), labels)

    def metrics(self, model: nn.Module, batch: Batch) -> dict[str, Mean]:
        """Measure the accuracy, in [0, 1]."""
        images, labels = batch
        return {"accuracy": Mean.of(model(images).argmax(1) == labels)}

    def pool(self) -> Dataset:
        """Load the 1437 training examples."""
        return _load()[0]

    def test(self) -> Dataset:
        """Load the 360 test examples."""
        return _load()[1]


@cache
def _load() -> tuple[Columns, Columns]:
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise MissingExtra("scikit-learn", "torch", "the digits task") from error
    pixels, labels = load_digits(return_X_y=True)
    parts = train_test_split(pixels, labels, test_size=0.2, random_state=0, stratify=labels)
    train_x, test_x, train_y, test_y = parts
    return _columns(train_x, train_y), _columns(test_x, test_y)


def _columns(pixels: object, labels: object) -> Columns:
    # 16 is the brightest value in the data; dividing by it is exact.
    return (
        torch.tensor(pixels, dtype=torch.float32) / 16,
        torch.tensor(labels, dtype=torch.int64),
    )
