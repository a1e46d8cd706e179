"""Partitions of a plan on the simulated network: which may overlap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import combinations

from actors.faults.kinds import NO_MOMENTS, Partition
from actors.faults.moment import Moments
from actors.faults.span import span
from transports.sim import SimLoop, SimNetwork


class Islands:
    """Cuts and joins pairs of nodes as partitions begin and end.

    Args:
        partitions: of the plan.
        until: when all of them end, in seconds after the start, which is now.
        network: on which.
        loop: whose time it is.
        counts: how often a partition took effect, which takes two nodes apart.
        moments: tells of those that partitions wait for.
    """

    def __init__(  # noqa: PLR0917  (all of them are what it is made of)
        self,
        partitions: Sequence[Partition],
        until: float,
        network: SimNetwork,
        loop: SimLoop,
        counts: Counter[str],
        moments: Moments = NO_MOMENTS,
    ) -> None:
        self._network = network
        self._counts = counts
        self._names: dict[str, None] = {}
        self._cut: set[tuple[str, str]] = set()
        #: Those that hold, by their place, and which of them have taken two nodes apart.
        self._now: dict[int, Partition] = {}
        self._took: set[int] = set()
        for place, partition in enumerate(partitions):
            span(
                partition, until, moments, loop.call_later,
                partial(self._begin, place, partition), partial(self._end, place),
            )  # fmt: skip

    def there(self, name: str) -> None:
        """A node is there, again or for the first time."""
        if name not in self._names:
            others = tuple(self._names) if self._now else ()
            self._names[name] = None
            self._cut_and_join((other, name) for other in others)

    def _begin(self, place: int, partition: Partition) -> None:
        self._now[place] = partition
        self._cut_and_join(combinations(self._names, 2))

    def _end(self, place: int) -> None:
        del self._now[place]
        self._cut_and_join(combinations(self._names, 2))

    def _cut_and_join(self, pairs: Iterable[tuple[str, str]]) -> None:
        for a, b in pairs:
            between = {place for place, each in self._now.items() if each.parts(a, b)}
            if new := between - self._took:
                self._counts["partition"] += len(new)
                self._took |= new
            if between and (a, b) not in self._cut:
                self._cut.add((a, b))
                self._network.cut(a, b)
            elif not between and (a, b) in self._cut:
                self._cut.discard((a, b))
                self._network.uncut(a, b)
