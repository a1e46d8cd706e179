"""The mean of the readouts that workers solve for by themselves, for comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from actorfl.algorithm import Algorithm, Closed, Ctx, Mine, ServerState
from actorfl.esn.form import Form
from actorfl.merging import Merged
from actorfl.ranges import check_number
from actorfl.terms import Sum, Terms


@dataclass(frozen=True)
class AveragedReadout(Algorithm):
    """Federated averaging of ridge readouts: what ``RidgeReadout`` is measured against.

        w_k = (A_k + penalty I)^-1 B_k,   W = sum over k of p_k w_k,   p_k = n_k / n

    n_k are the steps of worker k. The mean of the solutions is not the solution of all: where the
    workers' series differ, or are short, it is far off. One round is all it takes. Readouts are the
    sum of two float32, each averaged exactly.

    Degenerate value: one worker gives its own readout. Needs an ``EchoStateTask``.

    Attributes:
        penalty: of each worker; above 0.

    Raises:
        WrongType: it is no number.
        WrongValue: it is out of range.
    """

    floor: ClassVar[float] = 4096.0  # readouts of ill-conditioned states have such weights
    models: ClassVar[tuple[str, ...]] = ()
    takes_steps: ClassVar[bool] = False
    policies: ClassVar[tuple[str, ...]] = ("BSP", "Quorum")

    penalty: float = 1e-6

    def __post_init__(self) -> None:
        check_number(self, "penalty", "above 0", lambda value: value > 0)

    def up(self, ctx: Ctx, mine: Mine) -> tuple[Terms, Mine]:
        """n_k times w_k."""
        form = Form.of(ctx.layout, type(self).__name__)
        readout = form.moments(ctx.result).solved(self.penalty)
        return Terms(readout=Sum(form.of_readout(readout), ctx.examples)), mine

    def close(self, state: ServerState, terms: Merged, closed: Closed) -> ServerState:
        """The weighted mean replaces the readout."""
        return state.replaced(terms["readout"].mean())
