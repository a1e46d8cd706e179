"""How fast models become alike on a graph: the second largest eigenvalue of its mixing matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from actorfl.errors import Misfit, WrongValue
from actorfl.mixing import Mixing
from actorfl.topology import Peers

#: Nodes of a matrix that is written down whole: 32 MiB, and some seconds for its eigenvalues.
DENSE_MAX: Final = 2048
#: Steps of Lanczos' method for larger ones, which keeps as many vectors.
_STEPS: Final = 300
_LOOKED_AT_EVERY: Final = 30
#: Of the gap that is found: what its error may be for it to be called exact.
_PRECISION: Final = 1e-3
#: Below this nothing is left but rounding.
_NOTHING: Final = 1e-13

Matrix = np.ndarray[Any, np.dtype[np.float64]]
Vector = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Slem:
    """The second largest eigenvalue modulus of W.

    Attributes:
        value: from 0 (all alike after a round) to 1 (never).
        exact: False where it is a lower bound: of very slow graphs of more than 2,048 nodes.
    """

    value: float
    exact: bool = True

    @property
    def gap(self) -> float:
        """The spectral gap, 1 - value."""
        return 1.0 - self.value

    def rounds(self, factor: float = 1e6) -> int | None:
        """Rounds until all deviations from the mean are smaller by a factor; None if never.

        Args:
            factor: above 1, finite.

        Raises:
            WrongValue: another.
        """
        if not 1.0 < factor < math.inf:
            raise WrongValue("`factor`", "finite and above 1", factor)
        if self.value >= 1.0 - _NOTHING:
            return None
        if self.value < _NOTHING:
            return 1
        return math.ceil(math.log(factor) / -math.log(self.value))


class MixingMatrix:
    """The mixing matrix of a round, row by row in the order of the nodes; only what is not 0.

    Args:
        topology: the graph.
        mixing: that says the weights.
        round: from 0.
    """

    def __init__(self, topology: Peers, mixing: Mixing, round: int = 0) -> None:  # noqa: A002
        names = topology.names
        places = {name: place for place, name in enumerate(names)}
        rows, columns, values = [], [], []
        for place, name in enumerate(names):
            for other, weight in mixing.weights(topology, name, round).items():
                rows.append(place)
                columns.append(places[other])
                values.append(weight)
        self.count = len(names)
        self._rows = np.array(rows, np.int64)
        self._columns = np.array(columns, np.int64)
        self._values = np.array(values, np.float64)

    def __matmul__(self, vector: Vector) -> Vector:
        """W x, x of shape (nodes,)."""
        return np.bincount(
            self._rows, self._values * vector[self._columns], minlength=self.count
        ).astype(np.float64)

    def transposed(self, vector: Vector) -> Vector:
        """W^T x, x of shape (nodes,)."""
        return np.bincount(
            self._columns, self._values * vector[self._rows], minlength=self.count
        ).astype(np.float64)

    def dense(self) -> Matrix:
        """The matrix, shape (nodes, nodes).

        Raises:
            WrongValue: of more than 2,048 nodes.
        """
        if self.count > DENSE_MAX:
            raise WrongValue("a whole mixing matrix", f"of {DENSE_MAX} nodes at most", self.count)
        whole = np.zeros((self.count, self.count))
        whole[self._rows, self._columns] = self._values
        return whole


def laplacian(topology: Peers) -> Matrix:
    """The Laplacian of a fixed undirected graph: degrees less the adjacency, (nodes, nodes)."""
    names = topology.names
    places = {name: place for place, name in enumerate(names)}
    found = np.zeros((len(names), len(names)))
    for place, name in enumerate(names):
        for other in topology.neighbours(name):
            found[place, places[other]] = -1.0
            found[place, place] += 1.0
    return found


def slem(topology: Peers, mixing: Mixing) -> Slem:
    """The second largest eigenvalue modulus of the mixing matrix of a fixed graph.

    That of W - 11^T/n. Of directed graphs of more than 2,048 nodes it is the largest singular
    value, which is the same where W is normal, as that of the exponential graph is.

    Raises:
        Misfit: the graph changes by round, so that it has no one matrix; see ``measured``.
    """
    if not topology.fixed:
        raise Misfit(
            f"{type(topology).__name__} changes by round, so there is no one eigenvalue; count "
            "rounds with actorfl.spectrum.measured(...)"
        )
    matrix = MixingMatrix(topology, mixing)
    if matrix.count > DENSE_MAX:
        return _lanczos(matrix, symmetric=topology.symmetric)
    rest = matrix.dense() - 1.0 / matrix.count
    if topology.symmetric:
        found = np.abs(np.linalg.eigvalsh(rest))
    else:
        found = np.abs(np.linalg.eigvals(rest))
    return Slem(min(1.0, float(found.max())))  # rounding leaves a little more than 1


def measured(topology: Peers, mixing: Mixing, *, factor: float = 1e6, most: int) -> int | None:
    """Rounds until numbers that were drawn at the nodes deviate less from their mean by a factor.

    For graphs that change by round, which have no one eigenvalue. The deviation is the Euclidean
    norm.

    Args:
        topology: the graph.
        mixing: that says the weights.
        factor: above 1.
        most: rounds after which it is given up.

    Returns:
        The rounds; None where they are more than `most`.
    """
    values = np.random.default_rng(0).standard_normal(len(topology.names))
    values -= values.mean()
    least = float(np.linalg.norm(values)) / factor
    for number in range(most):
        values = MixingMatrix(topology, mixing, number) @ values
        if float(np.linalg.norm(values - values.mean())) <= least:
            return number + 1
    return None


def _lanczos(matrix: MixingMatrix, *, symmetric: bool) -> Slem:
    """Of W where it is symmetric, else of W^T W; all vectors orthogonal to the one of ones."""

    def apply(vector: Vector) -> Vector:
        found = matrix @ vector
        return found if symmetric else matrix.transposed(found)

    steps = min(_STEPS, matrix.count - 1)
    vectors = np.zeros((steps + 1, matrix.count))
    start = np.random.default_rng(0).standard_normal(matrix.count)
    start -= start.mean()
    vectors[0] = start / np.linalg.norm(start)
    small = np.zeros((steps + 1, steps + 1))
    found = Slem(0.0, exact=False)
    for step in range(steps):
        next_one = apply(vectors[step])
        small[step, step] = vectors[step] @ next_one
        next_one -= next_one.mean()
        for _ in range(2):  # what rounding leaves of one orthogonalisation, another takes away
            next_one -= vectors[: step + 1].T @ (vectors[: step + 1] @ next_one)
        length = float(np.linalg.norm(next_one))
        over = length < _NOTHING or step + 1 == steps
        if over or (step + 1) % _LOOKED_AT_EVERY == 0:
            values, within = np.linalg.eigh(small[: step + 1, : step + 1])
            best = int(np.argmax(np.abs(values)))
            found = _slem_of(abs(float(values[best])), length * abs(float(within[-1, best])))
            if not symmetric:
                found = _slem_of(math.sqrt(found.value), 0.0 if found.exact else 1.0)
            if over or found.exact:
                break
        vectors[step + 1] = next_one / length
        small[step, step + 1] = small[step + 1, step] = length
    return found


def _slem_of(value: float, error: float) -> Slem:
    return Slem(min(value, 1.0), exact=error <= _PRECISION * max(1.0 - value, _NOTHING))
