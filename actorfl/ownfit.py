"""What a task's own ``fit`` is given: model, data, batches, an optimizer that algorithms see."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from torch import Tensor, nn

from actorfl import batches
from actorfl.errors import ConfigError, Misfit
from actorfl.fitresult import GradientHook
from actorfl.local import SGD
from actorfl.mean import Mean
from actorfl.optimizer import Flat, Optimizer, orders
from actorfl.task import Batch, Dataset


class FitOptimizer:
    """Steps as the local loop does: each is corrected by the algorithm, and counted.

    It is ``torch.optim.SGD`` with the settings of ``local``; momentum begins at zero. Made by
    ``FitCtx.optimizer``.

    Attributes:
        steps: taken so far.
    """

    def __init__(
        self,
        parameters: list[nn.Parameter],
        local: SGD,
        correct: Callable[[int], object],
        watch: _Watch | None,
    ) -> None:
        self._parameters = parameters
        self._inner = Optimizer(parameters, local)
        self._clip = local.clip
        self._correct = correct
        self._watch = watch
        self.steps = 0

    def zero_grad(self) -> None:
        """Forget the gradients; to be called before each ``backward``."""
        self._inner.zero_grad()

    def step(self) -> None:
        """Correct the gradients that are there, clip them, and move the parameters."""
        if self._watch is not None:
            self._watch.look()
        self._correct(self.steps)
        if self._clip is not None:
            nn.utils.clip_grad_norm_(self._parameters, self._clip)
        self._inner.step()
        self.steps += 1
        if self._watch is not None:
            self._watch.stepped()

    def __repr__(self) -> str:
        return f"<FitOptimizer of {len(self._parameters)} parameters steps={self.steps}>"


class FitCtx:
    """One fit of a worker, for a task that trains in its own way.

    Attributes:
        model: built by the task and loaded with what came down, in training mode; to be trained in
            place. Parameters that stand still in this fit require no gradient.
        data: what the worker trains on; never empty.
        local: settings of the local loop, to be followed as far as they make sense.
        seed: of this fit; torch, numpy and random were seeded by it already.
        loss: what was reported, each loss counted once per example.
    """

    def __init__(
        self,
        model: nn.Module,
        data: Dataset,
        local: SGD,
        *,
        seed: int,
        hook: GradientHook | None = None,
        watched: bool = False,
    ) -> None:
        self.model = model
        self.data = data
        self.local = local
        self.seed = seed
        self.loss = Mean()
        self._hook = hook
        self._optimizer: FitOptimizer | None = None
        self._watch = _Watch(model) if watched else None

    @property
    def examples(self) -> int:
        """How many examples there are."""
        return batches.size_of(self.data)

    @property
    def steps(self) -> int:
        """Steps of the optimizer so far; 0 without one."""
        return 0 if self._optimizer is None else self._optimizer.steps

    def batches(self) -> Iterator[Batch]:
        """The batches of the local loop: its epochs or steps, each epoch in a fresh order."""
        for indices in orders(self.examples, self.local, self.seed):
            yield batches.gather(self.data, indices)

    def optimizer(self, parameters: Iterable[nn.Parameter]) -> FitOptimizer:
        """Make the optimizer; the algorithm corrects and counts its steps.

        Args:
            parameters: of ``model``, all that are trained; others are left alone.

        Raises:
            ConfigError: there is one already, or a parameter is none of the model's.
        """
        if self._optimizer is not None:
            raise ConfigError(
                "fit asked for a second optimizer, and steps are counted by one; give "
                "ctx.optimizer all parameters at once"
            )
        given = list(parameters)
        own = {id(parameter) for parameter in self.model.parameters()}
        if any(id(parameter) not in own for parameter in given):
            raise ConfigError(
                "ctx.optimizer was given parameters of another model; train ctx.model"
            )
        hook, flat = self._hook, Flat(self.model)

        def correct(steps: int) -> None:
            if hook is not None:
                flat.correct(hook, steps)

        self._optimizer = FitOptimizer(given, self.local, correct, self._watch)
        return self._optimizer

    def report(self, loss: Tensor | float, examples: int) -> None:
        """Tell the loss of a batch, for the training loss of the round.

        Args:
            loss: the mean over the batch.
            examples: in the batch, >= 1.
        """
        value = loss.item() if isinstance(loss, Tensor) else float(loss)
        self.loss += Mean.of([value], weight=examples)

    def check_stepped(self, task: str, algorithm: str) -> None:
        """Refuse a fit that moved the model otherwise than by steps of the optimizer.

        Args:
            task: whose fit it is.
            algorithm: that needs to know of each step.

        Raises:
            Misfit: it did, as far as that was watched.
        """
        if self._watch is None or self._watch.look():
            return
        raise Misfit(
            f"{algorithm} corrects or counts each step, and fit of {task} moves the model without "
            "ctx.optimizer; take all steps with ctx.optimizer(ctx.model.parameters()), or use "
            "FedAvg"
        )

    def __repr__(self) -> str:
        return f"<FitCtx examples={self.examples} steps={self.steps}>"


class _Watch:
    """Sees whether anything but the steps of the optimizer moves the parameters."""

    def __init__(self, module: nn.Module) -> None:
        self._parameters = list(module.parameters())
        self._known = [parameter.detach().clone() for parameter in self._parameters]
        self._still = True

    def look(self) -> bool:
        """Whether, until now, nothing has."""
        pairs = zip(self._known, self._parameters, strict=True)
        self._still = self._still and all(_same(known, now.detach()) for known, now in pairs)
        return self._still

    def stepped(self) -> None:
        """The parameters are now as a step has left them."""
        for known, parameter in zip(self._known, self._parameters, strict=True):
            known.copy_(parameter.detach())


def _same(known: Tensor, now: Tensor) -> bool:
    # In a model that diverged NaN is no other value.
    return bool((known.eq(now) | (known.isnan() & now.isnan())).all())
