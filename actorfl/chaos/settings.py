"""The section ``[chaos]`` of a configuration."""

from __future__ import annotations

import math
from dataclasses import dataclass

from actorfl.errors import WrongValue

_MOST_PROCESSES = 64


@dataclass(frozen=True)
class Chaos:
    """How ``actorfl chaos`` plays a run; nothing of it changes what ``actorfl run`` does.

    Args:
        rounds: the run ends after so many at the latest: short runs, and many of them.
        processes: of workers, 1 to 64.
        seconds: virtual seconds within which faults begin; without it a little longer than the
            run takes undisturbed.

    Raises:
        WrongValue: a number out of range.
    """

    rounds: int = 5
    processes: int = 2
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise WrongValue("rounds of chaos", "at least 1", self.rounds)
        if not 1 <= self.processes <= _MOST_PROCESSES:
            raise WrongValue("processes of chaos", f"from 1 to {_MOST_PROCESSES}", self.processes)
        if self.seconds is not None and not 0 < self.seconds < math.inf:
            raise WrongValue("seconds of chaos", "finite and above 0", self.seconds)
