"""A system ends phase by phase, once, within its limits, whoever starts it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

import actors
from actors import (
    Actor,
    ActorGraph,
    ActorSystem,
    Deployment,
    Inline,
    Message,
    Process,
    Processes,
    ShutdownTaskFailed,
    Simulated,
    UsageError,
)
from actors.shutdown import PHASES
from actors.sim import Simulation

ROOT = Path(__file__).parents[2]


class Alive(Message[bool]):
    pass


class End(Message[None]):
    pass


class Living(Actor):
    def alive(self, message: Alive) -> bool:
        return True

    def end(self, message: End) -> None:
        self.system.shutdown.run("an actor wants it")


@pytest.mark.parametrize(
    "on", [Inline(), Simulated(1), Processes(1)], ids=["inline", "simulated", "processes"]
)
def test_the_phases_come_in_their_order_and_actors_live_in_the_early_ones(on: Deployment) -> None:
    seen: list[tuple[str, bool]] = []

    async def main() -> None:
        graph = ActorGraph("living")
        with graph.supervisor("root"):
            graph.actor("one", Living, place=Process())
        async with graph.start(on) as live:
            system = live.system

            async def look(phase: str) -> None:
                try:
                    alive = await live["one"].ask(Alive(), timeout=5)
                except actors.AskError:
                    alive = False
                seen.append((phase, alive))

            for phase in ("after_stop", "unbind", "before_stop", "requests_done"):
                system.shutdown.add_task(phase, "look", partial(look, phase))
            while True:
                try:
                    assert await live["one"].ask(Alive(), timeout=5)
                    break
                except actors.NoSuchActor:
                    await asyncio.sleep(0.01)
        assert system.shutdown.statistics().state == "done"

    actors.run(main(), on=on)
    assert seen == [
        *(("unbind", True), ("requests_done", True), ("before_stop", True), ("after_stop", False))
    ]


def test_tasks_of_a_phase_run_together_and_one_that_fails_or_hangs_is_told_of() -> None:
    events: list[ShutdownTaskFailed] = []
    log: list[str] = []
    on = Simulated()

    async def main() -> float:
        loop = asyncio.get_running_loop()
        async with ActorSystem("node", world=Simulation(on).world("node")) as system:
            system.events.subscribe(ShutdownTaskFailed, events.append)
            both = asyncio.Barrier(2)

            async def meet() -> None:
                await both.wait()
                log.append("met")

            async def fail() -> None:
                raise ValueError("as told")

            async def hang() -> None:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    log.append("caught")
                    await asyncio.Event().wait()  # until the loop ends

            async def last() -> None:
                log.append("last")

            system.shutdown.add_task("unbind", "one", meet)
            system.shutdown.add_task("unbind", "other", meet)
            system.shutdown.add_task("unbind", "fail", fail)
            system.shutdown.add_task("before_stop", "hang", hang)
            system.shutdown.set_timeout("before_stop", 3.0)
            system.shutdown.add_task("after_stop", "last", last)
            began = loop.time()
        return loop.time() - began

    took = actors.run(main(), on=on)
    assert log == ["met", "met", "caught", "last"]
    assert [(one.phase, one.task, one.error) for one in events] == [
        ("unbind", "fail", "ValueError: as told"),
        ("before_stop", "hang", "it took longer than 3 s"),
    ]
    assert 4.0 <= took < 5.5


async def test_it_runs_once_whoever_starts_it() -> None:
    ran: list[str] = []
    async with ActorSystem("node") as system:

        async def count() -> None:
            ran.append(system.shutdown.reason)
            await system.shutdown.run("a task of its own, which does not wait for itself")

        system.shutdown.add_task("before_stop", "count", count)
        living = await system.spawn("living", Living)
        living.tell(End())
        async with asyncio.timeout(5):
            await asyncio.gather(living.ask(Alive(), timeout=5), return_exceptions=True)
            await system.shutdown.run("again")
            await system.close()
    assert ran == ["an actor wants it"]
    with pytest.raises(UsageError, match=r"too late for phase unbind: .*\(an actor wants it\)"):
        system.shutdown.add_task("unbind", "late", count)


async def test_a_close_that_is_cancelled_ends_the_phase_and_goes_on() -> None:
    ended: list[str] = []
    async with ActorSystem("node") as system:
        begun = asyncio.Event()

        async def hang() -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("hang")

        async def last() -> None:
            ended.append("last")

        system.shutdown.add_task("before_stop", "hang", hang)
        system.shutdown.add_task("after_stop", "last", last)
        closing = asyncio.create_task(system.close())
        await begun.wait()
        closing.cancel()
        _, left = await asyncio.wait({closing}, timeout=5)  # the phase may take 10 s
        assert not left
        assert closing.cancelled()
        assert ended == ["hang", "last"]
        assert "closed" in repr(system)


async def test_what_cannot_be_added_is_refused() -> None:
    async def nothing() -> None:
        pass

    async with ActorSystem("node") as system:
        shutdown = system.shutdown
        with pytest.raises(UsageError, match=f"no phase 'late'.*{', '.join(PHASES)}"):
            shutdown.add_task("late", "x", nothing)
        shutdown.add_task("unbind", "x", nothing)
        with pytest.raises(UsageError, match="has a task named 'x' already"):
            shutdown.add_task("unbind", "x", nothing)
        shutdown.remove_task("unbind", "x")
        shutdown.add_task("unbind", "x", nothing)
        with pytest.raises(UsageError, match="seconds above 0, not 0"):
            shutdown.set_timeout("unbind", 0.0)


class Adds(Actor):
    def alive(self, message: Alive) -> bool:
        async def nothing() -> None:
            pass

        try:
            self.system.shutdown.add_task("before_stop", "x", nothing)
        except UsageError as error:
            return "is ended by its launcher" in str(error)
        return False


def test_a_node_that_its_launcher_ends_takes_no_tasks() -> None:
    on = Simulated(1)

    async def main() -> bool:
        graph = ActorGraph("adding")
        with graph.supervisor("root"):
            graph.actor("adds", Adds, place=Process())
        async with graph.start(on) as live:
            await asyncio.sleep(1.0)
            return await live["adds"].ask(Alive(), timeout=5)

    assert actors.run(main(), on=on)


PROGRAM = """
import asyncio, actors

async def main():
    async with actors.ActorSystem("demo") as system:
        async def flush():
            print("flushed after", system.shutdown.reason, flush=True)
        system.shutdown.add_task("before_stop", "flush", flush)
        print("ready", flush=True)
        await asyncio.Event().wait()

actors.run(main(), use_uvloop={uvloop})
"""


@pytest.mark.parametrize("uvloop", [True, False])
@pytest.mark.parametrize(
    ("number", "code", "reason"),
    [(signal.SIGTERM, 143, "CancelledError"), (signal.SIGINT, -signal.SIGINT, "CancelledError")],
)
def test_a_signal_starts_the_shutdown_of_a_program(
    number: signal.Signals, code: int, reason: str, uvloop: bool
) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(uvloop=uvloop)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT,
    )  # fmt: skip
    with program:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
        program.send_signal(number)
        said = program.stdout.readline()
        assert program.wait(20) == code
    assert said.startswith(f"flushed after {reason}")
