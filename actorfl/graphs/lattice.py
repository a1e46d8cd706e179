"""Nodes in rows and columns."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from actorfl.errors import WrongValue
from actorfl.graphs.base import Graph
from actorfl.ranges import check_count


@dataclass(frozen=True)
class Lattice(Graph):
    """Base of both: nodes in rows, which are dealt out row by row.

    Args:
        nodes: how many, 4 to 65,536; without it as many as `named` has names.
        named: their names; see `RingGraph`, also for what is refused.
        rows: how many, from 2; the nodes fill them, and there are two columns at least. Without it
            as square as the number of nodes allows, rather more columns than rows.

    Raises:
        WrongValue: the nodes do not fill the rows, or, as a prime number of them, only one.
    """

    rows: int | None = None

    fewest = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        name = type(self).__name__
        if self.rows is None:
            most = next(
                rows for rows in range(math.isqrt(self.count), 0, -1) if not self.count % rows
            )
            if most == 1:
                raise WrongValue.saying(
                    f"{self.count} nodes of {name} fill no rectangle of two rows or more; "
                    "use another number of nodes, or RingGraph or PathGraph"
                )
            # Equal graphs compare and hash equal, whether or not the rows were said.
            object.__setattr__(self, "rows", most)
        check_count(self, "rows", 2, self.count // 2)
        assert self.rows is not None
        if self.count % self.rows:
            raise WrongValue(f"`rows` of {name}", f"a divisor of its {self.count} nodes", self.rows)

    @property
    def shape(self) -> tuple[int, int]:
        """How many rows and how many columns."""
        assert self.rows is not None
        return self.rows, self.count // self.rows

    def beside(self, place: int) -> tuple[int, ...]:
        """The nodes to the right, to the left, below and above."""
        row, column = divmod(place, self.shape[1])
        steps = ((row, column + 1), (row, column - 1), (row + 1, column), (row - 1, column))
        return tuple(dict.fromkeys(self._inside(steps)))

    @abstractmethod
    def _inside(self, steps: tuple[tuple[int, int], ...]) -> Iterator[int]:
        """The places of those rows and columns that there are."""


@dataclass(frozen=True)
class GridGraph(Lattice):
    """A grid with edges: a node has two to four neighbours, right, left, below and above.

    Args:
        nodes: how many, 4 to 65,536; without it as many as `named` has names.
        named: their names; see `RingGraph`, also for what is refused.
        rows: how many, from 2; see `Lattice`.
    """

    def _inside(self, steps: tuple[tuple[int, int], ...]) -> Iterator[int]:
        rows, columns = self.shape
        for row, column in steps:
            if 0 <= row < rows and 0 <= column < columns:
                yield row * columns + column


@dataclass(frozen=True)
class TorusGraph(Lattice):
    """A grid whose rows and columns are rings: each node has four neighbours.

    Of two rows, or two columns, above and below, or right and left, are one node.

    Args:
        nodes: how many, 4 to 65,536; without it as many as `named` has names.
        named: their names; see `RingGraph`, also for what is refused.
        rows: how many, from 2; see `Lattice`.
    """

    def _inside(self, steps: tuple[tuple[int, int], ...]) -> Iterator[int]:
        rows, columns = self.shape
        for row, column in steps:
            yield row % rows * columns + column % columns
