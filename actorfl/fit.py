"""The local loop: what a worker computes in one clock, and how a model is evaluated.

`fit` is a pure function: model, data, settings and seed in, model out. It builds its module anew
each time, so nothing that a module keeps outside of its ``state_dict`` reaches the next clock, and
a worker that was killed computes the same bits as one that was not. Run it in the training lane.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

from actorfl import batches, model
from actorfl.algorithm import Algorithm, Ctx
from actorfl.errors import ConfigError
from actorfl.layout import Layout, Part, Vector
from actorfl.local import SGD, Gradients
from actorfl.mean import Mean
from actorfl.model import Buffers
from actorfl.seeds import seed_everything, seed_for
from actorfl.task import Batch, Dataset, Task

# Examples in a batch of an evaluation. Kernels may round otherwise for other sizes, so it is part
# of what "the same bits" means; large enough for full speed, small enough for activations to fit.
EVALUATION_BATCH = 1024

GradientHook: TypeAlias = Callable[[Vector, Vector, int], Vector]
"""Corrects a gradient: (gradient, model now, steps taken so far) -> gradient.

Vectors are float32 of shape ``(layout.size,)``, fresh at each step. Buffers, and parameters that
the loss does not reach, have gradient 0, and what is returned for them is ignored.
"""


@dataclass(frozen=True, slots=True)
class FitResult:
    """What a fit gives.

    Attributes:
        vector: The trained model, float32, in memory of its own; may be non-finite if it diverged.
        buffers: Its integer buffers by name.
        examples: Size of the worker's data, the weight of its update; 0 leaves the model as it was.
        steps: Steps taken.
        loss: Mean of the losses of the batches, each counted once per example; of the model as it
            was before each step.
        gradient: Of the loss, float32, shape ``(layout.size,)``, 0 where a part is a buffer; None
            where steps were taken.
    """

    vector: Vector
    buffers: Buffers
    examples: int
    steps: int
    loss: Mean
    gradient: Vector | None = None


def fit(
    task: Task,
    data: Dataset,
    start: Vector,
    buffers: Buffers,
    *,
    local: SGD,
    seed: int,
    hook: GradientHook | None = None,
    still: Collection[str] = (),
) -> FitResult:
    """Train a model on a worker's data.

    The order of the examples comes from `seed`, as does all that torch, numpy and random draw. A
    step is that of `torch.optim.SGD`; a hook corrects the gradient before it is clipped.

    Args:
        task: Its `model` is built and its `loss` minimised.
        data: What the worker trains on; n examples.
        start: The model to start from, float32, shape ``(layout.size,)``; only read.
        buffers: Its integer buffers; only read.
        local: Steps, batch and learning rate.
        seed: ``seed_for(run_seed, worker, clock, "fit")``.
        hook: Corrects each gradient; without it the bits are those of plain torch.
        still: Names of parameters that no step moves; running statistics follow all steps.

    Raises:
        ConfigError: The loss is no tensor with one element, or data or model are refused.
        LayoutError: `start` or `buffers` do not fit the task's model.
    """
    seed_everything(seed)
    module = task.model()
    model.load(module, start, buffers)
    module.train()
    if still:
        for name, tensor in model.tensors(module)[0].items():
            # Not requires_grad_(True): what the user's model holds fixed remains so.
            if name in still:
                tensor.requires_grad_(False)
    examples = batches.size_of(data)
    optimizer = _Optimizer(module, local)
    flat = None if hook is None else _Flat(module)
    losses: dict[int, list[float]] = {}
    steps = 0
    for indices in _orders(examples, local, seed):
        optimizer.zero_grad()
        loss = _loss(task, module, batches.gather(data, indices))
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        if flat is not None and hook is not None:
            flat.correct(hook, steps)
        if local.clip is not None:
            nn.utils.clip_grad_norm_(module.parameters(), local.clip)
        optimizer.step()
        losses.setdefault(len(indices), []).append(loss.item())
        steps += 1
    trained = model.extract(module)
    return FitResult(trained.vector, trained.buffers, examples, steps, _weighted(losses))


def gradient(
    task: Task,
    data: Dataset,
    start: Vector,
    buffers: Buffers,
    *,
    local: Gradients,
    clock: int,
    seed: int,
    order_seed: Callable[[int], int],
    hook: GradientHook | None = None,
) -> FitResult:
    """Compute the gradient of the mean loss over the batch of a clock.

    The model is not moved; running statistics follow the batch, as in a step of training.

    Args:
        task: Its `model` is built and the gradient of its `loss` taken.
        data: What the worker trains on; n examples.
        start: The model at which it is taken, float32, shape ``(layout.size,)``; only read.
        buffers: Its integer buffers; only read.
        local: The size of the batch.
        clock: Which batch.
        seed: ``seed_for(run_seed, worker, clock, "fit")``; for what torch, numpy and random draw.
        order_seed: Of an epoch, for the order of its examples.
        hook: Corrects the gradient.

    Returns:
        The gradient, all 0 without examples, and the model with its buffers after the batch.

    Raises:
        ConfigError: The loss is no tensor with one element, or data or model are refused.
        LayoutError: `start` or `buffers` do not fit the task's model.
    """
    seed_everything(seed)
    module = task.model()
    model.load(module, start, buffers)
    module.train()
    examples = batches.size_of(data)
    flat = _Flat(module)
    if examples == 0:
        return FitResult(start.copy(), dict(buffers), 0, 0, Mean(), flat.gradient())
    epoch, place = local.place_of(clock, examples)
    generator = torch.Generator().manual_seed(order_seed(epoch))
    indices = torch.randperm(examples, generator=generator)[place]
    loss = _loss(task, module, batches.gather(data, indices))
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    if hook is not None:
        flat.correct(hook, 0)
    found = flat.gradient()
    after = model.extract(module)
    loss_of = _weighted({len(indices): [loss.item()]})
    return FitResult(after.vector, after.buffers, examples, 0, loss_of, found)


def gradient_hook(algorithm: Algorithm, ctx: Ctx) -> GradientHook | None:
    """Make the hook by which an algorithm corrects gradients.

    Args:
        algorithm: Its ``grad`` is called at each step.
        ctx: What the step knows; weights and steps are kept up to date.

    Returns:
        The hook; None if the algorithm corrects nothing, so that the fit is that of plain torch.
    """
    if not algorithm.corrects_gradients:
        return None

    def hook(gradient: Vector, weights: Vector, steps: int) -> Vector:
        return algorithm.grad(replace(ctx, weights=weights, steps=steps), gradient)

    return hook


def evaluate(
    task: Task, module: nn.Module, dataset: Dataset, batch: int = EVALUATION_BATCH
) -> dict[str, Mean]:
    """Measure a model, in evaluation mode and without gradients.

    Args:
        task: Its `loss` and `metrics` are measured.
        module: A model of the task; its mode is given back as it was.
        dataset: What to measure on, in order.
        batch: Examples in a batch, >= 1; another size may round otherwise.

    Returns:
        Sums and counts by name, ``loss`` first; without examples an empty ``loss`` alone.

    Raises:
        ConfigError: The loss is no tensor with one element, a metric is no Mean or is called
            ``loss``, or the data are refused.
    """
    training = module.training
    module.eval()
    losses: dict[int, list[float]] = {}
    metrics: dict[str, Mean] = {}
    try:
        with torch.no_grad():
            for examples in batches.in_order(dataset, batch):
                size = len(examples[0])
                losses.setdefault(size, []).append(_loss(task, module, examples).item())
                for name, value in task.metrics(module, examples).items():
                    _check_metric(task, name, value)
                    metrics[name] = metrics.get(name, Mean()) + value
    finally:
        module.train(training)
    return {"loss": _weighted(losses), **metrics}


def _orders(examples: int, local: SGD, seed: int) -> Iterator[Tensor]:
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


class _Optimizer:
    """The arithmetic of ``torch.optim.SGD`` without its class, which imports a compiler (1.4 s)."""

    def __init__(self, module: nn.Module, local: SGD) -> None:
        self._parameters = list(module.parameters())
        self._momenta: dict[int, Tensor | None] = {}
        self._local = local

    def zero_grad(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None

    def step(self) -> None:
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


class _Flat:
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


def _loss(task: Task, module: nn.Module, batch: Batch) -> Tensor:
    loss = task.loss(module, batch)
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        got = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else repr(loss)
        raise ConfigError(
            f"loss of {type(task).__name__} returned {got}; return a tensor with one element, "
            "the mean over the batch"
        )
    return loss


def _check_metric(task: Task, name: str, value: object) -> None:
    if name == "loss":
        raise ConfigError(
            f"metrics of {type(task).__name__} measures 'loss', which is always measured; "
            "choose another name"
        )
    if not isinstance(value, Mean):
        raise ConfigError(
            f"metric {name!r} of {type(task).__name__} is a {type(value).__name__}; return "
            "Mean.of(values), with a value for each example"
        )


def _weighted(losses: dict[int, list[float]]) -> Mean:
    """The mean of losses by batch size, each batch counted once per example."""
    return sum((Mean.of(values, weight=size) for size, values in losses.items()), Mean())
