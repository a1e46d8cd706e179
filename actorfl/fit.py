"""The local loop: what a worker computes in one clock, and how a model is evaluated.

`fit` is a pure function: model, data, settings and seed in, model out. It builds its module anew
each time, so nothing that a module keeps outside of its ``state_dict`` reaches the next clock, and
a worker that was killed computes the same bits as one that was not. Run it in the training lane.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch
from torch import Tensor, nn

from actorfl import batches, model
from actorfl.errors import ConfigError
from actorfl.fitresult import FitResult, GradientHook
from actorfl.flatmodel import Buffers
from actorfl.layout import Vector
from actorfl.local import SGD, Gradients
from actorfl.mean import Mean
from actorfl.optimizer import Flat, Optimizer, orders
from actorfl.ownfit import FitCtx
from actorfl.seeds import seed_everything
from actorfl.task import Batch, Dataset, Task

# Examples in a batch of an evaluation. Kernels may round otherwise for other sizes, so it is part
# of what "the same bits" means; large enough for full speed, small enough for activations to fit.
EVALUATION_BATCH = 1024


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
    needed_by: str = "",
) -> FitResult:
    """Train a model on a worker's data, by the task's own ``fit`` where it has one.

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
        needed_by: The algorithm whose equations need that each step is corrected, or counted; a fit
            of the task's own that steps otherwise is refused. Empty where none does.

    Raises:
        Misfit: The task's own fit steps without the optimizer that the algorithm needs.
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
    if task.fits:
        return _own(task, module, data, local=local, seed=seed, hook=hook, needed_by=needed_by)
    optimizer = Optimizer(module.parameters(), local)
    flat = None if hook is None else Flat(module)
    losses: dict[int, list[float]] = {}
    steps = 0
    for indices in orders(examples, local, seed):
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


def _own(
    task: Task,
    module: nn.Module,
    data: Dataset,
    *,
    local: SGD,
    seed: int,
    hook: GradientHook | None,
    needed_by: str,
) -> FitResult:
    """Train by the task's own ``fit``."""
    examples = batches.size_of(data)
    ctx = FitCtx(module, data, local, seed=seed, hook=hook, watched=bool(needed_by))
    if examples:
        returned: object = task.fit(ctx)  # type: ignore[func-returns-value]  # looked at below
        if returned is not None:
            raise ConfigError(
                f"fit of {type(task).__name__} returned {returned!r}; train ctx.model in place, "
                "and return nothing"
            )
        if needed_by:
            ctx.check_stepped(type(task).__name__, needed_by)
    trained = model.extract(module)
    return FitResult(trained.vector, trained.buffers, examples, ctx.steps, ctx.loss)


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
    flat = Flat(module)
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
