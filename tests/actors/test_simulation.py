"""A graph in virtual time: the same actors, processes that crash, messages that get lost."""

from __future__ import annotations

import asyncio
import collections
from contextvars import ContextVar
from pathlib import Path

import numpy as np
import pytest

import actors
from actors import (
    Actor,
    ActorGraph,
    ActorRef,
    ActorRestarted,
    Backoff,
    CrashPoint,
    Drop,
    Duplicate,
    Event,
    FaultPlan,
    Full,
    GaveUp,
    Jitter,
    Kill,
    MemoryDisk,
    Message,
    NodeDied,
    Process,
    Simulated,
    StorageError,
    SupervisorGaveUp,
    Torn,
    Unreachable,
    UsageError,
    one_for_one,
)
from actors.crashpoints import crash_point
from actors.errors import AskError
from actors.faults.disks import DiskFaults
from actors.sim import Disk, Simulation
from actors.sim.disk import SimStorage
from actors.testing import systems
from transports import Weights
from transports.sim import SimClock, SimLoop


class Count(Message[int]):
    """One more."""


class Counter(Actor):
    def __init__(self, first: int) -> None:
        self._count = first

    def count(self, message: Count) -> int:
        self._count += 1
        crash_point("counted")
        return self._count


ROUND: ContextVar[int] = ContextVar("round", default=0)


class Mark(Message[None]):
    text: str


class Wait(Message[None]):
    pass


class Seen(Message[list[str]]):
    pass


class Clerk(Actor):
    """Notes what it handles, and how much it has handled, in its context and not beside it."""

    def __init__(self) -> None:
        self._seen: list[str] = []
        self.timers.start("tick", Mark("tick"), after=1.0, every=1.0)

    def mark(self, message: Mark) -> None:
        ROUND.set(ROUND.get() + 1)
        self._seen.append(f"{message.text} {ROUND.get()}")

    async def wait(self, message: Wait) -> None:
        await asyncio.sleep(2.0)
        self._seen.append("waited")

    def seen(self, message: Seen) -> list[str]:
        return self._seen


def test_ticks_and_messages_are_handled_in_order_in_the_context_of_their_actor() -> None:
    async def main() -> list[str]:
        async with systems("here", "there", on=Simulated(shuffle=False)) as (here, there):
            clerk = await there.spawn("clerk", Clerk)
            asker = ActorRef(here, clerk.node, clerk.path, clerk.uid)
            await asyncio.sleep(1.5)
            asker.tell(Mark("first"))
            await asyncio.sleep(0.1)
            asker.tell(Wait())  # in which two ticks come due, of which one waits
            asker.tell(Mark("second"))
            await asyncio.sleep(2.9)
            return await asker.ask(Seen(), timeout=10.0)

    seen = actors.run(main(), on=Simulated(shuffle=False))
    assert seen == ["tick 1", "first 2", "waited", "second 3", "tick 4", "tick 5"]


def counting(children: int = 2) -> ActorGraph:
    graph = ActorGraph("counting")
    with graph.supervisor("root", one_for_one(10, backoff=Backoff(0.1)), place=Process()):
        for index in range(children):
            graph.actor(f"c{index}", Counter, first=10 * index)
    return graph


async def told(graph: ActorGraph, on: Simulated, asks: int) -> tuple[list[int], list[Event]]:
    """What counters answer, each asked again until it does, and what happened meanwhile."""
    events: list[Event] = []
    answers: list[int] = []
    with Simulation(on).running() as simulation:
        async with graph.start(
            on,
            world=simulation.world("counting"),
            before=lambda system: system.events.subscribe(Event, events.append),
        ) as live:
            for number in range(asks):
                while True:
                    try:
                        answers.append(await live[f"c{number % 2}"].ask(Count(), timeout=1.0))
                        break
                    except (AskError, Unreachable):
                        await asyncio.sleep(0.1)
    return answers, events


def test_actors_in_simulated_processes_answer() -> None:
    on = Simulated(2)
    answers, events = actors.run(told(counting(), on, 4), on=on)
    assert answers == [1, 11, 2, 12]
    assert not [event for event in events if isinstance(event, NodeDied | ActorRestarted)]


