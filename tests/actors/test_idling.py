"""Actors without a task: how they start, when they get one, and how they end with their loop."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import actors
from actors import Actor, ActorSystem, Message, SpawnFailed, Terminated
from actors.cell import Cell
from actors.deploy import Deployment
from actors.events import ActorStopped
from tests.actors.traps.places import INLINE, LIMIT, SIMULATED, alone

LOOPS = pytest.mark.parametrize("on", [SIMULATED, INLINE], ids=str)


class Now(Message[int]):
    pass


class Later(Message[int]):
    pass


class Soon(Message[None]):
    """Has something done between this message and the first step of the next one's handler."""


class Aside(Message[None]):
    pass


class Number(Message[None]):
    value: int


class Total(Message[int]):
    pass


class Worker(Actor):
    def __init__(self, *, log: list[str], soon: Callable[[Cell], None] | None = None) -> None:
        self.log = log
        self.do = soon

    def now(self, message: Now) -> int:
        return 1

    async def later(self, message: Later) -> int:
        self.log.append("began")
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            self.log.append("cancelled")
            raise
        self.log.append("ended")
        return 2

    def soon(self, message: Soon) -> None:
        assert self.do is not None
        asyncio.get_running_loop().call_soon(self.do, self._cell)

    def aside(self, message: Aside) -> None:
        self.stash.unstash_all()


class Watcher(Actor):
    def __init__(self, *, log: list[str]) -> None:
        self.log = log

    def gone(self, message: Terminated) -> None:
        self.log.append(f"told of {message.path}")


class Quitter(Actor):
    def __init__(self) -> None:
        self.stop()


class QuitterThatStarts(Quitter):
    async def on_start(self) -> None:
        await asyncio.sleep(0)


def cell_of(system: ActorSystem, ref: actors.ActorRef) -> Cell:
    cell = system.cell(ref)
    assert cell is not None
    return cell


def has_task(cell: Cell) -> bool:
    return cell.task is not None


@LOOPS
def test_an_actor_gets_a_task_when_it_first_waits_for_something(on: Deployment) -> None:
    async def main() -> None:
        async with alone(on) as system:
            cell = cell_of(system, await system.spawn("w", Worker, log=[]))
            assert [await cell.ref.ask(Now(), timeout=5) for _ in range(3)] == [1, 1, 1]
            assert not has_task(cell)
            asked = asyncio.ensure_future(cell.ref.ask(Later(), timeout=5))
            while not cell.busy:
                await asyncio.sleep(0)
            assert has_task(cell)
            cell.ref.stop()
            cell.patience.begin(0.01)
            with pytest.raises(actors.ActorFailed, match="was stopped"):
                await asked

    actors.run(main(), on=on)


class Mixed(Actor):
    """Says what it has handled; of odd numbers it waits first."""

    def __init__(self, *, log: list[int]) -> None:
        self.log = log

    def take(self, message: Number) -> Coroutine[Any, Any, None] | None:
        if message.value % 2:
            return self._later(message.value)
        self.log.append(message.value)
        return None

    async def _later(self, value: int) -> None:
        await self.clock.sleep(0.001 * (value % 3))
        self.log.append(value)

    def total(self, message: Total) -> int:
        return len(self.log)


class Putter(Actor):
    """Puts numbers aside until it is ready; then it waits with each."""

    def __init__(self, *, log: list[int]) -> None:
        self.log = log
        self.ready = False

    def number(self, message: Number) -> Coroutine[Any, Any, None] | None:
        if not self.ready:
            self.stash.stash(message)
            return None
        self.log.append(message.value)
        return self.clock.sleep(0.5)

    def total(self, message: Total) -> int:
        return len(self.stash)

    def aside(self, message: Aside) -> None:
        self.ready = True
        self.stash.unstash_all()


async def calm(cell: Cell, word: Message[int]) -> None:
    """Until it has nothing to wait for any more, as far as it can know."""
    while has_task(cell):
        await cell.ref.ask(word, timeout=LIMIT)


