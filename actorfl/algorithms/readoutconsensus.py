"""The exact readout of an echo-state network without a centre."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from actorfl.algorithms.readoutbetween import VALUES, ReadoutBetween
from actorfl.esn.form import Form
from actorfl.esn.moments import Moments, length
from actorfl.layout import Vector
from actorfl.pairing import Content, PairCtx, PairState, expect
from actorfl.ranges import check_number, check_word


@dataclass(frozen=True)
class ReadoutConsensus(ReadoutBetween):
    """Nodes average the moments of their data, and each solves for the readout of all.

    Bacciu et al. 2021 (see ``RidgeReadout``) by average consensus, Xiao and Boyd, "Fast linear
    iterations for distributed averaging", Systems & Control Letters 53, 2004:

        (A_i, B_i) <- sum over neighbours j and i itself of W_ij (A_j, B_j)
        w_i = (A_i + penalty / n I)^-1 B_i,   n nodes

    with Metropolis-Hastings weights. All of it is float64, at nodes and in letters. Differences
    shrink by the graph's sigma each round (of a ring of 8: .805), so that
    the rounds of ``until`` decide how near each readout is to that of all data.

    With ``share="readout"`` nodes average the readouts that each solves for by itself, with the
    penalty of its own, for comparison; all weigh the same.

    Degenerate value: on a complete graph one round gives what ``RidgeReadout`` gives. Needs an
    ``EchoStateTask``.

    Attributes:
        penalty: of all nodes together (of each where readouts are shared), above 0.
        share: what is averaged, "moments" or "readout".

    Raises:
        WrongType: the penalty is no number.
        WrongValue: a value is out of range.
    """

    penalty: float = 1e-6
    share: Literal["moments", "readout"] = "moments"

    def __post_init__(self) -> None:
        check_number(self, "penalty", "above 0", lambda value: value > 0)
        check_word(self, "share", ("moments", "readout"))

    def trained(self, ctx: PairCtx, state: PairState, before: Vector, after: Vector) -> PairState:
        """Begin with the node's own moments, or its own readout."""
        moments = Form.of(ctx.layout, type(self).__name__).moments(after)
        if self.share == "readout":
            return state.keeping({VALUES: moments.solved(self.penalty).ravel()})
        return state.keeping({VALUES: moments.vector()})

    def outgoing(self, ctx: PairCtx, state: PairState) -> tuple[Mapping[str, Content], PairState]:
        """What is averaged, to each target."""
        content: Content = {VALUES: state.array(VALUES)}
        return dict.fromkeys(ctx.targets, content), state

    def check_letter(self, ctx: PairCtx, content: Content) -> None:
        """Refuse values of another size."""
        form = Form.of(ctx.layout, type(self).__name__)
        readout = self.share == "readout"
        size = (form.features * form.outputs) if readout else length(form.features, form.outputs)
        expect(content, {VALUES: ("float64", (size,))})

    def incoming(
        self, ctx: PairCtx, state: PairState, received: Mapping[str, Content]
    ) -> PairState:
        """The weighted mean, and the readout that it gives."""
        mean = self.averaged(ctx, state.array(VALUES), received)
        form = Form.of(ctx.layout, type(self).__name__)
        if self.share == "readout":
            readout = mean.reshape(form.features, form.outputs)
        else:
            moments = Moments.from_vector(mean, form.features, form.outputs)
            readout = moments.solved(self.penalty / ctx.count)
        return state.replaced(form.of_readout(readout)).keeping({VALUES: mean})
