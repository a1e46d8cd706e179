"""What a graph is like: degrees, diameter, and how fast models become alike on it."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from actorfl import spectrum
from actorfl.errors import Misfit
from actorfl.mixing import Metropolis, Mixing, Uniform
from actorfl.peersampling.topologies import Sampled
from actorfl.spectrum import Slem
from actorfl.topology import Peers, Topology, check_own_wiring

#: From no link to all that there could be.
BLOCKS: Final = "·░▒▓█"
ASCII: Final = ".-+%#"
#: Rows and columns of the drawn matrix.
_WIDTH: Final = 40
#: By how much deviations are to shrink.
_FACTOR: Final = 1e6
#: Rounds that are looked at of a graph that changes.
_ROUNDS: Final = 16
#: Rounds, and links that are mixed over in all of them, until it is given up: some seconds.
_MOST: Final = 1000
_MIXED: Final = 2_000_000
#: Bytes of what nodes reach that are looked up at a time: what a processor's cache holds.
_GATHERED: Final = 2**19
#: Links over which is handed on until searches from each node take less time: some seconds; and as
#: how many a step counts, whatever there are.
_HANDED_ON: Final = 2**24
_LINKS_A_STEP: Final = 2**16
#: Searches from single nodes, where a graph is too large to search from each.
_SWEEPS: Final = 6


@dataclass(frozen=True)
class GraphReport:
    """What a graph is like.

    Attributes:
        topology: name of its class.
        names: of the nodes.
        links: in a round, one that goes both ways being one; where they change the mean of 16
            rounds.
        directed: whether a link may go one way only.
        fixed: whether it is the same in all rounds.
        degree: the smallest, the mean and the greatest number of those that a node sends to in a
            round.
        connected: whether each node is reached from each other one; where the graph changes, by
            the links of 16 rounds together.
        diameter: links on the longest of the shortest ways; None where it is in parts or changes.
        diameter_exact: False where it is a lower bound, of more than 2,048 nodes.
        mixing: name of the mixing.
        slem: the second largest eigenvalue modulus of its matrix; None where the graph changes.
        rounds: until deviations are smaller by 1e6; None if never, or not within what is measured.
        drawing: the adjacency matrix, lines of digits from 0 (no link) to 4 (all).
    """

    topology: str
    names: tuple[str, ...]
    links: float
    directed: bool
    fixed: bool
    degree: tuple[int, float, int]
    connected: bool
    diameter: int | None
    diameter_exact: bool
    mixing: str
    slem: Slem | None
    rounds: int | None
    drawing: tuple[str, ...]

    @property
    def nodes(self) -> int:
        """How many there are."""
        return len(self.names)

    def summary(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "topology": self.topology, "nodes": self.nodes, "links": self.links,
            "directed": self.directed, "fixed": self.fixed,
            "degree": dict(zip(("min", "mean", "max"), self.degree, strict=True)),
            "connected": self.connected,
            "diameter": self.diameter, "diameter_exact": self.diameter_exact,
            "mixing": self.mixing,
            "slem": None if self.slem is None else self.slem.value,
            "spectral_gap": None if self.slem is None else self.slem.gap,
            "slem_exact": None if self.slem is None else self.slem.exact,
            "rounds": self.rounds,
        }  # fmt: skip

    def lines(self, levels: str) -> Iterator[str]:
        """For people.

        Args:
            levels: five characters, from no link to all.
        """
        way = "directed links" if self.directed else "links"
        others = "" if self.fixed else " in a round, others in the next"
        yield f"{self.topology}, {self.nodes} nodes, {self.links:.6g} {way}{others}"
        low, mean, high = self.degree
        yield f"degree             {low} to {high}, mean {mean:.4g}"
        yield f"connected          {self._connected}"
        yield f"diameter           {self._diameter}"
        yield f"spectral gap       {self._gap}"
        yield f"rounds to 1e-6     {self._rounds}"
        yield ""
        named = self.names if len(self.names) == len(self.drawing) else ("",) * len(self.drawing)
        width = max(map(len, named))
        for name, row in zip(named, self.drawing, strict=True):
            yield f"  {name:<{width}} " + "".join(levels[int(digit)] for digit in row)

    @property
    def _connected(self) -> str:
        said = "yes" if self.connected else "no"
        return said if self.fixed else f"{said}, by the links of {_ROUNDS} rounds together"

    @property
    def _diameter(self) -> str:
        if self.diameter is None:
            return "none: it is in parts" if self.fixed else "none: it changes by round"
        return f"{self.diameter}" if self.diameter_exact else f"at least {self.diameter}"

    @property
    def _gap(self) -> str:
        if self.slem is None:
            return f"none: it changes by round ({self.mixing})"
        least = "" if self.slem.exact else "at most "
        return (
            f"{least}{self.slem.gap:.6g}, second eigenvalue {self.slem.value:.6f} ({self.mixing})"
        )

    @property
    def _rounds(self) -> str:
        if self.rounds is None:
            return "never" if self.fixed else "more than could be measured"
        if self.slem is None:
            return f"{self.rounds}, measured"
        return f"{self.rounds}" if self.slem.exact else f"at least {self.rounds}"


def check_kind(kind: type[Topology]) -> None:
    """Refuse topologies that are no graphs.

    Raises:
        Misfit: it has a centre, or its nodes meet as it happens.
    """
    if issubclass(kind, Sampled):
        raise Misfit(
            f"in {kind.__name__} nodes meet as it happens, so there is no graph before it runs; "
            "see docs/peer-sampling.md for what its views are like"
        )
    if not issubclass(kind, Peers):
        raise Misfit(
            f"{kind.__name__} has a centre, and what is shown here is how nodes without one mix"
        )


def report_on(topology: Topology, mixing: Mixing | None = None) -> GraphReport:
    """Look at a graph.

    Args:
        topology: a graph of nodes without a centre.
        mixing: with which models become alike; without it Metropolis-Hastings, or uniform weights
            where links go one way only.

    Raises:
        Misfit: the topology has a centre, or is no graph, or the mixing does not go with it.
    """
    name = type(topology).__name__
    check_kind(type(topology))
    assert isinstance(topology, Peers)
    check_own_wiring(topology)
    used = mixing or (Metropolis() if topology.symmetric else Uniform())
    used.check(topology)
    fixed, count = topology.fixed, len(topology.names)
    rounds = [_targets(topology, number) for number in range(1 if fixed else _ROUNDS)]
    degrees = [len(targets) for each in rounds for targets in each]
    together = rounds[0] if fixed else _together(rounds)
    found = _eccentricity(together, 0)
    connected = found is not None and _eccentricity(_reversed(together), 0) is not None
    exact = count <= spectrum.DENSE_MAX
    diameter = None
    if fixed and connected:
        diameter = _diameter(together) if exact else _least_diameter(together)
    sent = statistics.fmean(sum(map(len, each)) for each in rounds)
    links = sent / 2 if topology.symmetric else sent
    slem = spectrum.slem(topology, used) if fixed else None
    if slem is not None:
        until = slem.rounds(_FACTOR) if connected else None
    else:
        most = max(1, min(_MOST, int(_MIXED // (sent + count))))
        until = spectrum.measured(topology, used, factor=_FACTOR, most=most)
    return GraphReport(
        name, topology.names, links, not topology.symmetric, fixed,
        (min(degrees), statistics.fmean(degrees), max(degrees)),
        connected, diameter, exact, type(used).__name__, slem, until, _drawing(rounds[0]),
    )  # fmt: skip


_Targets = Sequence[Sequence[int]]


def _targets(topology: Peers, number: int) -> _Targets:
    names = topology.names
    places = {name: place for place, name in enumerate(names)}
    return [[places[other] for other in topology.targets(name, number)] for name in names]


def _together(rounds: Sequence[_Targets]) -> _Targets:
    return [sorted(set().union(*each)) for each in zip(*rounds, strict=True)]


def _reversed(targets: _Targets) -> _Targets:
    found: list[list[int]] = [[] for _ in targets]
    for place, others in enumerate(targets):
        for other in others:
            found[other].append(place)
    return found


def _eccentricity(targets: _Targets, place: int) -> tuple[int, int] | None:
    """How far the furthest node is, and which; None where one is not reached."""
    far = [-1] * len(targets)
    far[place], reached = 0, [place]
    for each in reached:
        onward = far[each] + 1
        for to in targets[each]:
            if far[to] < 0:
                far[to] = onward
                reached.append(to)
    last = reached[-1]
    return (far[last], last) if len(reached) == len(targets) else None


def _diameter(targets: _Targets) -> int:
    """Of a connected graph: how often who is reached must be handed on until all are.

    Where that goes on for long, as on a path, a search from each node takes less time.
    """
    count = len(targets)
    reached = np.packbits(np.eye(count, dtype=bool), axis=1)
    everyone = np.packbits(np.ones(count, dtype=bool))
    starts = np.cumsum([0, *(len(each) + 1 for each in targets)])
    onward = np.array([to for place, each in enumerate(targets) for to in (place, *each)])
    cuts = [0]
    while cuts[-1] < count:
        most = starts[cuts[-1]] + _GATHERED // reached.shape[1]
        cuts.append(max(cuts[-1] + 1, int(np.searchsorted(starts, most, side="right")) - 1))
    steps = 0
    while not (reached == everyone).all():
        if steps * (len(onward) + _LINKS_A_STEP) > _HANDED_ON:
            return _furthest(targets)
        reached = np.concatenate([
            np.bitwise_or.reduceat(
                reached[onward[starts[one] : starts[other]]], starts[one:other] - starts[one]
            )
            for one, other in itertools.pairwise(cuts)
        ])  # fmt: skip
        steps += 1
    return steps


def _furthest(targets: _Targets) -> int:
    """The diameter of a connected graph by searches that look at each node once, not each link."""
    beside = [sum(1 << to for to in set(each)) for each in targets]
    best = 0
    for start in range(len(targets)):
        left, at, far = (1 << len(targets)) - 1, 1 << start, -1
        while at:
            left &= ~at
            onward, far = 0, far + 1
            while at:
                lowest = at & -at
                onward |= beside[lowest.bit_length() - 1]
                at ^= lowest
            at = onward & left
        best = max(best, far)
    return best


def _least_diameter(targets: _Targets) -> int:
    """The greatest distance that some searches find, each from the furthest node of the last."""
    best, place = 0, 0
    for _ in range(_SWEEPS):
        found = _eccentricity(targets, place)
        assert found is not None, "connected"
        best, place = max(best, found[0]), found[1]
    return best


def _drawing(targets: _Targets) -> tuple[str, ...]:
    """The adjacency matrix; where there are many nodes, how many links of a block there are."""
    count = len(targets)
    side = min(count, _WIDTH)
    block = np.arange(count) * side // count
    links, size = np.zeros((side, side)), np.bincount(block).astype(float)
    for place, others in enumerate(targets):
        np.add.at(links[block[place]], block[np.array(others, np.int64)], 1)
    share = links / np.outer(size, size)
    top = float(share.max()) or 1.0
    return tuple("".join(str(int(np.ceil(each / top * 4))) for each in row) for row in share)
