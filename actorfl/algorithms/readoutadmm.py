"""The readout of an echo-state network without a centre, by the method of multipliers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from actorfl.algorithm import Scalar
from actorfl.algorithms.readoutbetween import VALUES, ReadoutBetween
from actorfl.esn.admm import Solver, agreement
from actorfl.esn.factors import KEPT_MAX, Factors
from actorfl.esn.form import Form
from actorfl.esn.moments import Moments
from actorfl.layout import Vector
from actorfl.pairing import Content, PairCtx, PairState, expect
from actorfl.ranges import check_count, check_number
from actorfl.terms import Array

_DATA, _OWN, _DUAL, _AGREED = "data", "own", "dual", "agreed"
_MOST_INNER: Final = 10_000
#: Of the nodes of this process. It decides no bit, so the functions of the algorithm stay pure.
_FACTORS: Final = Factors(KEPT_MAX)


@dataclass(frozen=True)
class ReadoutADMM(ReadoutBetween):
    """Nodes solve for readouts of their own data, and agree on that of all.

    Scardapane, Wang and Panella, "A decentralized training algorithm for Echo State Networks in
    distributed big data applications", Neural Networks 78, 2016, in the form of Boyd et al. 2011,
    section 8.2; of L nodes, node k has A_k = X_k' X_k and B_k = X_k' Y_k, and in an iteration

        w_k = (A_k + rho I)^-1 (B_k + rho (z_k - u_k))
        m_k = the mean over all of w + u, by `inner` rounds of Metropolis-Hastings averages
        z_k = rho m_k / (penalty / L + rho)
        u_k <- u_k + w_k - z_k

    from zeros; z_k is the node's readout. All of it is float64, at nodes and in letters, which hold
    d o numbers, d values of a state and o outputs, where those of ``ReadoutConsensus`` hold
    d (d + 1) / 2 + d o. A round of a run is one of averages, so an iteration takes ``inner`` of
    them. How many rounds the averages have decides how near all come to the readout of all data;
    ``rho`` how many iterations that takes. A_k + rho I is factored once, and kept while there is
    room: 8 d^2 bytes for each node, 256 MiB in a process.

    Degenerate value: one inner round on a complete graph is the method with an exact mean. Needs an
    ``EchoStateTask``.

    Attributes:
        penalty: of all nodes together, above 0.
        rho: weight of agreement, above 0.
        inner: rounds of averages in an iteration, 1 to 10,000.

    Raises:
        WrongType: a value has another type.
        WrongValue: a value is out of range.
    """

    penalty: float = 1e-6
    rho: float = 1.0
    inner: int = 20

    def __post_init__(self) -> None:
        check_number(self, "penalty", "above 0", lambda value: value > 0)
        check_number(self, "rho", "above 0", lambda value: value > 0)
        check_count(self, "inner", 1, _MOST_INNER)

    @property
    def together(self) -> int:
        """Rounds of an iteration."""
        return self.inner

    def trained(self, ctx: PairCtx, state: PairState, before: Vector, after: Vector) -> PairState:
        """Begin with the moments of the node's data, and zeros."""
        moments = Form.of(ctx.layout, type(self).__name__).moments(after)
        zeros = np.zeros(moments.cross.size)
        return state.keeping({
            _DATA: moments.vector(), _OWN: zeros, _DUAL: zeros, _AGREED: zeros, VALUES: zeros,
        })  # fmt: skip

    def outgoing(self, ctx: PairCtx, state: PairState) -> tuple[Mapping[str, Content], PairState]:
        """What is averaged, to each target; an iteration begins with the node's own solution."""
        if ctx.round % self.inner == 0:
            form = Form.of(ctx.layout, type(self).__name__)
            shape = form.features, form.outputs
            data = state.array(_DATA)
            factored = _FACTORS.of(
                data,
                self.rho,
                lambda: Solver(Moments.from_vector(data, *shape), self.rho).factored,
            )
            agreed, dual = (state.array(name).reshape(shape) for name in (_AGREED, _DUAL))
            own = factored.solve(agreed, dual)
            state = _kept(state, {_OWN: own.ravel(), VALUES: (own + dual).ravel()})
        content: Content = {VALUES: state.array(VALUES)}
        return dict.fromkeys(ctx.targets, content), state

    def check_letter(self, ctx: PairCtx, content: Content) -> None:
        """Refuse values of another size."""
        form = Form.of(ctx.layout, type(self).__name__)
        expect(content, {VALUES: ("float64", (form.features * form.outputs,))})

    def incoming(
        self, ctx: PairCtx, state: PairState, received: Mapping[str, Content]
    ) -> PairState:
        """The weighted mean; at the end of an iteration what it says all agree on."""
        mean = self.averaged(ctx, state.array(VALUES), received)
        state = _kept(state, {VALUES: mean})
        if (ctx.round + 1) % self.inner:
            return state
        agreed = agreement(mean, self.rho, self.penalty, ctx.count)
        dual = state.array(_DUAL) + state.array(_OWN) - agreed
        form = Form.of(ctx.layout, type(self).__name__)
        readout = form.of_readout(agreed.reshape(form.features, form.outputs))
        return _kept(state.replaced(readout), {_AGREED: agreed, _DUAL: dual})


def _kept(state: PairState, changed: Mapping[str, Array | Scalar]) -> PairState:
    return state.keeping({**state.mine, **changed})
