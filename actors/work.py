"""Long computations: in a simulation they happen at once and take virtual time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Work(Protocol):
    """Carries out computations one at a time; injected by simulations only."""

    async def run(self, job: Callable[[], T]) -> T:
        """Compute, and return what the job returns, or raise what it raises."""
        ...

    def at_end(self, call: Callable[[], object]) -> None:
        """Have this called when the node is gone, however it ends."""
        ...
