"""How a node merges a model that it receives into its own, by their ages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from actorfl.ranges import check_number


@dataclass(frozen=True)
class ByAge:
    """The mean, weighted by age: whoever has learned from more examples counts for more.

    Hegedűs, Danner and Jelasity, "Decentralized learning works: An empirical comparison of gossip
    learning and federated learning" (JPDC 148, 2021): with ages t_k and t_r the received model has
    the weight a = t_r / (t_k + t_r), and the age is the larger of the two. Two of age 0 are left as
    they are; one of age 0 takes the other as it is.

    Args:
        limit: ages, >= 0, that may lie between two models which are averaged; beyond it the older
            one is kept (limited merge, Danner et al. 2023). 0 averages equals alone; None has no
            limit.

    Raises:
        WrongType: it is no number.
        WrongValue: it is below 0.
    """

    limit: float | None = None

    def __post_init__(self) -> None:
        if self.limit is not None:
            check_number(self, "limit", "finite and at least 0", lambda x: x >= 0)

    def weight(self, mine: float, theirs: float) -> float:
        """The weight of the received model, from 0 to 1.

        Args:
            mine: own age, >= 0.
            theirs: age of the received one, >= 0.
        """
        if mine + theirs == 0.0:
            return 0.0
        if self.limit is not None and abs(mine - theirs) > self.limit:
            return float(theirs > mine)
        return theirs / (mine + theirs)

    def age(self, mine: float, theirs: float) -> float:
        """The age of what was merged."""
        return max(mine, theirs)


@dataclass(frozen=True)
class Overwrite:
    """The received model takes the place of the own one: models walk at random (Ormándi 2013)."""

    def weight(self, mine: float, theirs: float) -> float:
        """All of it is the received one."""
        del mine, theirs
        return 1.0

    def age(self, mine: float, theirs: float) -> float:
        """That of the received one, which may be younger."""
        del mine
        return theirs


Merge: TypeAlias = ByAge | Overwrite
