"""Jobs whose times are drawn, for simulations of stragglers that are now this node and now that."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from actors.errors import UsageError
from actors.quantities import is_finite
from transports import Rng


@dataclass(frozen=True)
class Exponential:
    """Each job takes a time of its own, exponentially distributed; for ``Simulated(compute=…)``.

    The time is drawn from the simulation's seed, the node, its generation and how many jobs it had,
    so the same seed gives the same times. The distribution has no memory: whoever has computed for
    long may take as long again, so each node is the straggler now and then.

    Args:
        mean: virtual seconds, finite and > 0.

    Raises:
        UsageError: mean is out of range.
    """

    mean: float = 1.0

    def __post_init__(self) -> None:
        if not is_finite(self.mean) or self.mean <= 0:
            raise UsageError(f"Exponential({self.mean!r}) is no mean; give seconds, above 0")

    def drawn(self, rng: Rng) -> Callable[[float | None], float]:
        """The times of one node's jobs, whatever their sizes, one after the other."""
        return lambda _: -self.mean * math.log1p(-rng.uniform(0.0, 1.0 - 2.0**-53))