@LOOPS
def test_the_task_ends_where_nothing_is_waited_for_and_is_made_anew(on: Deployment) -> None:
    async def main() -> None:
        async with alone(on) as system:
            log: list[str] = []
            cell = cell_of(system, await system.spawn("w", Worker, log=log))
            for _ in range(3):
                asked = asyncio.ensure_future(cell.ref.ask(Later(), timeout=5))
                while not cell.busy:
                    await asyncio.sleep(0)
                first = cell.task
                assert first is not None
                asked.cancel()  # an asker that gives up has the handler cancelled
                with pytest.raises(asyncio.CancelledError):
                    await asked
                await calm(cell, Now())
                await asyncio.sleep(0)
                assert first.done()
                assert not first.cancelled()
            assert log == ["began", "cancelled"] * 3
            assert await cell.ref.ask(Now(), timeout=5) == 1
            assert await system.stop(cell.ref) == "stopped"

    actors.run(main(), on=on)


@LOOPS
@pytest.mark.parametrize("seed", range(20))
def test_all_is_handled_in_order_however_often_the_task_ends(on: Deployment, seed: int) -> None:
    async def main() -> None:
        async with alone(on) as system:
            log: list[int] = []
            cell = cell_of(system, await system.spawn("w", Mixed, log=log))
            draw = random.Random(seed)
            numbers: list[int] = []
            for odd in (0.3, 0.0) * 10:
                for _ in range(10):
                    numbers.append(2 * draw.randrange(1000) + (draw.random() < odd))
                    cell.ref.tell(Number(numbers[-1]))
                    for _ in range(draw.randrange(8)):
                        await asyncio.sleep(0)
                if not odd:
                    await calm(cell, Total())
            assert await cell.ref.ask(Total(), timeout=LIMIT) == len(numbers)  # without a task, too
            assert log == numbers

    actors.run(main(), on=on)


@LOOPS
def test_one_whose_task_has_ended_ends_with_its_loop_and_says_so(on: Deployment) -> None:
    heard: list[str] = []

    async def main() -> None:
        async with alone(on) as system:
            system.events.subscribe(ActorStopped, lambda event: heard.append(event.reason))
            cell = cell_of(system, await system.spawn("w", Mixed, log=[]))
            cell.ref.tell(Number(1))
            while not has_task(cell):
                await asyncio.sleep(0)
            while has_task(cell):
                cell.ref.tell(Number(2))
                await asyncio.sleep(0.001)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                if task.get_name().startswith("idle actors"):
                    task.cancel()
            async with asyncio.timeout(LIMIT):
                while not heard:
                    await asyncio.sleep(0.001)
            assert cell.gone == "the node's loop was ended"

    actors.run(main(), on=on)
    assert heard == ["the node's loop was ended"]


@pytest.mark.parametrize("waited", [False, True])
def test_the_oldest_message_of_one_whose_task_has_ended_is_as_old_as_it_is(waited: bool) -> None:
    async def main() -> None:
        async with alone(SIMULATED) as system:
            cell = cell_of(system, await system.spawn("w", Worker, log=[]))
            if waited:
                await cell.ref.ask(Later(), timeout=10)
                await calm(cell, Now())
            await asyncio.sleep(10)
            # The first has something to wait for, and the second comes before it has begun.
            cell.timers.start("later", Later(), after=1)
            cell.timers.start("now", Now(), after=1)
            await asyncio.sleep(2)
            assert cell.statistics().oldest == pytest.approx(1.0)

    actors.run(main(), on=SIMULATED)


@LOOPS
def test_what_is_unstashed_from_outside_a_handler_waits_from_then_on(on: Deployment) -> None:
    async def main() -> None:
        async with alone(on) as system:
            cell = cell_of(system, await system.spawn("w", Putter, log=[]))
            for value in (1, 2):
                cell.ref.tell(Number(value))
            assert await cell.ref.ask(Total(), timeout=5) == 2
            assert isinstance(cell.actor, Putter)
            await asyncio.sleep(0.05)
            cell.actor.ready, began = True, system.now()
            cell.stash.unstash_all()
            while not cell.busy:
                await asyncio.sleep(0)
            oldest = cell.statistics().oldest
            assert oldest is not None
            assert oldest <= system.now() - began

    actors.run(main(), on=on)


def test_what_one_puts_aside_that_never_had_a_mailbox_comes_back() -> None:
    async def main() -> None:
        async with alone(SIMULATED) as system:
            log: list[int] = []
            cell = cell_of(system, await system.spawn("w", Putter, log=log))
            cell.timers.start("number", Number(2), after=1)
            cell.timers.start("aside", Aside(), after=2)
            await asyncio.sleep(3)
            assert log == [2]

    actors.run(main(), on=SIMULATED)


