"""A process in reserve takes the place of one that died, and nobody else ever notices it."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import actors
from actors import (
    Actor,
    ActorFailed,
    ActorFailure,
    ActorGraph,
    AskError,
    Backoff,
    CrashPoint,
    Deployment,
    Event,
    Exit,
    FaultPlan,
    Live,
    Message,
    NodeDied,
    NodeStarted,
    PopenSpawner,
    Process,
    Processes,
    ProcessSpec,
    Simulated,
    SpareDied,
    SpareReady,
    UsageError,
    lifeline,
    one_for_one,
    reserve,
)
from actors.crashpoints import crash_point
from actors.sim import Simulation
from actors.spare import SpareLost
from tests.actors.launched import LIMIT, running, until_gone

pytestmark = pytest.mark.timeout(90)

#: Loaded by nothing of ours.
MODULE = "colorsys"
SLEEP = "import time; time.sleep(60)"


class Count(Message[int]):
    pass


class Loaded(Message[bool]):
    module: str


class Variable(Message[str | None]):
    name: str


class Counter(Actor):
    def __init__(self) -> None:
        self._count = 0

    def count(self, message: Count) -> int:
        self._count += 1
        crash_point("counted")
        return self._count

    def loaded(self, message: Loaded) -> bool:
        return message.module in sys.modules

    def variable(self, message: Variable) -> str | None:
        return os.environ.get(message.name)


class Watched:
    """A running graph of two counters in two processes, and what happened."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.live: Live | None = None
        self._more = asyncio.Event()

    def hear(self, event: Event) -> None:
        self.events.append(event)
        self._more.set()

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(LIMIT):
            while not true():
                self._more.clear()
                await self._more.wait()

    async def ready(self, number: int) -> int:
        """Wait for the nth spare, from 1; its process id."""
        await self.until(lambda: len(self.of(SpareReady)) >= number)
        event = self.of(SpareReady)[number - 1]
        assert isinstance(event, SpareReady)
        return event.pid

    async def killed(self, name: str) -> NodeStarted:
        """Kill a process; how the next one started."""
        assert self.live is not None
        assert self.live.processes is not None
        before = len(self.of(NodeStarted))
        self.live.processes.kill(name)
        await self.until(lambda: len(self.of(NodeStarted)) > before)
        event = self.of(NodeStarted)[-1]
        assert isinstance(event, NodeStarted)
        assert event.node == name
        return event

    async def ask(self, name: str, message: Message[object]) -> object:
        """Ask until there is an answer: whoever restarts answers nothing for a moment."""
        assert self.live is not None
        async with asyncio.timeout(LIMIT):
            while True:
                try:
                    return await self.live[name].ask(message, timeout=5.0)
                except (AskError, ActorFailed):
                    await asyncio.sleep(0.02)


@asynccontextmanager
async def counting(on: Deployment) -> AsyncIterator[Watched]:
    graph = ActorGraph("counting")
    with graph.supervisor("root", one_for_one(5, backoff=Backoff(0.01)), place=Process()):
        graph.actor("c0", Counter)
        graph.actor("c1", Counter)
    watched = Watched()
    async with graph.start(
        on, before=lambda system: system.events.subscribe(Event, watched.hear)
    ) as watched.live:
        yield watched


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reserve, "SETTLE", 0.05)
    monkeypatch.setattr(reserve, "_BACKOFF", Backoff(initial=0.01))


BOTH = pytest.mark.parametrize(
    "on", [Simulated(2, spare=1), Processes(2, spare=1)], ids=["simulated", "processes"]
)


@BOTH
def test_a_dead_process_is_replaced_by_the_one_in_reserve_again_and_again(on: Deployment) -> None:
    async def main() -> None:
        async with counting(on) as watched:
            for number, name in enumerate(["p0", "p1", "p0"], 1):
                pid = await watched.ready(number)
                started = await watched.killed(name)
                assert (started.spare, started.pid) == (True, pid)
                assert await watched.ask(f"c{name[1]}", Count()) == 1
            starts = [(e.node, e.starts, e.spare) for e in watched.of(NodeStarted)]  # type: ignore[attr-defined]  # of that kind
            assert sorted(starts[:2]) == [("p0", 1, False), ("p1", 1, False)]
            assert starts[2:] == [("p0", 2, True), ("p1", 2, True), ("p0", 3, True)]
            assert watched.of(SpareDied) == []

    actors.run(main(), on=on)


