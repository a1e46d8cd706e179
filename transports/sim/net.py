"""What a simulated link is like: how long a message takes from one node to another."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Net:
    """One direction between two nodes. The default takes no time at all.

    A message of n bytes leaves n / ``bandwidth`` after the one before it on its connection and
    arrives ``delay`` plus a part of ``jitter`` later, never before the one before it. Each
    connection has the bandwidth for itself, so the two lanes of a link do not slow each other.

    Attributes:
        delay: seconds on the way, one way; >= 0.
        jitter: seconds that may come on top, drawn uniformly for each message; >= 0.
        bandwidth: bytes per second of each connection; > 0.
    """

    delay: float = 0.0
    jitter: float = 0.0
    bandwidth: float = math.inf

    def __post_init__(self) -> None:
        times = 0 <= self.delay < math.inf and 0 <= self.jitter < math.inf
        if not times or not self.bandwidth > 0:
            raise ValueError(
                f"{self} cannot be: delay and jitter are seconds from 0, and bandwidth is bytes "
                "per second, above 0; cut() makes a link that carries nothing"
            )


Nets = Net | Callable[[str, str], Net]
"""One for all pairs of nodes, or a function of (from, to), called once for each connection."""
