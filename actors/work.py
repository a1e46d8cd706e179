"""Long computations: in a simulation they happen at once and take virtual time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Work(Protocol):
    """Carries out computations one at a time; injected by simulations only."""

    async def run(self, job: Callable[[], T], size: float | None = None) -> T:
        """Compute, and return what the job returns, or raise what it raises.

        Args:
            job: what is computed.
            size: how much work it is, in units that whoever says how fast a node computes knows;
                None for a job of which that is not known.
        """
        ...

    def takes(self, size: float | None = None) -> float:
        """Seconds that a job of a size would take now; another one of drawn times is drawn."""
        ...

    def at_end(self, call: Callable[[], object]) -> None:
        """Have this called when the node is gone, however it ends."""
        ...
