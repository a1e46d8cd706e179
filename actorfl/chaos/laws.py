"""What must hold of a run whatever goes wrong, as pure functions of what was seen of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from actorfl.stay import Stay
from actorfl.witness import Act

DETECTION = 10.0
"""Virtual seconds after which whatever a fault did has been noticed: the longest wait between two
attempts to connect, a second for a message that was held back, a retry."""


@dataclass(frozen=True)
class Seen:
    """What was seen of one run.

    Attributes:
        sha256: of the final model.
        rounds: clocks that were closed.
        roster: whose parts it merges.
        restarts: of actors and processes, as the run counts them.
        acts: of its aggregator, in all its incarnations, in order.
        selected: who was to compute each clock; empty where everybody was.
        stays: from when to when a worker was of the run, by name; whoever has none always was.
    """

    sha256: str
    rounds: int
    roster: tuple[str, ...]
    restarts: int
    acts: tuple[Act, ...]
    selected: tuple[frozenset[str], ...] = ()
    stays: Mapping[str, Stay] = field(default_factory=dict)


def each_part_is_merged_once(
    acts: Sequence[Act],
    roster: Iterable[str],
    rounds: int,
    selected: Sequence[Collection[str]] = (),
) -> str | None:
    """BSP: every (worker, clock) is in the model exactly once.

    In what each incarnation of the aggregator does: a part is merged into the clock that is open,
    no part twice since it was opened, and a clock closes with the parts of all who are selected for
    it. Over all of them: each clock is closed, and none again after the next one was made durable.

    Args:
        acts: of the aggregator, in all its incarnations, in order.
        roster: all workers.
        rounds: clocks that are said to be closed.
        selected: who was to compute each clock; empty where all workers were.
    """
    everybody = tuple(roster)

    def whole(act: Act) -> str | None:
        expected = tuple(sorted(selected[act.clock] if selected else everybody))
        return None if act.workers == expected else _closed_with(act)

    return _clocks_are_closed(acts, rounds, whole)


def each_part_is_merged_at_most_once(
    acts: Sequence[Act],
    roster: Iterable[str],
    rounds: int,
    needed: int,
    selected: Sequence[Collection[str]] = (),
) -> str | None:
    """Quorum: a clock closes with enough parts of its own, each of them once.

    Args:
        acts: of the aggregator, in all its incarnations, in order.
        roster: all workers.
        rounds: clocks that are said to be closed.
        needed: workers without whom no clock closes, whatever the time.
        selected: who was to compute each clock; empty where all workers were.
    """
    everybody = set(roster)

    def enough(act: Act) -> str | None:
        if not set(act.workers) <= (set(selected[act.clock]) if selected else everybody):
            return _closed_with(act)
        if len(act.workers) < needed:
            return f"clock {act.clock} was closed with {len(act.workers)} of {needed} needed parts"
        return None

    return _clocks_are_closed(acts, rounds, enough)


def _clocks_are_closed(
    acts: Sequence[Act], rounds: int, check: Callable[[Act], str | None]
) -> str | None:
    """Parts are merged once, into the clock that is open, and each clock is closed with them.

    Args:
        acts: of the aggregator, in all its incarnations, in order.
        rounds: clocks that are said to be closed.
        check: what is wrong with those in a clock that is closed.
    """
    merged: dict[int, set[str]] = {}
    opened: dict[int, int] = {}
    closed: set[int] = set()
    durable = -1
    for act in acts:
        if act.kind == "opened":
            opened[act.by], merged[act.by] = act.clock, set()
            if act.clock < durable:
                return f"clock {act.clock} was opened after clock {durable} was made durable"
        elif act.kind == "merged":
            if opened.get(act.by) != act.clock:
                return f"{act.worker} was merged into clock {act.clock}, which was not open"
            if act.worker in merged[act.by]:
                return f"{act.worker} was merged twice into clock {act.clock}"
            merged[act.by].add(act.worker)
        elif act.kind == "closed":
            if set(act.workers) != merged.get(act.by, set()):
                return _closed_with(act)
            if (wrong := check(act)) is not None:
                return wrong
            if act.clock < durable:
                return f"clock {act.clock} was closed after clock {durable} was made durable"
            closed.add(act.clock)
        elif act.kind == "saved":
            durable = max(durable, act.clock)
    missing = sorted(set(range(rounds)) - closed)
    if missing:
        return f"clock {missing[0]} was never closed, and {rounds} are said to be"
    return None


def _closed_with(act: Act) -> str:
    return f"clock {act.clock} was closed with {', '.join(act.workers) or 'nobody'}"


def each_clock_follows_the_last(
    acts: Sequence[Act], roster: Iterable[str], stays: Mapping[str, Stay] | None = None
) -> str | None:
    """Without a barrier: a worker's clocks are durable in order, each of them once.

    What is added is of a clock that is not durable yet, and no later than the next one. An
    aggregator that was restarted knows of every clock that was acknowledged. Whoever joins begins
    with a clock of its own choice, from that on which its stay begins; nobody computes one after
    that with which it ends.

    Args:
        acts: of the aggregator, in all its incarnations, in order.
        roster: all workers.
        stays: from when to when a worker is of the run, by name.
    """
    stays = stays or {}
    durable: dict[str, int] = dict.fromkeys(roster, 0)
    for act in acts:
        known = durable.get(act.worker, 0)
        if (stay := stays.get(act.worker)) is not None and act.kind in {"merged", "ends"}:
            if not stay.holds(act.clock):
                return f"clock {act.clock} of {act.worker} was merged, which is not in its stay"
            if known < stay.join:
                known = act.clock  # it has joined
        if act.kind == "merged" and act.clock != known:
            return f"clock {act.clock} of {act.worker} was merged, and its next is {known}"
        if act.kind == "ends":
            if act.clock != known:
                return f"clock {act.clock} of {act.worker} ended, and its next was {known}"
            durable[act.worker] = act.clock + 1
        elif act.kind == "restored":
            if act.clock < known:
                return (
                    f"a restarted aggregator takes clock {act.clock} of {act.worker} for its next, "
                    f"and {known} had ended"
                )
            durable[act.worker] = act.clock
    return None


def steps(acts: Iterable[Act]) -> list[tuple[Literal["starts", "ends", "waits"], str, int]]:
    """What the laws of SSP and ASP look at, in the order of the aggregator."""
    found: list[tuple[Literal["starts", "ends", "waits"], str, int]] = []
    for act in acts:
        if act.kind in {"starts", "waits", "ends"}:
            found.append((act.kind, act.worker, act.clock))
        elif act.kind == "restored" and act.clock:
            found.append(("ends", act.worker, act.clock - 1))
    return found


def nothing_is_merged_after_its_fence(acts: Sequence[Act]) -> str | None:
    """What an incarnation sent is merged by nobody who has heard of a later one.

    In each aggregator's own order; and an aggregator does nothing after a later one has begun.
    """
    latest: dict[tuple[int, str], int] = {}
    newest = -1
    for act in acts:
        if act.by < newest and act.kind != "heard":
            return (
                f"incarnation {act.by:#x} of the aggregator {act.kind} clock {act.clock} after "
                f"incarnation {newest:#x} had begun"
            )
        newest = max(newest, act.by)
        key = (act.by, act.worker)
        if act.kind == "heard":
            latest[key] = max(latest.get(key, -1), act.incarnation)
        elif act.kind == "merged" and act.incarnation < latest.get(key, -1):
            return (
                f"a part of incarnation {act.incarnation:#x} of {act.worker} was merged into clock "
                f"{act.clock} after {latest[key]:#x} had been heard of"
            )
    return None


def tables_stay_small(acts: Sequence[Act], roster: Iterable[str]) -> str | None:
    """No table of an aggregator has more entries than the roster has workers.

    Else each restart, duplicate or late message would cost memory for as long as the run goes on.
    """
    most = len(tuple(roster))
    for act in acts:
        if act.held > most:
            return (
                f"when clock {act.clock} was closed a table of the aggregator had {act.held} "
                f"entries, for {most} workers"
            )
    return None


def staleness_is_bounded(
    steps: Iterable[tuple[Literal["starts", "ends", "waits"], str, int]],
    roster: Iterable[str],
    bound: float,
    stays: Mapping[str, Stay] | None = None,
) -> str | None:
    """SSP: no worker starts clock c while c - min > bound, min over what all have completed.

    Ho et al., "More Effective Distributed ML via a Stale Synchronous Parallel Parameter Server",
    NeurIPS 2013, section 2. A bound of 0 is BSP, an infinite one ASP.

    Args:
        steps: that a worker starts a clock, from 0, or ends it, in the order of the aggregator.
        roster: all workers.
        bound: clocks, >= 0.
        stays: from when to when a worker is of the run, by name: one that joins counts from its
            first clock on, one that leaves no longer once it has completed its last.
    """
    stays = stays or {}
    completed = {name: 0 for name in roster if name not in stays or stays[name].join == 0}
    for what, worker, clock in steps:
        stay = stays.get(worker)
        # Of one that has joined, and no more, a restored aggregator says that the one before ended.
        joined = what == "ends" and stay is not None and clock == stay.join - 1
        if stay is not None and what != "waits" and not (joined or stay.holds(clock)):
            return f"{worker} {what} clock {clock}, which is not in its stay"
        if what == "starts" and worker not in completed:
            completed[worker] = clock
        if what == "ends":
            completed[worker] = max(completed.get(worker, 0), clock + 1)
            if stay is not None and stay.over(completed[worker]):
                del completed[worker]
        if what != "starts":
            continue
        behind = min(completed, key=lambda name: completed[name])
        if clock - completed[behind] > bound:
            return (
                f"{worker} started clock {clock} while {behind} had completed "
                f"{completed[behind]}, more than {bound:g} behind"
            )
    return None


def nobody_waits(
    steps: Iterable[tuple[Literal["starts", "ends", "waits"], str, int]],
) -> str | None:
    """ASP: whoever wants to start a clock starts it at once.

    Args:
        steps: as for ``staleness_is_bounded``, and that a worker is told to wait.
    """
    for what, worker, clock in steps:
        if what == "waits":
            return f"{worker} had to wait for clock {clock}"
    return None


def longest(
    undisturbed: float,
    last: float,
    restarts: int,
    *,
    crashes: int,
    backoff: float,
    backoff_max: float,
) -> float:
    """Virtual seconds by which a run must have ended.

    The end of the last fault, and from there 2 times the undisturbed time, the back-off of each
    restart, the first of them doubled with each further one, and ``DETECTION``. A crash point has
    no time of its own: it may come as late as the run still does something, so each counts like one
    more undisturbed run.
    """
    # 2.0 ** 1024 is no float.
    waits = sum(min(backoff_max, math.ldexp(backoff, min(n, 60))) for n in range(restarts))
    return last + (2 + crashes) * undisturbed + waits + DETECTION


def same_bits(sha256: str, expected: str) -> str | None:
    """BSP: the model is that of the undisturbed run, bit for bit."""
    if sha256 == expected:
        return None
    return f"the model is {sha256[:16]}…, undisturbed it is {expected[:16]}…"


def effects(faults: Mapping[str, int]) -> int:
    """How often processes ended by a crash point."""
    return faults.get("crash", 0)
