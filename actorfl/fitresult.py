"""What a fit gives, and how an algorithm corrects its gradients; whatever library computes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from actorfl.algorithm import Algorithm, Ctx
from actorfl.flatmodel import Buffers
from actorfl.layout import Vector
from actorfl.mean import Mean

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