@LOOPS
@pytest.mark.parametrize("cls", [Quitter, QuitterThatStarts])
def test_an_actor_that_stops_itself_in_its_constructor_ends(
    on: Deployment, cls: type[Actor]
) -> None:
    async def main() -> None:
        async with alone(on) as system:
            with pytest.raises(SpawnFailed, match="stopped before it had started"):
                await system.spawn("quitter", cls)
            assert system.statistics().actors == ()

    actors.run(main(), on=on)


def test_one_that_is_stopped_before_its_handler_can_begin_is_given_no_more_than_its_time() -> None:
    async def main() -> None:
        log: list[str] = []
        async with alone(SIMULATED) as system:
            ref = await system.spawn("w", Worker, log=log, soon=lambda cell: cell.ref.stop())
            cell_of(system, ref).stop_timeout = 0.5
            ref.tell(Aside())  # which leaves alone: the two behind it arrive together
            ref.tell(Soon())
            with pytest.raises(actors.ActorFailed, match=r"was stopped 0\.5 s into Later"):
                await ref.ask(Later(), timeout=60)
        assert log == ["began", "cancelled"]

    actors.run(main(), on=SIMULATED)


def test_an_ask_that_is_given_up_before_its_handler_can_begin_is_not_handled() -> None:
    def give_up(cell: Cell) -> None:
        assert cell.current is not None
        assert cell.current.link is not None
        assert cell.cancel_ask(cell.current.item.ask, cell.current.link)

    async def main() -> None:
        log: list[str] = []
        async with alone(SIMULATED) as system:
            ref = await system.spawn("w", Worker, log=log, soon=give_up)
            ref.tell(Aside())  # which leaves alone: the two behind it arrive together
            ref.tell(Soon())
            with pytest.raises(actors.AskTimeout):
                await ref.ask(Later(), timeout=1)
            assert await ref.ask(Now(), timeout=1) == 1
            cell = cell_of(system, ref)
            assert (cell.handled, cell.skipped, cell.busy, cell.failures) == (3, 1, False, 0)
        assert log == []

    actors.run(main(), on=SIMULATED)


def test_what_wakes_an_actor_in_the_middle_of_a_turn_does_not_lose_what_that_leaves_waiting() -> (
    None
):
    async def main() -> None:
        log: list[str] = []
        async with alone(SIMULATED) as system:
            ref = await system.spawn("w", Worker, log=log)
            ref.tell(Aside())  # which puts back what was put aside, and so wakes the actor
            assert await ref.ask(Later(), timeout=60) == 2
        assert log == ["began", "ended"]

    actors.run(main(), on=SIMULATED)


@LOOPS
def test_actors_without_a_task_end_with_their_loop_and_handle_nothing_any_more(
    on: Deployment,
) -> None:
    log: list[str] = []
    ends: list[tuple[str, str]] = []

    async def main() -> None:
        async with alone(on) as system:
            system.events.subscribe(ActorStopped, lambda e: ends.append((e.path, e.reason)))
            watcher = await system.spawn("watcher", Watcher, log=log)
            worker = await system.spawn("worker", Worker, log=log)
            lively = await system.spawn("lively", Worker, log=log)
            cell_of(system, watcher).watch(worker)
            cell_of(system, watcher).watch(lively)
            asked = asyncio.ensure_future(lively.ask(Later(), timeout=5))
            while not has_task(cell_of(system, lively)):
                await asyncio.sleep(0)
            # As the end of a loop does, and the crash of a simulated node.
            for task in asyncio.all_tasks():
                if "actor" in task.get_name():
                    task.cancel()
            await asyncio.sleep(0.01)
            assert system.statistics().actors == ()
            asked.cancel()

    actors.run(main(), on=on)
    names = ("lively", "watcher", "worker")
    assert sorted(ends) == [(f"/{n}", "the node's loop was ended") for n in names]
    assert not [line for line in log if line.startswith("told")]


def test_the_collector_runs_rarely_while_a_program_does_unless_somebody_has_set_it() -> None:
    async def thresholds() -> tuple[int, int, int]:
        return gc.get_threshold()

    before = gc.get_threshold()
    try:
        gc.set_threshold(700, 10, 10)
        assert actors.run(thresholds()) == (10_000, 10, 10)
        assert gc.get_threshold() == (700, 10, 10)
        gc.set_threshold(800, 10, 10)
        assert actors.run(thresholds()) == (800, 10, 10)
    finally:
        gc.set_threshold(*before)
