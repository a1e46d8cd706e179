"""A perceptron of any number of layers, for data whose examples are rows of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actorfl.errors import WrongValue

if TYPE_CHECKING:
    from torch import nn

_LARGEST_LAYER = 4096


def check_hidden(task: object, hidden: tuple[int, ...]) -> None:
    """Refuse sizes of hidden layers that are out of range.

    Raises:
        WrongValue: a size is not from 1 to 4096.
    """
    for size in hidden:
        if not 1 <= size <= _LARGEST_LAYER:
            what = f"a size in `hidden` of {type(task).__name__}"
            raise WrongValue(what, f"from 1 to {_LARGEST_LAYER}", size)


def perceptron(features: int, hidden: tuple[int, ...], classes: int) -> nn.Module:
    """Build features -> hidden -> logits, ReLU between; torch's default initialisation."""
    from torch import nn

    layers: list[nn.Module] = []
    width = features
    for size in hidden:
        layers += [nn.Linear(width, size), nn.ReLU()]
        width = size
    return nn.Sequential(*layers, nn.Linear(width, classes))
