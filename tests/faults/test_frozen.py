"""A frozen aggregator is killed and replaced; one that wakes up after that changes nothing."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

import actors
from actorfl import Supervision
from actorfl.execute import running
from actors import Event, Processes
from tests.actors.traps.withheld import Withholding
from tests.faults.runs import ROUNDS, alive, carry_out, rows
from tests.faults.test_kills import fit, slow

pytestmark = pytest.mark.timeout(120)

# Longer than an import of torch holds the interpreter's lock on a busy machine.
WATCHED = Supervision(stuck_after=8.0)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return actors.run(carry_out(slow(), tmp_path_factory.mktemp("undisturbed"))).sha256


def freezing(victim: str, clock: int) -> tuple[Any, list[int]]:
    """Stops that process in the first fit of a clock; its process id."""
    stopped: list[int] = []

    def disturb(under_way: Any, event: Mapping[str, Any]) -> None:
        if not stopped and fit(clock)(event):
            stopped.append(under_way.live.processes.pid(victim))
            os.kill(stopped[0], signal.SIGSTOP)

    return disturb, stopped


@pytest.mark.parametrize("victim", ["aggregator", pytest.param("p0", marks=pytest.mark.slow)])
async def test_a_frozen_process_is_killed_and_replaced_and_no_bit_changes(
    victim: str, undisturbed: str, tmp_path: Path
) -> None:
    disturb, stopped = freezing(victim, 2)
    result = await carry_out(slow(supervision=WATCHED), tmp_path, Processes(2), disturb=disturb)
    assert (result.sha256, result.restarts) == (undisturbed, 1)
    assert not alive(stopped[0])


async def test_an_aggregator_that_wakes_up_after_it_was_replaced_changes_nothing(
    undisturbed: str, tmp_path: Path
) -> None:
    disturb, stopped = freezing("aggregator", 2)
    spawner = Withholding("aggregator")
    woken: list[int] = []

    async with running(
        slow(supervision=WATCHED), Processes(2), out=tmp_path, spawner=spawner
    ) as under_way:

        def hear(event: Event) -> None:
            fields = msgspec.to_builtins(event)
            disturb(under_way, fields)
            # Its successor has closed the clock in which it froze, and is in the next one.
            if not woken and spawner.starts == 2 and fit(3)(fields):
                woken.append(stopped[0])
                os.kill(stopped[0], signal.SIGCONT)

        under_way.live.system.events.subscribe(Event, hear)
        result = await under_way.result()
        assert woken
        # It was told that it counts as dead, and left: nobody had to kill it.
        async with asyncio.timeout(30):
            while alive(woken[0]):
                await asyncio.sleep(0)
    assert (result.sha256, result.restarts) == (undisturbed, 1)
    assert [row["round"] for row in rows(result.directory)] == list(range(1, ROUNDS + 1))
