"""Push-sum: averages also where links go one way only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from actorfl.layout import Vector
from actorfl.pairing import Content, Late, PairAlgorithm, PairCtx, PairState, expect
from actorfl.statistics import spans
from actorfl.terms import Array

_SUM, WEIGHT = "sum", "weight"


@dataclass(frozen=True)
class PushSum(PairAlgorithm):
    """Push-sum: each node trains once, then all average, on directed graphs too.

    Kempe, Dobra and Gehrke, "Gossip-Based Computation of Aggregate Information", FOCS 2003,
    section 2; a node keeps a sum s_i, at first x_i, and a weight w_i, at first 1:

        of (s_i, w_i) each of its d targets is sent the share 1 / (d + 1), and it keeps one
        (s_i, w_i) <- what it kept + all that came,   its model is s_i / w_i

    x_i is what it has after the training of the first round. s_i is float64. The sums over all
    nodes and all that is on its way stay as they are, so that all models tend to the mean of the
    x_i on every graph in which each node reaches each other one.

    Deviation from the paper, against what is lost, doubled or late (Gerencser and Hendrickx, "Push
    sum with transmission failures", 2015): on each link travels the sum of all shares that were
    ever sent on it, and the receiver takes the difference from what came before. A share leaves the
    sender's sum as what it added to that, so nothing is lost to rounding. These counters are
    durable before anything leaves. A node whose weight has fallen below 2^-10, because it hears of
    nobody, keeps all that it has and repeats what it sent, until it hears again: what remained of
    further shares would be rounding.
    """

    #: A node of less weight gives none away.
    least: ClassVar[float] = 2.0**-10
    periods: ClassVar[bool] = True
    late: ClassVar[Late] = "once"

    def trains(self, number: int) -> bool:
        """Only in the first round."""
        return number == 0

    def started(self, ctx: PairCtx, state: PairState) -> PairState:
        """All of the model, with the weight 1."""
        return state.keeping({_SUM: state.weights.astype(np.float64), WEIGHT: 1.0})

    def trained(self, ctx: PairCtx, state: PairState, before: Vector, after: Vector) -> PairState:
        """The sum moves as far as the model did; running statistics are no steps, and new ones."""
        total = state.array(_SUM) + self._step(state, np.subtract(after, before, dtype=np.float64))
        for span in spans(ctx.layout):
            total[span] = _number(state, WEIGHT) * after[span].astype(np.float64)
        return _estimated(state.keeping({_SUM: total}))

    def _step(self, state: PairState, moved: Vector) -> Vector:
        """How far the sum moves where the model has moved so far."""
        del state
        return moved

    def outgoing(self, ctx: PairCtx, state: PairState) -> tuple[Mapping[str, Content], PairState]:
        """To each target all that it was ever sent, a share of what is here with it."""
        total, weight = state.array(_SUM), _number(state, WEIGHT)
        part = 1.0 / (len(ctx.targets) + 1) if weight >= self.least else 0.0
        share, share_weight = part * total, part * weight
        contents: dict[str, Content] = {}
        kept: dict[str, Array | float] = {}
        for to in ctx.targets:
            before = state.mine.get(f"sent/{to}")
            sent = share if before is None else np.add(before, share)
            weighed = _number(state, f"sent-weight/{to}") + share_weight
            # Not the share: what the receiver takes is the difference of two rounded sums.
            total = total - (sent if before is None else np.subtract(sent, before))
            weight -= weighed - _number(state, f"sent-weight/{to}")
            kept |= {f"sent/{to}": sent, f"sent-weight/{to}": weighed}
            contents[to] = {_SUM: sent, WEIGHT: weighed}
        return contents, state.keeping({**kept, _SUM: total, WEIGHT: weight})

    def check_letter(self, ctx: PairCtx, content: Content) -> None:
        """Refuse what is no sum and weight of such a model."""
        expect(content, {_SUM: ("float64", (ctx.layout.size,))}, (WEIGHT,))

    def incoming(
        self, ctx: PairCtx, state: PairState, received: Mapping[str, Content]
    ) -> PairState:
        """What each link has carried since; the model is the sum over the weight."""
        total, weight = state.array(_SUM), _number(state, WEIGHT)
        kept: dict[str, Array | float] = {}
        for name, content in received.items():
            sent, weighed = np.asarray(content[_SUM]), float(content[WEIGHT])
            if weighed <= _number(state, f"got-weight/{name}"):
                continue  # it comes late or again, and is in what came since
            before = state.mine.get(f"got/{name}")
            total = total + (sent if before is None else np.subtract(sent, before))
            weight += weighed - _number(state, f"got-weight/{name}")
            kept |= {f"got/{name}": sent, f"got-weight/{name}": weighed}
        return _estimated(state.keeping({**kept, _SUM: total, WEIGHT: weight}))


def _number(state: PairState, name: str) -> float:
    return float(state.mine.get(name, 0.0))


def _estimated(state: PairState) -> PairState:
    """The state with the model that its sum and weight say."""
    return state.replaced(state.array(_SUM) / _number(state, WEIGHT))