@pytest.mark.parametrize("action", ["sigkill", "segfault", "exit:3"])
def test_a_crash_at_a_point_kills_that_process_and_its_actor_begins_anew(action: str) -> None:
    point = CrashPoint(point="counted", action=action, at=2, node="p0")
    on = Simulated(2, faults=FaultPlan(point))
    answers, events = actors.run(told(counting(), on, 6), on=on)
    assert answers == [1, 11, 1, 12, 2, 13]
    died = [event for event in events if isinstance(event, NodeDied)]
    expected = {
        "sigkill": "killed by signal 9 (SIGKILL)",
        "segfault": "segmentation fault (signal 11)",
        "exit:3": "exit code 3",
    }
    assert [(event.node, event.reason) for event in died] == [("p0", expected[action])]


def test_a_kill_comes_at_its_virtual_time() -> None:
    on = Simulated(2, faults=FaultPlan(Kill("p1", 30.0)))

    async def main() -> tuple[float, str]:
        died: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        events: list[NodeDied] = []

        def hear(event: NodeDied) -> None:
            events.append(event)
            died.set_result(asyncio.get_running_loop().time())

        async with counting().start(
            on, before=lambda system: system.events.subscribe(NodeDied, hear)
        ):
            return await died, events[0].node

    when, node = actors.run(main(), on=on)
    assert node == "p1"
    assert when == pytest.approx(30.0, abs=0.1)


@pytest.mark.parametrize("seed", range(20))
def test_system_signals_arrive_whatever_gets_lost(seed: int) -> None:
    # Spawning, starting and stopping are signals: one that got lost for good would hang the graph.
    plan = FaultPlan(Drop(0.3), Duplicate(0.2), Jitter(0.05, p=0.3), seed=seed, until=1000.0)
    on = Simulated(2, seed=seed, faults=plan)

    async def main() -> None:
        async with asyncio.timeout(900.0):
            await told(counting(), on, 4)

    actors.run(main(), on=on)


class Sum(Message[None]):
    weights: Weights


class Total(Message[float]):
    pass


class Summing(Actor):
    def __init__(self) -> None:
        self._total = 0.0

    def sum(self, message: Sum) -> None:
        self._total += float(message.weights["w"].sum())
        message.weights.release()

    def total(self, message: Total) -> float:
        return self._total


def test_each_arrival_of_a_doubled_message_has_weights_of_its_own_to_release() -> None:
    graph = ActorGraph("doubled")
    with graph.supervisor("root", place=Process()):
        graph.actor("summing", Summing)
    on = Simulated(1, faults=FaultPlan(Duplicate(1.0), until=1000.0))

    async def main() -> float:
        async with graph.start(on) as live:
            await asyncio.sleep(2.0)
            live["summing"].tell(Sum(Weights.of({"w": np.ones(1000, np.float32)})))
            await asyncio.sleep(2.0)
            return await live["summing"].ask(Total(), timeout=5.0)

    assert actors.run(main(), on=on) == 2000.0


async def test_a_simulation_on_a_real_loop_is_refused() -> None:
    with pytest.raises(UsageError, match=r"actors\.run\(main\(\), on=Simulated\(\)\)"):
        Simulation(Simulated())


def in_virtual_time(
    disk: Disk, plan: FaultPlan, counts: collections.Counter[str]
) -> tuple[SimLoop, SimStorage]:
    loop = SimLoop()
    clock = SimClock(loop)
    return loop, SimStorage(disk, clock, DiskFaults(plan, "here", 0, clock, 0.0, counts))


def test_a_crash_in_a_write_leaves_the_old_file() -> None:
    disk, counts = Disk(), collections.Counter[str]()
    loop, storage = in_virtual_time(disk, FaultPlan(), counts)

    async def main() -> None:
        await storage.write("a", [b"old"])
        writing = asyncio.ensure_future(storage.write("a", [b"new"]))
        await asyncio.sleep(disk.seconds / 2)
        storage.unplug()
        writing.cancel()
        await asyncio.wait([writing])

    loop.run_until_complete(main())
    loop.close()
    assert disk.contents == {"a": b"old"}
    assert not counts


