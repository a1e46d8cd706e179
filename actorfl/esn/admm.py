"""A readout by consensus: every node solves its own problem, again and again, and they agree.

The form of Scardapane, Wang and Panella, "A decentralized training algorithm for Echo State
Networks in distributed big data applications", Neural Networks 78, 2016, after Boyd et al. 2011,
section 8.2: minimise sum over k of |X_k w_k - y_k|^2 / 2 + penalty |z|^2 / 2 with all w_k = z,

    w_k = (X_k' X_k + rho I)^-1 (X_k' y_k + rho (z - u_k))
    z   = rho (sum over k of (w_k + u_k)) / (penalty + rho L),   L nodes
    u_k = u_k + w_k - z

The mean over the nodes, which z is made from, is exact, or made by the nodes from their neighbours'
values; then it is a little another one at each, and their z_k differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self, TypeAlias

import numpy as np

from actorfl.errors import WrongValue
from actorfl.esn.moments import Moments, cholesky
from actorfl.esn.reservoir import Floats

Mean: TypeAlias = Callable[[Floats], Floats]
"""(L, ...) values of the nodes -> (L, ...), what each takes for their mean."""


@dataclass(frozen=True)
class Factored:
    """One node's part of the problem after it was factored, without the sums over its data.

    Attributes:
        inverse: of the lower triangular root of A + rho I, shape ``(d, d)``.
        cross: B, shape ``(d, o)``.
        rho: weight of agreement.
    """

    inverse: Floats
    cross: Floats
    rho: float

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return self.inverse.nbytes + self.cross.nbytes

    def solve(self, agreed: Floats, dual: Floats) -> Floats:
        """w_k for z and u_k, all of shape ``(d, o)``."""
        right = self.cross + self.rho * (agreed - dual)
        return np.asarray(self.inverse.T @ (self.inverse @ right))


@dataclass(frozen=True)
class Solver:
    """One node's part of the problem, factored once.

    Attributes:
        moments: of its data.
        rho: weight of agreement; the result does not depend on it, the number of iterations does.

    Raises:
        WrongValue: rho is not above 0.
    """

    moments: Moments
    rho: float

    def __post_init__(self) -> None:
        if not 0 < self.rho < np.inf:
            raise WrongValue("`rho` of ADMM", "finite and above 0", self.rho)

    @cached_property
    def factored(self) -> Factored:
        """What an iteration needs of it.

        Raises:
            Singular: rho is too small for these moments.
        """
        # numpy has no triangular solver: with the root's inverse a solve is two products. Its
        # error is that of the condition of A + rho I, which rho bounds.
        root = cholesky(self.moments.gram, self.rho)
        inverse = np.asarray(np.linalg.solve(root, np.eye(len(root))))
        return Factored(inverse, self.moments.cross, self.rho)

    def solve(self, agreed: Floats, dual: Floats) -> Floats:
        """w_k for z and u_k, all of shape ``(d, o)``."""
        return self.factored.solve(agreed, dual)


@dataclass(frozen=True)
class State:
    """Of all nodes after an iteration; each array has shape ``(L, d, o)``.

    Attributes:
        own: w_k.
        dual: u_k.
        agreed: z_k; all the same where the mean is exact.
    """

    own: Floats
    dual: Floats
    agreed: Floats

    @classmethod
    def begin(cls, solvers: Sequence[Solver]) -> Self:
        """Zeros."""
        zeros = np.zeros((len(solvers), *solvers[0].moments.cross.shape))
        return cls(zeros, zeros, zeros)


def iterate(solvers: Sequence[Solver], state: State, penalty: float, mean: Mean) -> State:
    """One iteration of all nodes.

    Args:
        solvers: of the nodes, with one rho.
        state: before it.
        penalty: of all nodes together, at least 0.
        mean: over the nodes: ``exact_mean``, or ``consensus_mean(...)``.
    """
    nodes = len(solvers)
    own = np.stack([
        solver.solve(agreed, dual)
        for solver, agreed, dual in zip(solvers, state.agreed, state.dual, strict=True)
    ])  # fmt: skip
    agreed = agreement(mean(own + state.dual), solvers[0].rho, penalty, nodes)
    return replace(state, own=own, dual=state.dual + own - agreed, agreed=agreed)


def agreement(mean: Floats, rho: float, penalty: float, nodes: int) -> Floats:
    """Z of a mean over the nodes of w + u.

    Args:
        mean: of any shape.
        rho: as of ``Solver``.
        penalty: of all nodes together, at least 0.
        nodes: how many.
    """
    return rho * mean / (penalty / nodes + rho)


def exact_mean(values: Floats) -> Floats:
    """The mean, the same at each node."""
    return np.broadcast_to(values.mean(axis=0), values.shape)


def consensus_mean(weights: Floats, rounds: int) -> Mean:
    """The mean as nodes make it that average with their neighbours a number of times.

    Args:
        weights: of the graph, doubly stochastic, shape ``(L, L)``.
        rounds: how many times, at least 1.
    """
    power = np.linalg.matrix_power(weights, rounds)
    return lambda values: np.einsum("kl,l...->k...", power, values)
