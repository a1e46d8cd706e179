"""What ridge regression needs of data, as sums that add up over nodes, and what it makes of them.

The readout W minimises sum over k of |X_k W - Y_k|^2 + penalty |W|^2, so

    W = (sum of A_k + penalty I)^-1 sum of B_k,   A_k = X_k' X_k,  B_k = X_k' Y_k

and nothing but A_k and B_k has to leave a node: federated and centralised readouts are the same.
The Gram matrix of a reservoir has a condition number of 1e9 to 1e11. So these are float64 from
where they are made to where they are solved; float32 would spoil them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np

from actorfl.errors import BeyondHelp
from actorfl.esn.reservoir import Floats


class Singular(BeyondHelp, ValueError):  # noqa: N818  (it is what happened)
    """A readout that rounding decides, since its penalty is too small for what it is made from."""


@dataclass(frozen=True)
class Moments:
    """Sums over the rows of states X and targets Y.

    Attributes:
        gram: A = X' X, shape ``(d, d)``.
        cross: B = X' Y, shape ``(d, o)``.
    """

    gram: Floats
    cross: Floats

    @classmethod
    def of(cls, states: Floats, targets: Floats) -> Self:
        """Those of one node, in float64.

        Args:
            states: X, shape ``(n, d)``.
            targets: Y, shape ``(n, o)``.
        """
        states, targets = np.asarray(states, np.float64), np.asarray(targets, np.float64)
        return cls(states.T @ states, states.T @ targets)

    @classmethod
    def total(cls, each: Iterable[Moments]) -> Moments:
        """The sum of several, in their order."""
        first, *others = each
        for one in others:
            first = cls(first.gram + one.gram, first.cross + one.cross)
        return first

    def solved(self, penalty: float) -> Floats:
        """The readout W, shape ``(d, o)``.

        Args:
            penalty: of all nodes together, not of each; above 0.

        Raises:
            Singular: the penalty is too small for these.
        """
        root = cholesky(self.gram, penalty)
        return np.asarray(np.linalg.solve(root.T, np.linalg.solve(root, self.cross)))

    def vector(self) -> Floats:
        """All of it in one vector: the upper triangle of A, and B."""
        upper = self.gram[np.triu_indices(len(self.gram))]
        return np.concatenate([upper, self.cross.ravel()])

    @classmethod
    def from_vector(cls, vector: Floats, features: int, outputs: int) -> Moments:
        """Read what ``vector`` wrote.

        Args:
            vector: of ``length(features, outputs)`` values.
            features: d.
            outputs: o.
        """
        upper = features * (features + 1) // 2
        gram = np.empty((features, features))
        rows, columns = np.triu_indices(features)
        gram[rows, columns] = gram[columns, rows] = vector[:upper]
        return cls(gram, vector[upper:].reshape(features, outputs).copy())


def length(features: int, outputs: int) -> int:
    """How many values a vector of moments has."""
    return features * (features + 1) // 2 + features * outputs


def cholesky(gram: Floats, penalty: float) -> Floats:
    """The lower triangular root of gram + penalty I.

    Raises:
        Singular: there is none.
    """
    try:
        return np.asarray(np.linalg.cholesky(gram + penalty * np.eye(len(gram))), np.float64)
    except np.linalg.LinAlgError:
        raise Singular(
            f"a readout with a penalty of {penalty:g} is decided by rounding: its states depend on "
            "each other; take a greater penalty, fewer units, or more of the series"
        ) from None


def nrmse(targets: Floats, predicted: Floats) -> float:
    """The root of the mean squared error, divided by the targets' standard deviation.

    0 is perfect, 1 what the mean of the targets gives. With several outputs, both are over all.
    """
    error = np.square(targets - predicted).sum()
    spread = np.square(targets - targets.mean(axis=0)).sum()
    return float(np.sqrt(error / spread)) if spread else float("nan")
