"""Who is of a run whose nodes act once a period, and from when to when."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Final

from actorfl.stay import Stay, by_worker

ROUNDING: Final = 1e-9
"""Of a division of seconds by seconds."""


@functools.lru_cache(maxsize=2)  # each node of a process asks, and they all have one run
def _by_node(stays: tuple[Stay, ...], names: tuple[str, ...]) -> Mapping[str, Stay]:
    return by_worker(stays, names)


class Attendance:
    """Says of a node whether it is of a run at a time; whoever has no stay always is.

    A clock of a ``Stay`` is a period of the run here: who joins with clock j does so j periods
    after the run began, and who leaves with clock l has gone after l periods.

    Args:
        stays: as the run has them.
        names: of all nodes.
        period: seconds of a period.
        length: seconds of the run.
    """

    def __init__(
        self, stays: Sequence[Stay], names: Sequence[str], period: float, length: float
    ) -> None:
        self._stays = _by_node(tuple(stays), tuple(names)) if stays else {}
        self._period = period
        self._length = length

    def __bool__(self) -> bool:
        """Whether anybody joins late or leaves early."""
        return bool(self._stays)

    def begin(self, name: str) -> float:
        """Seconds after the run began from which on a node is of it."""
        stay = self._stays.get(name)
        return 0.0 if stay is None else stay.join * self._period

    def end(self, name: str) -> float:
        """Seconds after the run began at which it is over for a node."""
        stay = self._stays.get(name)
        if stay is None or stay.leave is None:
            return self._length
        return min(self._length, stay.leave * self._period)

    def leaves(self, name: str) -> bool:
        """Whether it is over for a node before it is for others."""
        return self.end(name) < self._length * (1.0 - ROUNDING)

    def there(self, name: str, time: float) -> bool:
        """Whether a node is of the run at a time.

        Args:
            name: of the node.
            time: seconds since the run began.
        """
        stay = self._stays.get(name)
        if stay is None:
            return True
        return stay.join * self._period <= time and (
            stay.leave is None or time < stay.leave * self._period
        )

    def counts(self, name: str, periods: int) -> bool:
        """Whether a node is in what is measured after so many periods: it was there in the last."""
        stay = self._stays.get(name)
        return stay is None or stay.holds(max(0, periods - 1))

    def __repr__(self) -> str:
        return f"<Attendance {len(self._stays)} with a stay>"
