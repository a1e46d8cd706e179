"""How much of each neighbour's model a node takes: the rows of the mixing matrix W."""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from actorfl.defined import Abstract
from actorfl.errors import Misfit, UnknownKey
from actorfl.topology import Peers, Same, looked_at

#: How far the sum of a column of W may be from 1: what rounding leaves of sums of a thousand.
_ROUNDING: Final = 1e-9
#: What is to be used instead where links go one way, or degrees differ.
_PUSHED: Final = "StochasticGradientPush (PushSum, where nodes are to train once and then average)"
#: Significant digits of what is computed from eigenvalues: all nodes are to have the same number,
#: and the last digits depend on the machine.
_DIGITS: Final = 12


class Mixing(Abstract):
    """Base of mixings: frozen dataclasses. With x <- W x models become alike.

    The rows of W add up to 1, so that equal models stay as they are, and so do its columns, so that
    the mean of all models stays where it is. Where only the rows do, models drift towards those
    whom many hear: such a mixing is refused on such a graph.
    """

    @abstractmethod
    def weights(self, topology: Peers, name: str, round: int) -> dict[str, float]:  # noqa: A002
        """A row of W: the weight of the node itself, first, and of each that it hears.

        Args:
            topology: of the run.
            name: of the node.
            round: from 0.

        Returns:
            By name, in the order of the topology. They add up to 1, with rounding.
        """

    @abstractmethod
    def check(self, topology: Peers) -> None:
        """Refuse a graph on which the columns of W do not add up to 1.

        Raises:
            Misfit: with what to use instead.
        """


@dataclass(frozen=True)
class Metropolis(Mixing):
    """W_ij = 1 / (1 + max(d_i, d_j)) for neighbours, and the rest for the node itself.

    Metropolis-Hastings weights (Xiao and Boyd, 2004, Fast linear iterations for distributed
    averaging, section 4.2). A node needs the degrees of its neighbours and nothing else. W is
    symmetric, so the graph may be any whose links go both ways, and may differ by round.
    """

    def weights(self, topology: Peers, name: str, round: int) -> dict[str, float]:  # noqa: A002
        """See `Mixing.weights`."""
        sources = topology.sources(name, round)
        degrees = _degrees(Same(topology), 0 if topology.fixed else round)
        degree = degrees[name] = len(sources)
        for each in sources:
            if each not in degrees:
                degrees[each] = len(topology.sources(each, round))
        found = {each: 1.0 / (1 + max(degree, degrees[each])) for each in sources}
        return {name: 1.0 - sum(found.values()), **found}

    def check(self, topology: Peers) -> None:
        """Refuse links that go one way only.

        Raises:
            Misfit: the graph is directed.
        """
        if not topology.symmetric:
            raise Misfit(
                f"Metropolis needs links that go both ways, and those of {_name(topology)} do "
                "not; use Uniform, where each hears from as many as it sends to, or "
                f"{_PUSHED}"
            )


@functools.lru_cache(maxsize=16)  # each node of a process asks, and some are rounds ahead
def _degrees(topology: Same, number: int) -> dict[str, int]:
    """How many each node hears in a round, to be filled: only of those that somebody asked for."""
    del topology, number
    return {}


@dataclass(frozen=True)
class Uniform(Mixing):
    """The same weight for the node itself and each that it hears: 1 / (d + 1).

    For graphs, also directed ones, in which all nodes have the same degree: rings, tori, regular,
    exponential and complete graphs. On others columns of W do not add up to 1, and it is refused.
    """

    def weights(self, topology: Peers, name: str, round: int) -> dict[str, float]:  # noqa: A002
        """See `Mixing.weights`."""
        sources = topology.sources(name, round)
        return dict.fromkeys((name, *sources), 1.0 / (len(sources) + 1))

    def check(self, topology: Peers) -> None:
        """Refuse a graph with unequal degrees.

        Of one that changes without end 32 rounds are looked at, of a schedule all of its graphs.

        Raises:
            Misfit: with the first node whose column does not add up to 1.
        """
        if (found := drift_of(topology)) is not None:
            name, column, when = found
            instead = "Metropolis, or " if topology.symmetric else ""
            raise Misfit(
                f"on {_name(topology)} the Uniform weights that {name} has at itself and those who "
                f"hear it add up to {column:.3g}{when}, and not to 1, so the mean of all would "
                f"drift; use {instead}{_PUSHED}"
            )


