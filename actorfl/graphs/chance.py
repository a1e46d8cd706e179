"""Random graphs: by chance alone, small worlds, hubs, and groups."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import Any

from actorfl.errors import WrongType, WrongValue
from actorfl.graphs.base import check_links
from actorfl.graphs.drawn import DrawnGraph
from actorfl.ranges import check_count, check_number

#: Groups of nodes: more of them than this have few nodes each, and their matrix is read by nobody.
_BLOCKS_MAX = 64


@dataclass(frozen=True)
class ErdosRenyiGraph(DrawnGraph):
    """Each pair of nodes is linked with the same probability (Gilbert, 1959; G(n, p)).

    Args:
        nodes: how many, 2 to 65,536; without it as many as `named` has names.
        named: their names; see `RingGraph`, also for what is refused.
        p: of a link, above 0 to 1. Below ln(n) / n few draws are connected.
        seed: what the links are drawn by, 0 to 2^63 - 1.
        connected: whether the draw is repeated until it is connected.

    Raises:
        WrongValue: also where no draw is connected, or there are too many links.
    """

    p: float = field(kw_only=True)

    def check(self) -> None:
        """Refuse what is no probability, and too many links."""
        check_number(self, "p", "above 0, 1 at most", lambda p: 0 < p <= 1)
        check_links(self, math.ceil(self.p * self.count * (self.count - 1)))

    def generate(self, rng: random.Random) -> Any:
        """Draw one."""
        import networkx as nx

        return nx.fast_gnp_random_graph(self.count, self.p, seed=rng)

    @property
    def parted(self) -> str:
        """What to change where draws are not connected, for people."""
        least = min(1.0, 1.5 * math.log(self.count) / self.count)
        return f"a greater `p` (such as {least:.2g})" if least > self.p else "another seed"


@dataclass(frozen=True)
class SmallWorld(DrawnGraph):
    """A ring in which each node knows the nearest, and some links lead far away instead.

    Watts and Strogatz, 1998, Collective dynamics of "small-world" networks.

    Args:
        nodes: how many, 4 to 65,536; without it as many as `named` has names.
        named: their names; see `RingGraph`, also for what is refused.
        k: the nearest nodes that each is linked to at first, even, 2 to nodes - 1.
        p: the probability of each link to lead elsewhere, 0 to 1.
        seed: what the links are drawn by, 0 to 2^63 - 1.
        connected: whether the draw is repeated until it is connected.

    Raises:
        WrongValue: also where `k` is odd, or no draw is connected.
    """

    k: int = field(default=4, kw_only=True)
    p: float = field(default=0.1, kw_only=True)

    fewest = 4

    def check(self) -> None:
        """Refuse a degree that cannot be half to each side."""
        check_count(self, "k", 2, self.count - 1)
        if self.k % 2:
            raise WrongValue("`k` of SmallWorld", "even, half of it to each side", self.k)
        check_number(self, "p", "0 to 1", lambda x: 0 <= x <= 1)
        check_links(self, self.count * self.k)

    def generate(self, rng: random.Random) -> Any:
        """Draw one."""
        import networkx as nx

        return nx.watts_strogatz_graph(self.count, self.k, self.p, seed=rng)

    @property
    def parted(self) -> str:
        """What to change where draws are not connected, for people."""
        return "a greater `k`"


@dataclass(frozen=True)
class ScaleFreeGraph(DrawnGraph):
    """Nodes come one after the other and link to those that have many links already: a few hubs.

    Barabási and Albert, 1999, Emergence of scaling in random networks. Always connected.

    Args:
        nodes: how many, 2 to 65,536; without it as many as `named` has names.
        named: their names; see `RingGraph`, also for what is refused.
        links: of each node that comes, 1 to nodes - 1.
        seed: what the links are drawn by, 0 to 2^63 - 1.
    """

    links: int = field(default=2, kw_only=True)

    def check(self) -> None:
        """Refuse more links than there are nodes to link to."""
        check_count(self, "links", 1, self.count - 1)
        check_links(self, 2 * self.links * (self.count - self.links))

    def generate(self, rng: random.Random) -> Any:
        """Draw one."""
        import networkx as nx

        return nx.barabasi_albert_graph(self.count, self.links, seed=rng)


@dataclass(frozen=True)
class BlockModelGraph(DrawnGraph):
    """Groups of nodes; whether two are linked is a matter of their groups: clinics, or towns.

    The stochastic block model (Holland, Laskey and Leinhardt, 1983).

    Args:
        nodes: may be left out: as many as the blocks have.
        named: their names, block by block; see `RingGraph`, also for what is refused.
        blocks: how many nodes each block has, 1 to 64 blocks.
        p: the probability of a link between a node of one block and one of another, row by row; as
            many rows and columns as blocks, symmetric.
        seed: what the links are drawn by, 0 to 2^63 - 1.
        connected: whether the draw is repeated until it is connected.

    Raises:
        WrongType: blocks that are no tuple of whole numbers, or `p` that has no rows of numbers.
        WrongValue: also where `p` is no such matrix, or no draw is connected.
    """

    blocks: tuple[int, ...] = field(kw_only=True)
    p: tuple[tuple[float, ...], ...] = field(kw_only=True)

    def __post_init__(self) -> None:
        what = "one of `blocks` of BlockModelGraph"
        blocks: object = self.blocks
        if not isinstance(blocks, tuple):
            need = "a tuple of whole numbers, how many nodes each block has"
            raise WrongType("`blocks` of BlockModelGraph", need, blocks)
        if not 1 <= len(self.blocks) <= _BLOCKS_MAX:
            need = f"from 1 to {_BLOCKS_MAX} blocks"
            raise WrongValue("`blocks` of BlockModelGraph", need, len(self.blocks))
        for block in self.blocks:
            if isinstance(block, bool) or not isinstance(block, int):
                raise WrongType(what, "an int, at least 1", block)
            if block < 1:
                raise WrongValue(what, "at least 1", block)
        if self.nodes is None:
            object.__setattr__(self, "nodes", sum(self.blocks))
        super().__post_init__()

    def check(self) -> None:
        """Refuse a matrix that does not fit the blocks."""
        if self.count != sum(self.blocks):
            need = f"the sum of its blocks ({sum(self.blocks)}; leave it out)"
            raise WrongValue("`nodes` of BlockModelGraph", need, self.count)
        size, what = len(self.blocks), "`p` of BlockModelGraph"
        need = f"{size} rows of {size} numbers, as many as there are blocks"
        try:
            object.__setattr__(self, "p", tuple(tuple(row) for row in self.p))
        except TypeError:
            raise WrongType(what, need, self.p) from None
        if [len(row) for row in self.p] != [size] * size:
            raise WrongValue(what, need, self.p)
        for number in (each for row in self.p for each in row):
            if isinstance(number, bool) or not isinstance(number, int | float):
                raise WrongType(what, "rows of numbers from 0 to 1", number)
            if not 0 <= number <= 1:  # neither is what is no number at all
                raise WrongValue(what, "rows of numbers from 0 to 1", number)
        wrong = [(i, j) for i in range(size) for j in range(i) if self.p[i][j] != self.p[j][i]]
        if wrong:
            i, j = wrong[0]
            need = f"symmetric, as links are ({self.p[j][i]} in row {j})"
            raise WrongValue(f"number {j} in row {i} of {what}", need, self.p[i][j])
        object.__setattr__(self, "p", tuple(tuple(map(float, row)) for row in self.p))
        links = sum(
            self.p[i][j] * self.blocks[i] * self.blocks[j] for i in range(size) for j in range(size)
        )
        check_links(self, math.ceil(links))

    def generate(self, rng: random.Random) -> Any:
        """Draw one."""
        import networkx as nx

        return nx.stochastic_block_model(self.blocks, self.p, seed=rng)

    @property
    def parted(self) -> str:
        """What to change where draws are not connected, for people."""
        return "greater numbers in `p`"
