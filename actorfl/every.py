"""When and where the model is evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from actorfl.errors import WrongValue
from actorfl.ranges import check_count


@dataclass(frozen=True)
class Every:
    """Evaluate after every so many rounds, and after the last.

    Args:
        every: rounds between two evaluations, at least 1.
        at: "central", on the task's ``test()``; "workers", on what ``validate`` holds back there;
            without it central where the task has a test set, else at the workers. Where parts of
            the model are local, or the algorithm trains personal models, workers evaluate what is
            theirs; with local parts there is no central evaluation.

    Raises:
        WrongType: `every` is no whole number.
        WrongValue: a number below 1, or a place that does not exist.
    """

    every: int = 1
    at: Literal["central", "workers"] | None = None

    def __post_init__(self) -> None:
        check_count(self, "every", 1)
        if self.at not in ("central", "workers", None):
            raise WrongValue("at of Every", '"central" or "workers"', self.at)
