"""What a step of the local loop is made of: batches in order, the hook, and the step itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

from actorfl import model
from actorfl.fitresult import GradientHook
from actorfl.layout import Layout, Part, Vector
from actorfl.local import SGD
from actorfl.seeds import seed_for


def orders(examples: int, local: SGD, seed: int) -> Iterator[Tensor]:
    """The examples of each step: epochs in fresh orders, cut into batches."""
    if examples == 0:
        return
    generator = torch.Generator().manual_seed(seed_for(seed, "", 0, "order"))
    left = local.steps_of(examples)
    while left > 0:
        order = torch.randperm(examples, generator=generator)
        for indices in torch.split(order, local.batch_of(examples))[:left]:
            yield indices
            left -= 1


class Optimizer:
    """The arithmetic of ``torch.optim.SGD`` without its class, which imports a compiler (1.4 s)."""

    def __init__(self, parameters: Iterable[nn.Parameter], local: SGD) -> None:
        self._parameters = list(parameters)
        self._momenta: dict[int, Tensor | None] = {}
        self._local = local

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    def step(self) -> None:
        """Move each parameter that has a gradient."""
        reached = [i for i, p in enumerate(self._parameters) if p.grad is not None]
        momenta = [self._momenta.get(i) for i in reached]
        gradients = [self._parameters[i].grad for i in reached]
        with torch.no_grad():
            sgd(
                [self._parameters[i] for i in reached],
                [gradient for gradient in gradients if gradient is not None],
                momenta,
                foreach=False,  # what torch takes on a CPU
                fused=False,
                weight_decay=self._local.weight_decay,
                momentum=self._local.momentum,
                lr=self._local.lr,
                dampening=0.0,
                nesterov=False,
                maximize=False,
            )
        self._momenta.update(zip(reached, momenta, strict=True))


class Flat:
    """A module's gradients as one vector, for an algorithm's hook."""

    def __init__(self, module: nn.Module) -> None:
        self._layout: Layout = model.layout_of(module)
        self._tensors: dict[str, Tensor] = model.tensors(module)[0]

    def gradient(self) -> Vector:
        """The gradient, in memory of its own."""
        found = torch.zeros(self._layout.size)
        for part in self._layout:
            grad = self._tensors[part.name].grad
            if grad is not None:
                found[part.slice] = grad.reshape(-1)
        return found.numpy()

    def correct(self, hook: GradientHook, steps: int) -> None:
        """Replace the gradients by what a hook makes of them."""
        weights = torch.empty(self._layout.size)
        trained: list[tuple[Part, Tensor]] = []
        for part in self._layout:
            tensor = self._tensors[part.name]
            weights[part.slice] = tensor.detach().reshape(-1)
            if tensor.grad is not None:
                trained.append((part, tensor.grad))
        corrected = hook(self.gradient(), weights.numpy(), steps)
        self._layout.check(corrected)
        vector = torch.tensor(corrected)
        for part, grad in trained:
            grad.copy_(vector[part.slice].view(part.shape))
