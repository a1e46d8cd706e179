"""The exact readout of an echo-state network, in one round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from actorfl.algorithm import Algorithm, Closed, Ctx, Mine, ServerState
from actorfl.esn.form import Form
from actorfl.merging import Merged
from actorfl.ranges import check_number
from actorfl.terms import Sum, Terms


@dataclass(frozen=True)
class RidgeReadout(Algorithm):
    """Ridge regression over the data of all workers, of which only sums leave them.

    Bacciu, Di Sarli, Faraji, Gallicchio and Micheli, "Federated Reservoir Computing Neural
    Networks", IJCNN 2021 (IncFed):

        W = (sum over k of A_k + penalty I)^-1 sum over k of B_k,   A_k = X_k' X_k,  B_k = X_k' Y_k

    with the states X_k and the targets Y_k of worker k. One round is all it takes, and every
    further one gives the same. A_k and B_k are float64, travel in fixed point to 2^-60, and are
    added exactly, so a star and a tree give the same bits; see ``actorfl.esn.limbs``. A worker
    sends 16 bytes for each of d (d + 1) / 2 + d o numbers, d values of a state and o outputs.

    Degenerate value: one worker gives its own readout. Needs an ``EchoStateTask``.

    Attributes:
        penalty: of all workers together, not of each; above 0.

    Raises:
        WrongType: it is no number.
        WrongValue: it is out of range.
    """

    models: ClassVar[tuple[str, ...]] = ()
    takes_steps: ClassVar[bool] = False
    policies: ClassVar[tuple[str, ...]] = ("BSP", "Quorum")

    penalty: float = 1e-6

    def __post_init__(self) -> None:
        check_number(self, "penalty", "above 0", lambda value: value > 0)

    def up(self, ctx: Ctx, mine: Mine) -> tuple[Terms, Mine]:
        """A_k and B_k, once each."""
        return Terms(moments=Sum(ctx.result, 1)), mine

    def close(self, state: ServerState, terms: Merged, closed: Closed) -> ServerState:
        """Solve for the readout of all whose moments came."""
        form = Form.of(terms.layout, type(self).__name__)
        readout = form.summed(terms["moments"]).solved(self.penalty)
        return state.replaced(form.of_readout(readout))
