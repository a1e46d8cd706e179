"""The section ``[simulate]`` of a configuration."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

from actorfl.errors import WrongValue
from transports.limits import Limits

Quantiles: TypeAlias = float | tuple[float, ...]
"""One number for all nodes of a class, or a table of quantiles from the smallest to the largest at
equal steps, linear in between, from which each node draws its own."""

CENTRAL: Final = "central"
LOCAL: Final = "within a node"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# Distributions that are measured have tens of quantiles; a file of more is something else.
_MOST_QUANTILES = 1001
_MOST_CLASSES = 64
_SEED_MAX = 2**63 - 1
#: Seconds of a fit where nothing is said, as ``Simulated(compute=…)`` has it.
_FIT = 0.1


#: Seconds within which a node must be answered by its launcher to come up at all.
_HELLO = Limits().hello_timeout


def check(name: str, value: Quantiles, *, above: bool = False) -> None:
    """Refuse what is no number, and no table of numbers, of that kind.

    Args:
        name: of the setting.
        value: what it was given.
        above: whether 0 is refused, too.

    Raises:
        WrongValue: it is out of range, or the table is not one of quantiles.
    """
    table = value if isinstance(value, tuple) else (value,)
    need = "finite and above 0" if above else "finite and at least 0"
    for number in table:
        if not (number > 0 if above else number >= 0) or math.isinf(number):
            raise WrongValue(name, need, number)
    if isinstance(value, tuple):
        if not 2 <= len(value) <= _MOST_QUANTILES:
            counts = f"from 2 to {_MOST_QUANTILES} quantiles, or one number without a list"
            raise WrongValue(name, counts, value)
        if any(b < a for a, b in pairwise(value)):
            raise WrongValue(f"{name}, a table of quantiles,", "in ascending order", value)


@dataclass(frozen=True)
class Link:
    """What a node's way to all others is like.

    Args:
        latency: seconds on the way, one way; >= 0.
        jitter: seconds that may come on top, drawn uniformly for each message; >= 0.
        bandwidth: bytes per second of each connection; > 0.

    Raises:
        WrongValue: a number out of range, or a table that is none.
    """

    latency: Quantiles = 2e-4
    jitter: Quantiles = 1e-3
    bandwidth: Quantiles = 1.25e8

    def __post_init__(self) -> None:
        for name in ("latency", "jitter"):
            check(name, getattr(self, name))
        check("bandwidth", self.bandwidth, above=True)


@dataclass(frozen=True)
class Central(Link):
    """The nodes in the middle: launcher, aggregators, shards and evaluator.

    Args:
        latency, jitter, bandwidth: as those of ``Link``; they add to those of the node at the other
            end, the smaller bandwidth counts.
        evaluation: virtual seconds that an evaluation takes, >= 0.
    """

    evaluation: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check("evaluation", self.evaluation)


@dataclass(frozen=True)
class NodeClass(Link):
    """Worker nodes that are alike.

    Args:
        latency, jitter, bandwidth: as those of ``Link``.
        name: of the class.
        share: of all worker nodes, above 0, up to 1; the shares of all classes add up to 1.
        count: instead of a share, how many; the counts of all classes add up to all nodes.
        compute: virtual seconds that a fit takes, whatever its size; 0.1 where nothing is said of
            a fit's time.
        per_example: virtual seconds that a fit takes for each example that it goes through, as
            often as it does; on top of ``compute``.

    Raises:
        WrongValue: a number out of range, or a table that is none.
    """

    name: str = "node"
    share: float | None = None
    count: int | None = None
    compute: Quantiles | None = None
    per_example: Quantiles | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _NAME.fullmatch(self.name) or self.name in {CENTRAL, LOCAL}:
            need = f"letters, digits, `.`, `_` and `-`, 64 at most, and not {CENTRAL!r}"
            raise WrongValue("name of a class of nodes", need, self.name)
        if self.share is not None and not 0 < self.share <= 1:
            raise WrongValue("share", "above 0 and at most 1", self.share)
        if self.count is not None and self.count < 1:
            raise WrongValue("count", "at least 1", self.count)
        if self.share is not None and self.count is not None:
            raise WrongValue(f"class {self.name!r}", "given a share or a count, not both", "both")
        for name in ("compute", "per_example"):
            value = getattr(self, name)
            if value is not None:
                check(name, value)

    @property
    def fit(self) -> Quantiles:
        """Virtual seconds of a fit, whatever its size."""
        if self.compute is not None:
            return self.compute
        return _FIT if self.per_example is None else 0.0


@dataclass(frozen=True)
class Simulate:
    """How ``actorfl simulate`` runs a configuration; nothing of it changes ``actorfl run``.

    Args:
        nodes: of workers, one worker on each; without it as many as the topology has workers.
        seed: of delays, of what nodes draw from tables and of the order in which they take turns;
            0 to 2^63 - 1. The learning has its own.
        accuracy: target of which the time is told, above 0, up to 1.
        start: virtual seconds that a node takes to come up, >= 0.
        memo: whether a fit whose inputs were seen before is not computed again.
        central: the nodes in the middle.
        classes: of worker nodes; one of them all where not given.

    Raises:
        WrongValue: a number out of range, or two classes of one name, or latencies with which no
            node of a class could come up.
    """

    nodes: int | None = None
    seed: int = 0
    accuracy: float | None = None
    start: float = 0.5
    memo: bool = False
    central: Central = Central()
    classes: tuple[NodeClass, ...] = (NodeClass(),)

    def __post_init__(self) -> None:
        if not 0 <= self.seed <= _SEED_MAX:
            raise WrongValue("seed of simulate", "from 0 to 2^63 - 1", self.seed)
        if self.nodes is not None and self.nodes < 1:
            raise WrongValue("nodes of simulate", "at least 1", self.nodes)
        if self.accuracy is not None and not 0 < self.accuracy <= 1:
            raise WrongValue("accuracy of simulate", "above 0 and at most 1", self.accuracy)
        check("start", self.start)
        if not 1 <= len(self.classes) <= _MOST_CLASSES:
            need = f"from 1 to {_MOST_CLASSES} tables"
            raise WrongValue("classes of simulate", need, len(self.classes))
        for each in self.classes:
            way = 2 * (_least(each.latency) + _least(self.central.latency))
            if way >= _HELLO:
                raise WrongValue(
                    f"latency of class {each.name!r}",
                    f"in seconds, and so small that an answer takes less than {_HELLO:g} s, or no "
                    "node could come up",
                    each.latency,
                )
        names = [each.name for each in self.classes]
        if len(set(names)) < len(names):
            raise WrongValue("names of the classes of simulate", "distinct", names)


def _least(value: Quantiles) -> float:
    return value[0] if isinstance(value, tuple) else value
