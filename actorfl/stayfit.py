"""What of who joins and leaves fits the rest of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actorfl.errors import Misfit, WrongType
from actorfl.rules import check_rules
from actorfl.stay import Stay, by_worker, changes, members
from actorfl.tree import Levelled
from actorfl.until import MOST, Clocks, Rounds, ends_of

if TYPE_CHECKING:
    from actorfl.run import Run


def check(run: Run) -> None:
    """Refuse who joins, leaves or may go for good where it does not fit the rest of a run.

    Raises:
        ConfigError: with a sentence that says what to change.
    """
    _check_rules(run)
    between = isinstance(run.topology, Levelled) and len(run.topology.levels) > 2
    for is_asked, what in (
        (bool(run.stays), "`stays` say who joins and leaves"),
        (run.supervision.exhausted == "leave", '`supervision.exhausted` is "leave"'),
    ):
        if is_asked and between:
            raise Misfit(
                f"{what}, and the aggregators of a Tree each count on their own workers to the "
                "end; remove it, or use Star"
            )
    if run.supervision.exhausted == "leave":
        _check_going(run)
    if not run.stays:
        return
    _check_join(run, _last_of(run))
    _check_somebody(run)


def check_planned(run: Run, last: int) -> None:
    """Refuse who joins or leaves a run in which nobody waits for anybody, where it cannot be.

    Args:
        run: without a centre, by the clock.
        last: its last clock, from 0.

    Raises:
        ConfigError: with a sentence that says what to change.
    """
    _check_rules(run)
    if run.stays:
        _check_join(run, last)
        _check_somebody(run)


def _check_rules(run: Run) -> None:
    for stay in run.stays:
        if not isinstance(stay, Stay):
            raise WrongType("one of `stays` of Run", "a Stay", stay)
    check_rules("`stays` speak", [stay.workers for stay in run.stays], run.topology.names)


def _check_somebody(run: Run) -> None:
    """Refuse a time in which nobody is there."""
    names = run.topology.names
    stays = by_worker(run.stays, names)
    for clock in changes(stays):
        if not members(stays, names, clock):
            raise Misfit(
                f"by `stays` no worker is of the run in clock {clock}; let one stay, or join "
                "before the last one leaves"
            )


def _check_going(run: Run) -> None:
    """Who may go for good at any time leaves a number of workers behind that nobody knows."""
    going = 'with `supervision.exhausted = "leave"` workers may be gone'
    if any(stay.leave is not None for stay in run.stays):
        raise Misfit(
            f"{going} when `stays` let the last ones leave, before others join; remove one of "
            "the two"
        )
    count = getattr(run.select, "count", None)
    if count is not None:
        raise Misfit(
            f"{going}, so there may be fewer than the {count} that {type(run.select).__name__} "
            "draws; give a fraction"
        )


def _last_of(run: Run) -> int:
    """The last clock of a run with a centre, from 0, where that is known."""
    ends = [
        end.number
        for end in ends_of(run.until)
        if isinstance(end, Clocks) or (isinstance(end, Rounds) and run.sync.barrier)
    ]
    return min(ends, default=MOST + 1) - 1


def _check_join(run: Run, last: int) -> None:
    """Refuse who joins when all is over: it would wait to the end for nothing."""
    for stay in run.stays:
        if stay.join > last:
            raise Misfit(
                f"by `stays` the workers {stay.workers!r} join in clock {stay.join}, and by "
                f"`until` the last clock is {last}, counted from 0; let them join earlier, or end "
                "the run later"
            )


def numbers(run: Run) -> list[int]:
    """How many workers are of the run at once: all numbers that occur."""
    names = run.topology.names
    stays = by_worker(run.stays, names)
    return [len(members(stays, names, clock)) for clock in changes(stays)]
