"""From when to when a worker is of a run: those that join it late, and those that leave it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from actorfl.errors import WrongType, WrongValue
from actorfl.ranges import check_count
from actorfl.until import MOST


@dataclass(frozen=True)
class Stay:
    """Workers that are of the run from a clock on, or up to one, or both.

    Who joins starts at the clock of the slowest, once that has come to ``join``; who leaves has
    computed ``leave - 1`` as its last clock, and nobody waits for it any more. Under a policy with
    a barrier a clock is a round, so both follow from the configuration alone. Where nodes without a
    centre act by the clock (``Period``), it is a period since the run began: who joins does so
    after ``join`` of them with the initial model, and who leaves is silent after ``leave``.

    Args:
        workers: a name or a pattern such as ``late*`` (``*``, ``?``, ``[...]``).
        join: the first clock, from 0.
        leave: the clock after the last one, above ``join``; None: it stays to the end.

    Raises:
        WrongType: a value has another type.
        WrongValue: a value is out of range.
    """

    workers: str
    join: int = 0
    leave: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.workers, str):
            raise WrongType("`workers` of Stay", "a name or a pattern", self.workers)
        check_count(self, "join", 0, MOST)
        if self.leave is not None:
            check_count(self, "leave", self.join + 1, MOST)
        if self.join == 0 and self.leave is None:
            raise WrongValue("what Stay says", "when workers join, or leave, or both", "neither")

    def holds(self, clock: int) -> bool:
        """Whether a clock is in it."""
        return self.join <= clock and not self.over(clock)

    def over(self, clock: int) -> bool:
        """Whether it was over before a clock."""
        return self.leave is not None and clock >= self.leave


def by_worker(stays: Sequence[Stay], roster: Iterable[str]) -> dict[str, Stay]:
    """What holds for each worker that one of them speaks of: the first whose pattern fits."""
    found: dict[str, Stay] = {}
    if stays:
        for name in roster:
            stay = next((one for one in stays if fnmatchcase(name, one.workers)), None)
            if stay is not None:
                found[name] = stay
    return found


def members(stays: Mapping[str, Stay], roster: Sequence[str], clock: int) -> tuple[str, ...]:
    """Who of the roster is of the run in a clock, in its order.

    Args:
        stays: by worker; whoever has none is always.
        roster: all workers.
        clock: from 0.
    """
    if not stays:
        return tuple(roster)
    return tuple(name for name in roster if name not in stays or stays[name].holds(clock))


def changes(stays: Mapping[str, Stay]) -> list[int]:
    """The clocks at which somebody joins or has left, and 0, in order."""
    found = {0}
    for stay in stays.values():
        found.add(stay.join)
        if stay.leave is not None:
            found.add(stay.leave)
    return sorted(found)