def test_a_torn_write_leaves_the_beginning_of_the_new_file_and_an_append_a_part() -> None:
    disk, counts = Disk(), collections.Counter[str]()
    loop, storage = in_virtual_time(disk, FaultPlan(Torn(1.0)), counts)

    async def main() -> None:
        await storage.write("a", [b"old"])
        await storage.append("b", b"12", 0)
        jobs = [
            asyncio.ensure_future(storage.write("a", [bytes(range(100))])),
            asyncio.ensure_future(storage.append("b", b"3" * 100, 2)),
        ]
        await asyncio.sleep(disk.seconds / 2)
        storage.unplug()
        for job in jobs:
            job.cancel()
        await asyncio.wait(jobs)
        with pytest.raises(StorageError, match="the node has crashed"):
            await storage.write("c", [b"never"])

    loop.run_until_complete(main())
    loop.close()
    assert bytes(range(100)).startswith(disk.contents["a"])
    assert 0 < len(disk.contents["a"]) < 100
    assert (b"12" + b"3" * 100).startswith(disk.contents["b"])
    assert 2 < len(disk.contents["b"]) < 102
    assert counts == {"torn": 2}
    assert "c" not in disk.contents


def test_a_disk_is_laid_into_a_folder_whole_or_not_at_all(tmp_path: Path) -> None:
    disk = Disk(MemoryDisk({"a": b"new", "b/c": b"new", "other": b"new"}))
    disk.touched.update(("a", "b/c", "gone"))
    before = {"a": b"old", "b": b"a file where a folder should be", "gone": b"old"}
    for name, content in before.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(StorageError, match="cannot write"):
        disk.write_to(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    (tmp_path / "b").unlink()
    disk.write_to(tmp_path)
    found = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in found} == {
        "a": b"new", "b/c": b"new",
    }  # fmt: skip


def test_a_full_disk_refuses_and_keeps_what_was_there() -> None:
    disk, counts = Disk(), collections.Counter[str]()
    loop, storage = in_virtual_time(disk, FaultPlan(Full(1.0)), counts)
    disk.contents["a"] = b"old"

    async def main() -> None:
        with pytest.raises(StorageError, match="cannot write a: no space left on device"):
            await storage.write("a", [b"new"])

    loop.run_until_complete(main())
    loop.close()
    assert disk.contents == {"a": b"old"}
    assert counts["full"] == 1


class BeyondError(ValueError):
    """Nothing that a restart could help."""


class BeyondMoreError(BeyondError):
    pass


class Hopeless(Actor):
    async def on_start(self) -> None:
        raise BeyondMoreError("wrong for ever")


@pytest.mark.parametrize("place", [None, Process()], ids=["inline", "process"])
def test_an_exception_beyond_help_is_not_restarted(place: Process | None) -> None:
    graph = ActorGraph("hopeless")
    with graph.supervisor("root", one_for_one(10, decide={BeyondError: "escalate"}), place=place):
        graph.actor("one", Hopeless)
    on = Simulated(1)
    events: list[Event] = []

    async def main() -> str:
        with pytest.raises(GaveUp) as gave_up:
            async with graph.start(
                on, before=lambda system: system.events.subscribe(Event, events.append)
            ):
                pass
        assert gave_up.value.child == "/root/one"
        assert gave_up.value.restarts == 0
        return str(gave_up.value)

    sentence = actors.run(main(), on=on)
    assert "one failed beyond help: BeyondMoreError: wrong for ever" in sentence
    (gave_up,) = [event for event in events if isinstance(event, SupervisorGaveUp)]
    assert gave_up.restarts == 0
    assert not [event for event in events if isinstance(event, ActorRestarted)]


class Begun(Message[None]):
    pass


class Piping(Actor):
    async def on_stop(self) -> None:
        self.pipe_to_self(asyncio.sleep(1), lambda _: Begun())

    def begun(self, message: Begun) -> None:
        raise AssertionError("it was cancelled")


async def test_work_that_is_cancelled_before_it_began_warns_of_nothing() -> None:
    async with actors.ActorSystem("here") as system:
        piping = await system.spawn("piping", Piping)
        await system.stop(piping)


class Number(Message[int]):
    pass


class One(Actor):
    def number(self, message: Number) -> int:
        return 1


def test_graphs_run_one_after_the_other_and_each_restarts_what_is_killed() -> None:
    graph = ActorGraph("again")
    with graph.supervisor("root"):
        graph.actor("one", One, place=Process("p0"))

    async def main() -> list[int]:
        answers = []
        for seed in range(3):
            on = Simulated(1, seed=seed, faults=FaultPlan(Kill("p0", at=1.0)))
            async with graph.start(on=on) as live:
                await asyncio.sleep(5)
                answers.append(await live["one"].ask(Number(), timeout=5))
                restarts = [actor.restarts for actor in (await live.state()).actors]
                assert sum(restarts) == 1
        return answers

    assert actors.run(main(), on=Simulated()) == [1, 1, 1]
