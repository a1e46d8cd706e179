"""Algorithms between neighbours in which the model is what travels, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from actorfl.layout import Vector
from actorfl.pairing import Content, PairAlgorithm, PairCtx, PairState, expect

MODEL = "model"
"""The name under which a node's model is sent."""


@dataclass(frozen=True)
class SendsModel(PairAlgorithm):
    """Base: each node sends its model to all its targets."""

    def outgoing(self, ctx: PairCtx, state: PairState) -> tuple[Mapping[str, Content], PairState]:
        """The model, to each target."""
        content: Content = {MODEL: state.weights}
        return dict.fromkeys(ctx.targets, content), state

    def check_letter(self, ctx: PairCtx, content: Content) -> None:
        """Refuse what is no such model."""
        expect(content, {MODEL: ("float32", (ctx.layout.size,))})


def model_in(content: Content) -> Vector:
    """The model that a neighbour sent."""
    return np.asarray(content[MODEL], np.float32)
