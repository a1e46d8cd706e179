"""Whatever a stop and an ask meet in, the ask ends, and at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

import actors
from actors import Actor, ActorFailed, ActorRef, ActorSystem, Message, NoSuchActor
from actors.deploy import Deployment
from tests.actors.traps.places import INLINE, LIMIT, SIMULATED, alone

#: Seconds of each ask: none of them may need them.
PATIENT = 3600.0

#: Races under way at a time.
BATCH = 200


class Work(Message[str]):
    """Answered after so many turns of the loop; never with -1."""

    turns: int


class Worker(Actor):
    async def work(self, message: Work) -> str:
        if message.turns < 0:
            await asyncio.Event().wait()
        for _ in range(message.turns):
            await asyncio.sleep(0)
        return "done"


async def nothing(turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


async def outcome(ref: ActorRef, turns: int) -> str:
    try:
        return await ref.ask(Work(turns), timeout=PATIENT)
    except actors.AskError as error:
        return type(error).__name__


#: What may come of a race, by how it is run: "gone" is known not to have been handled.
GONE, FAILED = NoSuchActor.__name__, ActorFailed.__name__
MAY = {
    "asked after the stop": {GONE},
    "asked and stopped in one turn": {GONE},
    "stopped somewhere along the way": {"done", GONE},
    "stopped with others waiting behind": {"done", GONE},
    "stopped after the answer": {"done"},
    "stopped twice": {"done", GONE},
    "given up by its asker": {"CancelledError"},
    "stopped while it never ends": {FAILED, GONE},
}


async def race(system: ActorSystem, number: int) -> tuple[str, list[str]]:
    """One actor, what was done to it, and how its asks ended."""
    how = list(MAY)[number % len(MAY)]
    slow = how == "stopped while it never ends"
    cell = system.make(f"worker{number}", Worker, {}, stop_timeout=0.05 if slow else PATIENT)
    ref, turns = cell.ref, number // len(MAY) % 7
    await cell.started
    asks: list[asyncio.Future[str]] = []

    def ask(count: int, turns: int = turns) -> None:
        asks.extend(asyncio.ensure_future(outcome(ref, turns)) for _ in range(count))

    match how:
        case "asked after the stop":
            ref.stop()
            ask(1)
        case "asked and stopped in one turn":
            ask(1)
            ref.stop()
        case "stopped somewhere along the way":
            ask(1)
            await nothing(number % 11)
            ref.stop()
        case "stopped with others waiting behind":
            ask(5)
            await nothing(number % 17)
            ref.stop()
        case "stopped after the answer":
            ask(1)
            await asks[0]
            ref.stop()
        case "stopped twice":
            ask(2)
            await nothing(number % 13)
            ref.stop()
            await nothing(number % 3)
            ref.stop()
        case "given up by its asker":
            ask(1, -1)
            await nothing(number % 9)
            asks[0].cancel()
            ref.stop()
        case "stopped while it never ends":
            ask(2, -1)
            await nothing(number % 11)
            ref.stop()
    ends = await asyncio.gather(*asks, return_exceptions=True)
    await cell.stopped
    return how, [end if isinstance(end, str) else type(end).__name__ for end in ends]


async def races(system: ActorSystem, count: int) -> None:
    ends: Counter[tuple[str, str]] = Counter()
    for first in range(0, count, BATCH):
        batch = [race(system, number) for number in range(first, first + BATCH)]
        async with asyncio.timeout(LIMIT):
            for how, ended in await asyncio.gather(*batch):
                ends.update((how, end) for end in ended)
    assert {(how, end) for how, end in ends if end not in MAY[how]} == set(), ends
    # Not all of them went the same way: there were races.
    both = [how for how, may in MAY.items() if len(may) > 1]
    assert {how for how in both if not all((how, end) in ends for end in MAY[how])} == set(), ends
    assert system.statistics().asks == 0
    assert not system.statistics().actors
    left: list[Any] = [task for task in asyncio.all_tasks() if "worker" in task.get_name()]
    assert not left


@pytest.mark.parametrize("on", [SIMULATED, INLINE], ids=str)
def test_five_thousand_races_of_stop_and_ask_leave_none_unresolved(on: Deployment) -> None:
    async def main() -> None:
        async with alone(on) as system:
            await races(system, 5_000)

    actors.run(main(), on=on)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_hundred_thousand_do_not_either() -> None:
    async def main() -> None:
        async with ActorSystem("here") as system:
            await races(system, 100_000)

    actors.run(main())