def drift_of(topology: Peers) -> tuple[str, float, str] | None:
    """The first node whose weight in plain means of what comes does not add up to 1 over all.

    All graphs of a schedule are looked at; of a topology that goes on changing, 32 rounds.

    Returns:
        Its name, the sum, and when, as words for a sentence; None: the mean of all is kept.
    """
    for number in looked_at(topology):
        share = {name: 1.0 / (len(topology.sources(name, number)) + 1) for name in topology.names}
        for name in topology.names:
            column = share[name] + sum(share[to] for to in topology.targets(name, number))
            if abs(column - 1) > _ROUNDING:
                return name, column, "" if topology.fixed else f" in round {number}"
    return None


@dataclass(frozen=True)
class BestConstant(Mixing):
    """The same weight for all links, the one with which models become alike soonest.

    W = I - a L, a = 2 / (l_1 + l_(n-1)), of the greatest and the smallest eigenvalue but 0 of the
    Laplacian L (Xiao and Boyd, 2004, section 4.1). It is computed from the whole graph, which must
    be known to all, be fixed, connected, and have 2,048 nodes at most. A node with more than 1 / a
    neighbours has a negative weight of its own.
    """

    def weights(self, topology: Peers, name: str, round: int) -> dict[str, float]:  # noqa: A002
        """See `Mixing.weights`."""
        weight = _constant(Same(topology))
        sources = topology.sources(name, round)
        return {name: 1.0 - weight * len(sources), **dict.fromkeys(sources, weight)}

    def check(self, topology: Peers) -> None:
        """Refuse what has no such weight.

        Raises:
            Misfit: the graph is directed, changes, is in parts, or too large.
        """
        _constant(Same(topology))


@functools.lru_cache(maxsize=4)  # each node of a process asks in each round
def _constant(same: Same) -> float:
    import numpy as np

    from actorfl import spectrum

    topology = same.topology
    name = _name(topology)
    if not (topology.symmetric and topology.fixed):
        how = "change by round" if topology.symmetric else "go one way only"
        raise Misfit(f"BestConstant needs one undirected graph, and the links of {name} {how}")
    count = len(topology.names)
    if count > spectrum.DENSE_MAX:
        raise Misfit(
            f"BestConstant takes eigenvalues of the whole graph, of {spectrum.DENSE_MAX} nodes at "
            f"most, and {name} has {count}; use Metropolis"
        )
    if count == 1:
        return 0.0  # of no link
    found = np.linalg.eigvalsh(spectrum.laplacian(topology))
    if found[1] < _ROUNDING * found[-1]:
        raise Misfit(f"BestConstant needs a connected graph, and {name} is in parts")
    return float(f"{2.0 / (found[1] + found[-1]):.{_DIGITS}g}")


#: The mixings there are.
AnyMixing: TypeAlias = Metropolis | Uniform | BestConstant

#: What they are called on the command line.
MIXINGS: Final[Mapping[str, AnyMixing]] = {
    "metropolis": Metropolis(),
    "uniform": Uniform(),
    "best-constant": BestConstant(),
}


def mixing_of(word: str) -> AnyMixing:
    """The mixing that is called so.

    Raises:
        UnknownKey: none is.
    """
    found = MIXINGS.get(word)
    if found is None:
        raise UnknownKey("mixing", word, "was asked for", MIXINGS)
    return found


def _name(topology: Peers) -> str:
    return type(topology).__name__