@BOTH
def test_without_one_in_reserve_a_process_is_started_as_ever(on: Deployment) -> None:
    async def main() -> None:
        async with counting(on) as watched:
            await watched.ready(1)
            assert (await watched.killed("p0")).spare
            assert not (await watched.killed("p0")).spare

    # The next spare comes late.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reserve, "SETTLE", 1.0)
        actors.run(main(), on=on)


@pytest.mark.parametrize("kind", [Simulated, Processes])
def test_crash_points_hold_for_the_start_that_the_spare_becomes(
    kind: type[Simulated | Processes],
) -> None:
    point = CrashPoint(point="counted", action="exit:9", at=2, start=1, node="p0")
    on = kind(2, spare=1, faults=FaultPlan(point))

    async def main() -> None:
        async with counting(on) as watched:
            assert [await watched.ask("c0", Count()) for _ in range(3)] == [1, 2, 3]
            await watched.ready(1)
            assert (await watched.killed("p0")).spare
            assert await watched.ask("c0", Count()) == 1
            assert await watched.ask("c0", Count()) == 1  # it died of the second, was asked again
            reasons = [event.reason for event in watched.of(NodeDied)]  # type: ignore[attr-defined]  # of that kind
            assert reasons == ["killed by signal 9 (SIGKILL)", "exit code 9"]

    actors.run(main(), on=on)


def test_in_a_simulation_one_in_reserve_saves_the_time_of_a_start() -> None:
    async def recovery(on: Simulated) -> float:
        loop = asyncio.get_running_loop()
        async with counting(on) as watched:
            await asyncio.sleep(30.0)
            began = loop.time()
            await watched.killed("p0")
            return loop.time() - began

    on, without = Simulated(2, start=7.0, spare=1), Simulated(2, start=7.0)
    took = actors.run(recovery(on), on=on)
    assert took < 0.1
    assert actors.run(recovery(without), on=without) == pytest.approx(7.0 + took, abs=0.1)


def test_a_simulated_spare_is_a_process_that_was_started() -> None:
    on = Simulated(2, spare=1)

    async def main() -> int:
        graph = ActorGraph("counting")
        with graph.supervisor("root", place=Process()):
            graph.actors("c{}", 2, Counter)
        with Simulation(on).running() as simulation:
            async with graph.start(on, world=simulation.world("counting")):
                await asyncio.sleep(5.0)
            return simulation.statistics().started

    assert actors.run(main(), on=on) == 3


async def test_what_is_preloaded_is_there_when_the_spare_is_taken() -> None:
    async with counting(Processes(2, spare=1, preload=(MODULE,))) as watched:
        assert not await watched.ask("c0", Loaded(MODULE))
        await watched.ready(1)
        assert (await watched.killed("p0")).spare
        assert await watched.ask("c0", Loaded(MODULE))


async def test_a_process_with_another_environment_never_gets_a_spare() -> None:
    env = {"p1": {"MARK": "here"}}
    async with counting(Processes(2, spare=1, env=env)) as watched:
        pid = await watched.ready(1)
        assert not (await watched.killed("p1")).spare
        assert await watched.ask("c1", Variable("MARK")) == "here"
        started = await watched.killed("p0")
        assert (started.spare, started.pid) == (True, pid)
        assert await watched.ask("c0", Variable("MARK")) is None


async def test_a_spare_of_an_environment_that_changed_since_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with counting(Processes(2, spare=1)) as watched:
        pid = await watched.ready(1)
        monkeypatch.setenv("MARK", "new")
        assert not (await watched.killed("p0")).spare
        await watched.ready(2)
        assert not running(pid)
        assert (await watched.killed("p0")).spare
        assert await watched.ask("c0", Variable("MARK")) == "new"
        assert watched.of(SpareDied) == []


async def test_a_spare_that_dies_counts_against_nobody_and_is_replaced() -> None:
    async with counting(Processes(2, spare=1)) as watched:
        pid = await watched.ready(1)
        os.kill(pid, signal.SIGKILL)
        second = await watched.ready(2)
        assert second != pid
        (died,) = watched.of(SpareDied)
        assert died == SpareDied(
            pid=pid, reason="killed by signal 9 (SIGKILL)", lines=[], given_up=False
        )
        assert watched.of(NodeDied) == watched.of(ActorFailure) == []
        assert (await watched.killed("p0")).pid == second


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "in reserve: Too many open files"),
        (ValueError("odd"), "ValueError: odd"),
    ],
)
async def test_a_spare_that_cannot_be_started_is_told_of_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    pair = socket.socketpair
    errors = [error]

    def scarce() -> tuple[socket.socket, socket.socket]:
        if errors:
            raise errors.pop()
        return pair()

    monkeypatch.setattr("actors.spawner.socket.socketpair", scarce)
    async with counting(Processes(2, spare=1)) as watched:
        await watched.ready(1)
        (died,) = watched.of(SpareDied)
        assert isinstance(died, SpareDied)
        assert died.reason.endswith(reason)


