"""Plays a scenario once, and tells what it left."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable
from dataclasses import replace
from typing import Final, TypeVar

from actors.deploy import Simulated
from actors.faults.plan import FaultPlan
from actors.runner import run
from actors.testing.chaos.looking import Looking, living
from actors.testing.chaos.scenario import Evidence, Scenario

R = TypeVar("R")

_LONGEST: Final = 86_400.0
"""Virtual seconds of an undisturbed play; one that does not end by then never does."""

_TIMES: Final = 20.0
_AND: Final = 120.0
"""A play may take so many times the undisturbed one, and seconds more, after the plan's end: far
more than any bound that an invariant sets, so that these speak first."""


def undisturbed(scenario: Scenario[R]) -> Evidence[R]:
    """The play without faults, which the others are compared with.

    Raises:
        Exception: what it raised: a scenario must hold without faults at first.
    """
    # Twice: what is loaded and cached once must not look like what a play leaves behind.
    found = play(scenario, FaultPlan(), None)
    if found.error is not None:
        raise found.error
    return play(scenario, FaultPlan(), None)


def play(scenario: Scenario[R], plan: FaultPlan, reference: Evidence[R] | None) -> Evidence[R]:
    """Play a scenario under a schedule of faults.

    Args:
        scenario: what.
        plan: what goes wrong; its seed is also the simulation's.
        reference: the undisturbed play; None where this is it.
    """
    seed = plan.seed if plan else scenario.on.seed
    on = replace(scenario.on, seed=seed, faults=plan)
    before = living()
    found = _played(scenario, on, reference)
    after = living()
    after.subtract(before)
    for kind, count in found.left.items():
        after[kind] = max(after[kind], count)
    return replace(found, left={kind: count for kind, count in after.items() if count > 0})


def _played(scenario: Scenario[R], on: Simulated, reference: Evidence[R] | None) -> Evidence[R]:
    looking = Looking()
    result: R | None = None
    error: BaseException | None = None
    tasks: list[int] = []
    with looking.on():
        try:
            result = run(_awaited(scenario.play(on), _limit(on.faults, reference), tasks), on=on)
        except (KeyboardInterrupt, GeneratorExit):
            raise  # of whoever plays
        except BaseException as raised:  # noqa: BLE001  (it is judged, a SystemExit too)
            # Its frames hold what was played.
            error = raised.with_traceback(None)
            error.__context__ = error.__cause__ = None
    faults: Counter[str] = Counter()
    for simulation in looking.simulations:
        faults.update(simulation.counts)
    told = [simulation.statistics() for simulation in looking.simulations]
    counted = dict(+faults)
    return Evidence(
        plan=on.faults,
        result=result,
        error=error,
        seconds=sum(each.seconds for each in told),
        digest="-".join(each.digest for each in told),
        faults=counted,
        killed=sum(each.killed for each in told),
        started=sum(each.started for each in told),
        asks=looking.asks(),
        messages=looking.messages(),
        left={"Task": sum(tasks)},
        story=looking.story(),
        reference=reference,
    )


def _limit(plan: FaultPlan, reference: Evidence[R] | None) -> float:
    if reference is None:
        return _LONGEST
    return plan.until + _TIMES * reference.seconds + _AND


async def _awaited(awaitable: Awaitable[R], limit: float, tasks: list[int]) -> R:
    try:
        async with asyncio.timeout(limit) as within:
            result = await awaitable
        # Counted here: the loop cancels what is left when it ends, and all would look well.
        tasks.append(len(asyncio.all_tasks()) - 1)
    except TimeoutError:
        if not within.expired():
            raise  # its own
        msg = f"it had not ended after {limit:.0f} s of virtual time"
        raise TimeoutError(msg) from None
    return result
