"""The nodes of a simulated run: which class each belongs to, and what it has drawn."""

from __future__ import annotations

from dataclasses import dataclass

from actorfl.errors import Misfit
from actorfl.simulate.settings import CENTRAL, LOCAL, Central, NodeClass, Quantiles, Simulate
from actors.quantiles import quantile
from transports import SeededRng
from transports.sim import Net

# Shares are written with a few digits: a third is 0.333.
_NEAR = 0.01


@dataclass(frozen=True)
class Node:
    """One node, with what holds for it.

    Attributes:
        kind: name of its class.
        latency, jitter: seconds.
        bandwidth: bytes per second.
        fit: virtual seconds of a fit, whatever its size.
        per_example: virtual seconds of a fit for each example.
        other: virtual seconds of a job that is no fit.
    """

    kind: str
    latency: float
    jitter: float
    bandwidth: float
    fit: float = 0.0
    per_example: float = 0.0
    other: float = 0.0

    def seconds(self, examples: float | None) -> float:
        """Virtual seconds of a job."""
        return self.other if examples is None else self.fit + self.per_example * examples


class Fleet:
    """All nodes by name; worker i is alone on the node ``p<i>``, every other name is central.

    Pure: which node is of which class, and what it draws, depend on the settings alone.

    Args:
        settings: of the simulation.
        nodes: of workers.

    Raises:
        Misfit: the classes do not add up to that many.
    """

    def __init__(self, settings: Simulate, nodes: int) -> None:
        self.counts = counted(settings.classes, nodes)
        rng = SeededRng(settings.seed).derive("nodes of classes")
        kinds = [each for each in settings.classes for _ in range(self.counts[each.name])]
        # In an order of their own: the place in the roster decides about a worker's data.
        for last in range(nodes - 1, 0, -1):
            other = int(rng.uniform(0.0, 1.0) * (last + 1))
            kinds[last], kinds[other] = kinds[other], kinds[last]
        self._central = _central(settings.central, rng)
        self._nodes = {
            f"p{number}": _worker(kind, rng.derive("node", number))
            for number, kind in enumerate(kinds)
        }

    def of(self, name: str) -> Node:
        """The node of that name."""
        return self._nodes.get(name, self._central)

    def net(self, source: str, target: str) -> Net:
        """What the way from one node to another is like; for ``Simulated(net=…)``."""
        a, b = self.of(source), self.of(target)
        return Net(a.latency + b.latency, a.jitter + b.jitter, min(a.bandwidth, b.bandwidth))

    def compute(self, name: str, examples: float | None) -> float:
        """Virtual seconds of a job on a node; for ``Simulated(compute=…)``."""
        return self.of(name).seconds(examples)

    def link(self, source: str, target: str) -> str:
        """Name of the class of the link from one node to another: ``"phone to central"``."""
        if source == target:
            return LOCAL
        return f"{self.of(source).kind} to {self.of(target).kind}"

    def __repr__(self) -> str:
        return f"<Fleet {self.counts}>"


def counted(classes: tuple[NodeClass, ...], nodes: int) -> dict[str, int]:
    """How many nodes each class has.

    Shares are rounded by the largest remainder, the first class first among equals.

    Raises:
        Misfit: they do not add up, or some class says nothing.
    """
    if len(classes) == 1 and classes[0].share is None and classes[0].count is None:
        return {classes[0].name: nodes}
    counts = {each.name: each.count for each in classes if each.count is not None}
    if len(counts) == len(classes):
        total = sum(counts.values())
        if total != nodes:
            raise Misfit(
                f"the classes of simulate have {total} nodes, and {nodes} are simulated; give "
                f"--nodes {total}, or shares instead of counts"
            )
        return counts
    shares = {each.name: each.share for each in classes if each.share is not None}
    if len(shares) < len(classes):
        names = [each.name for each in classes if each.share is None]
        raise Misfit(
            f"class {names[0]!r} of simulate has no share; give each class a share, or each a count"
        )
    whole = sum(shares.values())
    if abs(whole - 1) > _NEAR:
        raise Misfit(f"the shares of the classes of simulate add up to {whole:g}, not to 1")
    exact = {name: share / whole * nodes for name, share in shares.items()}
    found = {name: int(value) for name, value in exact.items()}
    left = nodes - sum(found.values())
    for name in sorted(exact, key=lambda each: found[each] - exact[each])[:left]:
        found[name] += 1
    return found


def _central(settings: Central, rng: SeededRng) -> Node:
    mine = rng.derive("central")
    return Node(
        CENTRAL,
        _drawn(settings.latency, mine, "latency"),
        _drawn(settings.jitter, mine, "jitter"),
        _drawn(settings.bandwidth, mine, "bandwidth"),
        other=settings.evaluation,
    )


def _worker(kind: NodeClass, rng: SeededRng) -> Node:
    return Node(
        kind.name,
        _drawn(kind.latency, rng, "latency"),
        _drawn(kind.jitter, rng, "jitter"),
        _drawn(kind.bandwidth, rng, "bandwidth"),
        _drawn(kind.fit, rng, "compute"),
        _drawn(kind.per_example or 0.0, rng, "per_example"),
    )


def _drawn(value: Quantiles, rng: SeededRng, name: str) -> float:
    if not isinstance(value, tuple):
        return float(value)
    # Each by itself: another table changes no draw of the others.
    return quantile(value, rng.derive(name).uniform(0.0, 1.0))