async def test_spares_that_cannot_load_are_given_up_and_processes_go_on_without() -> None:
    async with counting(Processes(2, spare=1, preload=("no_such_module",))) as watched:
        await watched.until(lambda: len(watched.of(SpareDied)) >= reserve.TRIES)
        told = [event for event in watched.events if isinstance(event, SpareDied)]
        assert [event.given_up for event in told] == [False] * (reserve.TRIES - 1) + [True]
        assert "No module named 'no_such_module'" in told[0].lines[-1]
        assert watched.live is not None
        assert repr(watched.live.processes) == "<Processes 2/2 up, <Reserve 0/0 loaded>>"
        assert not (await watched.killed("p0")).spare
        assert await watched.ask("c0", Count()) == 1
        assert len(watched.of(SpareDied)) == reserve.TRIES


async def test_a_frozen_spare_holds_nobody_up_for_more_than_half_a_second_and_is_killed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with counting(Processes(2, spare=1)) as watched:
        pid = await watched.ready(1)
        os.kill(pid, signal.SIGSTOP)
        started = await watched.killed("p0")
        assert not started.spare
        assert not running(pid)
        assert "could not become p0: it did not answer within 0.5 s; another process" in caplog.text
        assert len(watched.of(NodeDied)) == 1
        assert await watched.ask("c0", Count()) == 1


