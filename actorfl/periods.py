"""Runs whose nodes act once a period: how long they go on, and what of a run fits them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from actorfl import pairfit, stayfit
from actorfl.algorithms.gossip import Gossip
from actorfl.attendance import ROUNDING
from actorfl.defined import is_ours
from actorfl.errors import Misfit
from actorfl.local import SGD
from actorfl.pairing import PairAlgorithm
from actorfl.pairrounds import rounds_of
from actorfl.sync import Period
from actorfl.topology import Peers
from actorfl.until import Rounds, Until, ends_of, seconds_of

if TYPE_CHECKING:
    from actorfl.run import Run


def length_of(until: Until, seconds: float) -> float:
    """Seconds after which a run is over.

    Args:
        until: a number of periods (``Rounds``), a time, or the first of several.
        seconds: of a period.

    Raises:
        Misfit: it is an end of another kind.
    """
    found = []
    for end in ends_of(until):
        time = end.rounds * seconds if isinstance(end, Rounds) else seconds_of(end)
        if time is None:
            raise Misfit(
                f"{type(end).__name__} is no end of a run whose nodes have no round in common; use "
                "Rounds (periods), Seconds, Minutes or Hours"
            )
        found.append(time)
    return min(found)


def lines_of(run: Run) -> int:
    """The round of the last line of a finished run without a centre; 0 where nobody knows it."""
    if not isinstance(run.sync, Period):
        return rounds_of(run)
    periods = length_of(run.until, run.sync.seconds) / run.sync.seconds
    return int(periods / run.evaluate.every + ROUNDING) * run.evaluate.every


def _what(run: Run) -> str:
    return "Period" if isinstance(run.sync, Period) else type(run.algorithm).__name__


def _check_pair(run: Run, name: str) -> None:
    """Refuse an algorithm between neighbours that rounds are for, and what does not fit it."""
    algorithm = run.algorithm
    if not (isinstance(algorithm, PairAlgorithm) and algorithm.periods):
        own = isinstance(algorithm, PairAlgorithm) and not is_ours(type(algorithm))
        says = ", set `periods = True` in it if its equations hold there" if own else ""
        raise Misfit(
            f"{name} does not run under Period; use Gossip, StochasticGradientPush or "
            f"EpidemicLearning{says}, or BSP instead of Period"
        )
    if algorithm.order != "before":
        raise Misfit(
            f"under Period a node trains before it sends, and {name} trains {algorithm.order} it "
            "merges what came; use BSP"
        )
    pairfit.check(run)


def check_periods(run: Run) -> None:
    """Refuse a run under ``Period`` whose parts do not fit together.

    Raises:
        Misfit: with a sentence that says what to change.
    """
    name, topology = type(run.algorithm).__name__, type(run.topology).__name__
    if not isinstance(run.topology, Peers):
        raise Misfit(
            f"{_what(run)} is for nodes that talk to each other, and {topology} has a centre; "
            "use a graph such as RingGraph, or an algorithm with a centre such as FedAvg"
        )
    if not isinstance(run.sync, Period):
        raise Misfit(
            "the nodes of Gossip act once a period, each by its own clock, and "
            f"{type(run.sync).__name__} says no period; use sync=Period(seconds)"
        )
    _check_evaluated(run)
    if not isinstance(run.algorithm, Gossip):
        _check_pair(run, name)
        _check_stays(run)
        return
    if not isinstance(run.local, SGD):
        raise Misfit("the nodes of Gossip train by themselves; use local=SGD(...)")
    if run.has_local_parts or run.parts.has("mean"):
        raise Misfit("Gossip says itself what a node sends of its model; remove `parts`")
    if run.select is not None or run.compress is not None:
        what = "`compress`" if run.select is None else "`select`"
        raise Misfit(f"Gossip says itself who sends what; remove {what}")
    for key in ("record", "baselines", "combine"):
        if getattr(run, key):
            raise Misfit(f"`{key}` is for runs with a centre, and {topology} has none; remove it")
    _check_stays(run)


def _check_evaluated(run: Run) -> None:
    """Refuse a run that is over before anything of it is measured."""
    assert isinstance(run.sync, Period)
    if lines_of(run):
        return
    periods = int(length_of(run.until, run.sync.seconds) / run.sync.seconds + ROUNDING)
    if not periods:
        raise Misfit("the run is over before a period is; use a later `until`, or shorter periods")
    raise Misfit(
        f"`evaluate` is every {run.evaluate.every} periods, and the run is over after {periods}; "
        f"use Every({periods}) or less, or a later `until`"
    )


def _check_stays(run: Run) -> None:
    """Who joins or leaves does so by the clock: periods that are begun before the end."""
    assert isinstance(run.sync, Period)
    periods = length_of(run.until, run.sync.seconds) / run.sync.seconds
    stayfit.check_planned(run, math.ceil(periods * (1.0 - ROUNDING)) - 1)
