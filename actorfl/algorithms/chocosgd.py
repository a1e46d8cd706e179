"""D-PSGD whose nodes send compressed differences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from actorfl.algorithms.mixed import Mixed, mixed
from actorfl.compression import Payload
from actorfl.compressions.topk import TopK
from actorfl.errors import Misfit
from actorfl.layout import Vector
from actorfl.pairing import Content, PairCtx, PairState
from actorfl.ranges import check_number
from actorfl.statistics import between
from actorfl.topology import Peers

_OWN = "estimate"
_OF = "estimate/"


@dataclass(frozen=True)
class ChocoSGD(Mixed):
    """CHOCO-SGD: D-PSGD in which each node sends the k largest elements of what is new.

    Koloskova, Stich and Jaggi, "Decentralized Stochastic Optimization and Gossip Algorithms with
    Compressed Communication", ICML 2019; in the order of Koloskova et al., "Decentralized Deep
    Learning with Arbitrary Communication Compression", ICLR 2020, Algorithm 1:

        y_i = x_i - lr * g_i(x_i),   q_i = top-k(y_i - e_i),   q_i is sent,   e_j <- e_j + q_j
        x_i <- y_i + step * sum over j of W_ij (e_j - e_i)

    e_j is the estimate of node j's model that j and each of its neighbours keep alike, float32:
    what was not sent stays in the difference and comes later, which is error feedback. The mean of
    all models moves by the mean of the steps alone. Degenerate values: fraction=1 and step=1 are
    D-PSGD in the order "before", with rounding.

    Deviation from the papers: the estimates begin with the initial model, which all nodes share,
    and not with 0. Only under BSP and on a graph that stays: each q counts once at each neighbour.

    Attributes:
        fraction: k/d, above 0 and at most 1, k rounded up; each element takes 8 bytes.
        step: of the consensus, above 0 and at most 1; the smaller the fraction the smaller it must
            be, about the fraction itself is safe.
        mixing: W: ``Metropolis()``, ``Uniform()`` or ``BestConstant()``.

    Raises:
        WrongType: a field is no number.
        WrongValue: a field is out of range.
        Misfit: by ``check_peers``, where the graph changes.
    """

    policies: ClassVar[tuple[str, ...]] = ("BSP",)

    fraction: float = 0.1
    step: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "fraction", "above 0 and at most 1", lambda x: 0 < x <= 1)
        check_number(self, "step", "above 0 and at most 1", lambda x: 0 < x <= 1)

    def check_peers(self, topology: Peers, policy: str) -> None:
        """Refuse a graph that changes."""
        super().check_peers(topology, policy)
        if not topology.fixed:
            raise Misfit(
                "ChocoSGD keeps an estimate of each neighbour, which all it ever sent is in, and "
                f"{type(topology).__name__} has others in each round; use DPSGD"
            )

    def started(self, ctx: PairCtx, state: PairState) -> PairState:
        """All estimates are the initial model."""
        return state.keeping(dict.fromkeys(_names(ctx), state.weights))

    def outgoing(self, ctx: PairCtx, state: PairState) -> tuple[Mapping[str, Content], PairState]:
        """The largest elements of what the own estimate lacks."""
        own = np.asarray(state.array(_OWN), np.float32)
        coder = TopK(self.fraction)
        lacks = np.subtract(state.weights, own, dtype=np.float32)
        payload, _ = coder.encode(lacks, {}, ctx.draw("compress"))
        content: Content = dict(payload)
        after = self._moved(own, content)
        return dict.fromkeys(ctx.targets, content), state.keeping({_OWN: after})

    def check_letter(self, ctx: PairCtx, content: Content) -> None:
        """Refuse what are no elements of such a model."""
        TopK(self.fraction).decode(_arrays(content), ctx.layout.size)

    def incoming(
        self, ctx: PairCtx, state: PairState, received: Mapping[str, Content]
    ) -> PairState:
        """Move the estimates, then the model by their differences."""
        estimates: dict[str, Vector] = {}
        for name, content in received.items():
            estimates[name] = self._moved(state.array(f"{_OF}{name}"), content)
        own = np.asarray(state.array(_OWN), np.float32)
        moved = mixed(ctx, own, estimates, self.step).astype(np.float64) - own
        known = (state.weights, own, *estimates.values())
        after = state.replaced(between(ctx.layout, state.weights + moved, known))
        return after.keeping({f"{_OF}{name}": vector for name, vector in estimates.items()})

    def _moved(self, estimate: Vector, content: Content) -> Vector:
        return estimate + TopK(self.fraction).decode(_arrays(content), estimate.size)


def _arrays(content: Content) -> Payload:
    return {name: np.asarray(array) for name, array in content.items()}


def _names(ctx: PairCtx) -> list[str]:
    return [_OWN, *(f"{_OF}{name}" for name in ctx.sources)]
