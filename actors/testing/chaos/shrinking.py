"""Makes a schedule that breaks something shorter and rounder, and it still breaks the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from actors.errors import UsageError
from actors.faults.kinds import Fault
from actors.faults.plan import FaultPlan

MOST_PLAYS: Final = 120
"""Plays that shortening takes at most: at a second each it is to end within two minutes."""

_WORDS: Final = frozenset({"node", "source", "target", "actor", "message", "point", "action"})


def shrink(
    plan: FaultPlan, breaks: Callable[[FaultPlan], bool], *, plays: int = MOST_PLAYS
) -> tuple[FaultPlan, int]:
    """Leave out of a schedule what is not needed, then round its numbers.

    Delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input",
    IEEE TSE 28(2), 2002), of complements alone: a schedule is short. Every candidate has the seed
    of the whole, and one fault less moves no draw of the others.

    Args:
        plan: a schedule that breaks something.
        breaks: plays a candidate; whether it still breaks the same.
        plays: at most.

    Returns:
        The shortest that was found, and the plays that it took. Without any one of its faults
        nothing breaks, unless the plays did not suffice.
    """
    counted = 0

    def tried(faults: Sequence[Fault]) -> bool:
        nonlocal counted
        if counted >= plays:
            return False
        counted += 1
        return breaks(plan.replace(faults))

    faults: list[Fault] = list(plan.faults)
    parts = 2
    while len(faults) > 1:
        size = max(1, -(-len(faults) // parts))
        for start in range(0, len(faults), size):
            rest = faults[:start] + faults[start + size :]
            if rest and tried(rest):
                faults, parts = rest, max(parts - 1, 2)
                break
        else:
            if size == 1:
                break
            parts = min(len(faults), parts * 2)
    for index in range(len(faults)):
        for simpler in _simpler(faults[index], plan):
            if tried([*faults[:index], simpler, *faults[index + 1 :]]):
                faults[index] = simpler
                break
    return plan.replace(faults), counted


def _simpler(fault: Fault, plan: FaultPlan) -> Iterator[Fault]:
    """The same fault of a plan with rounder numbers, the roundest first."""
    values = msgspec.to_builtins(fault)
    for digits in (0, 1):
        rounded: dict[str, Any] = {
            key: round(value, digits) if isinstance(value, float) and key not in _WORDS else value
            for key, value in values.items()
        }
        if rounded == values:
            continue
        try:
            found = msgspec.convert(rounded, type(fault))
            plan.replace((found,))
        except (msgspec.ValidationError, ValueError, UsageError):
            continue  # rounded to nothing, or beyond the end of the plan
        yield found
