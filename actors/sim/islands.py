"""Partitions of a plan on the simulated network: which may overlap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

from actors.faults.kinds import Partition
from transports.sim import SimLoop, SimNetwork


class Islands:
    """Cuts and joins pairs of nodes as partitions begin and end.

    Args:
        partitions: of the plan.
        until: when all of them end, in seconds after the start, which is now.
        network: on which.
        loop: whose time it is.
        counts: how often a partition took effect, which takes two nodes apart.
    """

    def __init__(
        self,
        partitions: Sequence[Partition],
        until: float,
        network: SimNetwork,
        loop: SimLoop,
        counts: Counter[str],
    ) -> None:
        self._network = network
        self._counts = counts
        self._names: dict[str, None] = {}
        self._cut: set[tuple[str, str]] = set()
        self._now: list[Partition] = []
        for partition in partitions:
            end = until if partition.before is None else min(partition.before, until)
            if partition.after < end:
                loop.call_later(partition.after, self._begin, partition)
                loop.call_later(end, self._end, partition)

    def there(self, name: str) -> None:
        """A node is there, again or for the first time."""
        if name not in self._names:
            self._names[name] = None
            if self._now:
                self._cut_and_join()

    def _begin(self, partition: Partition) -> None:
        self._now.append(partition)
        self._counts["partition"] += len({partition.side(name) for name in self._names}) > 1
        self._cut_and_join()

    def _end(self, partition: Partition) -> None:
        self._now.remove(partition)
        self._cut_and_join()

    def _cut_and_join(self) -> None:
        for a, b in combinations(self._names, 2):
            apart = any(each.side(a) != each.side(b) for each in self._now)
            if apart and (a, b) not in self._cut:
                self._cut.add((a, b))
                self._network.cut(a, b)
            elif not apart and (a, b) in self._cut:
                self._cut.discard((a, b))
                self._network.uncut(a, b)