async def test_one_that_never_finishes_loading_is_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "endless.py").write_text(SLEEP)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(reserve, "LOAD_LIMIT", 0.5)
    async with counting(Processes(2, spare=1, preload=("endless",))) as watched:
        await watched.until(lambda: watched.of(SpareDied))
        died = watched.of(SpareDied)[0]  # on a slow machine the next may have followed
        assert isinstance(died, SpareDied)
        assert died.reason == "it had not loaded within 0.5 s"
        assert died.pid is not None
        assert not running(died.pid)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Processes(2, spare=3), r"Processes\(2, spare=3\) cannot be; give from 0 to 2"),
        (lambda: Processes(2, spare=-1), "give from 0 to 2"),
        (lambda: Simulated(2, spare=3), r"Simulated\(2, spare=3\) cannot be"),
        (lambda: Processes(2, preload=("torch",)), "give spare=1 with it"),
        (lambda: Processes(2, spare=1, preload="torch"), r"give a tuple: \('torch',\)"),  # type: ignore[arg-type]  # what people type
    ],
)
def test_what_cannot_be_is_refused(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        make()


# -- the process itself ----------------------------------------------------------------------------

PROGRAM = """
import msgspec
from actors import lifeline
from actors.spare import SpareConfig, await_identity
raw = lifeline.attach()
print("attached")
exec(await_identity(msgspec.msgpack.decode(raw, type=SpareConfig)).decode())
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "waiting.py").write_text(PROGRAM)
    (tmp_path / "endless.py").write_text(f"print('loading')\n{SLEEP}")
    (tmp_path / "hard.py").write_text("print('loading')\nimport re; re.match('(a+)+$', 'a' * 60)")
    (tmp_path / "attached.py").write_text(
        "from actors import lifeline\nexec(lifeline.attach().decode())\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.fixture
async def spawner(program: None) -> AsyncIterator[PopenSpawner]:
    spawner = PopenSpawner()
    yield spawner
    await spawner.close()


def spec(body: str = "", **more: object) -> ProcessSpec:
    return ProcessSpec(name="child", module="waiting", config=body.encode(), **more)  # type: ignore[arg-type]  # whatever field the test needs


@pytest.mark.parametrize("size", [0, 2_000_000])
async def test_who_it_is_may_be_larger_than_a_sockets_buffer(
    spawner: PopenSpawner, size: int
) -> None:
    lines: list[str] = []
    waiting = await spawner.reserve(ProcessSpec(name="spare", module="waiting"))
    async with asyncio.timeout(LIMIT):
        await waiting.loaded.wait()
        child = await waiting.take(
            spec(f"#{'x' * size}\nprint('whole'); raise SystemExit(3)", on_line=lines.append)
        )
        assert await child.wait() == Exit(code=3)
    assert child.name == "child"
    assert lines == ["whole"]
    assert child.last_lines() == ["attached", "whole"]


async def test_its_channel_is_closed_once_it_is_somebody(spawner: PopenSpawner) -> None:
    body = """
import os
paths = [f"/proc/self/fd/{number}" for number in range(3, 1000)]
print([os.readlink(path) for path in paths if os.path.lexists(path)])
"""
    waiting = await spawner.reserve(ProcessSpec(name="spare", module="waiting"))
    async with asyncio.timeout(LIMIT):
        await waiting.loaded.wait()
        child = await waiting.take(spec(body))
        await child.wait()
    assert "pipe:" in child.last_lines(1)[0]
    assert "socket:" not in child.last_lines(1)[0]


async def test_one_that_died_cannot_be_taken(spawner: PopenSpawner) -> None:
    waiting = await spawner.reserve(ProcessSpec(name="spare", module="waiting"))
    async with asyncio.timeout(LIMIT):
        await waiting.loaded.wait()
        os.kill(waiting.pid, signal.SIGKILL)
        with pytest.raises(SpareLost, match=r"could not become child: killed by signal 9"):
            await waiting.take(spec("print('never')"))
    assert spawner.statistics().alive == 0


async def test_it_fits_only_what_would_be_started_alike(
    spawner: PopenSpawner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    waiting = await spawner.reserve(spec(env={"A": "1"}))
    assert waiting.fits(spec("other code", env={"A": "1"}))
    assert not waiting.fits(spec(env={"A": "2"}))
    assert not waiting.fits(spec(env={"A": "1", "OMP_NUM_THREADS": "4"}))
    assert not waiting.fits(spec(env={"A": "1"}, cwd=str(tmp_path)))
    assert not waiting.fits(spec(env={"A": "1"}, pass_fds=(2,)))
    assert not waiting.fits(spec("x" * (lifeline.MAX_CONFIG + 1), env={"A": "1"}))
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    assert not waiting.fits(spec(env={"A": "1"}))


LAUNCHER = """
import asyncio, os
from actors.spawner import PopenSpawner, ProcessSpec

def said(line):
    print("said", line)

async def main():
    spawner = PopenSpawner()
    spec = ProcessSpec(name="spare", module="waiting", on_line=said)
    loaded = await spawner.reserve(spec)
    taken = await spawner.reserve(spec)
    frozen = await spawner.reserve(spec)
    loading = await spawner.reserve(spec, ("endless",))
    computing = await spawner.reserve(spec, ("hard",))
    for spare in (loaded, taken, frozen):
        await spare.loaded.wait()
    os.kill(frozen.pid, 19)
    child = await taken.take(ProcessSpec(
        name="taken", module="waiting", on_line=said,
        config=b"import os, subprocess; print(subprocess.Popen(['sleep', '60']).pid, flush=True)\\n"
        b"import time; time.sleep(60)",
    ))
    print("pids", loaded.pid, taken.pid, frozen.pid, loading.pid, computing.pid)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


@pytest.mark.parametrize("first", [None, signal.SIGSTOP])
async def test_no_spare_outlives_its_launcher_at_whatever_stage_it_is(
    spawner: PopenSpawner, first: signal.Signals | None
) -> None:
    lines: list[str] = []
    all_there = asyncio.Event()

    def on_line(line: str) -> None:
        lines.append(line)
        loading = lines.count("said loading")
        helper = any(re.fullmatch(r"said \d+", line) for line in lines)
        if loading == 2 and helper and any(line.startswith("pids") for line in lines):
            all_there.set()

    launcher = await spawner.spawn(
        ProcessSpec(name="launcher", module="attached", config=LAUNCHER.encode(), on_line=on_line)
    )
    async with asyncio.timeout(LIMIT):
        await all_there.wait()
    pids = [int(number) for line in lines for number in re.findall(r"\d+", line)]
    assert len(pids) == 6
    assert all(running(pid) for pid in pids)
    if first is not None:
        os.kill(launcher.pid, first)
    os.kill(launcher.pid, signal.SIGKILL)
    left = await until_gone(pids, 5.0)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []
