"""Rules that switch policies, where a run can import them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from actorfl import ASP, BSP, SSP, Buffered, Switch, Sync
from actorfl.until import Progress


@dataclass(frozen=True)
class Calm(Switch):
    """Strict at first, free in the middle, strict again at the end."""

    first: int = 2
    last: int = 4

    def choose(self, progress: Progress, metrics: Mapping[str, float | None]) -> Sync:
        if progress.rounds < self.first:
            return BSP()
        return ASP() if progress.rounds < self.last else SSP(1)


@dataclass(frozen=True)
class Lost(Switch):
    """Chooses what cannot be switched to."""

    def choose(self, progress: Progress, metrics: Mapping[str, float | None]) -> Sync:
        return Buffered(2)


@dataclass(frozen=True)
class Hasty(Switch):
    """Looks for a metric that is not there, from the second round on."""

    def choose(self, progress: Progress, metrics: Mapping[str, float | None]) -> Sync:
        return SSP(1) if progress.rounds < 2 or metrics["no such"] else ASP()


@dataclass(frozen=True)
class Rounded(Switch):
    """Chooses what is for aggregators below a root."""

    def choose(self, progress: Progress, metrics: Mapping[str, float | None]) -> Sync:
        return BSP(rounds=3)
