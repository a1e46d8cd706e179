"""How an actor came to its end is told apart, with the last lines of its process."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors import (
    Actor,
    ActorFailed,
    ActorFailure,
    ActorGraph,
    ActorRestarted,
    AskError,
    GaveUp,
    Message,
    NodeDied,
    Process,
    Processes,
    one_for_one,
)

pytestmark = pytest.mark.timeout(60)


class Die(Message[None]):
    how: str


def no_core_file() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))


class Mortal(Actor):
    def die(self, message: Die) -> None:
        sys.stdout.write("last words\n")
        sys.stdout.flush()
        match message.how:
            case "raise":
                raise ValueError("as told")
            case "exit":
                os._exit(3)
            case "segfault":
                no_core_file()
                ctypes.string_at(0)
            case "abort":
                no_core_file()
                os.abort()
            case "memory":
                hoard = bytearray(4 << 30)
                hoard[::4096] = bytes(len(hoard[::4096]))
            case number:
                os.kill(os.getpid(), int(number))


async def death(how: str) -> tuple[list[NodeDied], list[ActorFailure], str]:
    """What is told of it, and what its asker gets."""
    graph = ActorGraph("mortals")
    with graph.supervisor("root", one_for_one(3), place=Process()):
        graph.actor("mortal", Mortal)
    died: list[NodeDied] = []
    failed: list[ActorFailure] = []
    async with graph.start(Processes(1)) as live:
        restarted = asyncio.Event()
        live.system.events.subscribe(NodeDied, died.append)
        live.system.events.subscribe(ActorFailure, failed.append)
        live.system.events.subscribe(ActorRestarted, lambda _: restarted.set())
        try:
            await live["mortal"].ask(Die(how), timeout=20)
        except (AskError, ActorFailed) as error:
            answer = f"{type(error).__name__}: {error}"
        async with asyncio.timeout(20):
            await restarted.wait()
    return died, failed, answer


@pytest.mark.parametrize(
    ("how", "reason", "line"),
    [
        ("exit", "exit code 3", "last words"),
        ("segfault", "segmentation fault (signal 11)", "Fatal Python error: Segmentation fault"),
        ("abort", "aborted (signal 6)", "Fatal Python error: Aborted"),
        (str(int(signal.SIGKILL)), "killed by signal 9 (SIGKILL)", "last words"),
        (str(int(signal.SIGTERM)), "killed by signal 15 (SIGTERM)", "last words"),
    ],
)
async def test_a_process_that_ends_says_how_and_what_it_said_last(
    how: str, reason: str, line: str
) -> None:
    died, failed, answer = await death(how)
    assert [(event.node, event.reason) for event in died] == [("p0", reason)]
    assert line in died[0].lines
    assert len(died[0].lines) <= 40
    assert "last words" in died[0].lines
    (failure,) = failed
    assert (failure.path, failure.outside) == ("/root/mortal", True)
    assert reason in failure.error
    assert line in failure.traceback.splitlines()
    assert answer.startswith("PeerLost: "), answer


async def test_a_graph_that_gives_up_tells_what_the_process_said_last() -> None:
    graph = ActorGraph("mortals")
    with graph.supervisor("root", one_for_one(0), place=Process()):
        graph.actor("mortal", Mortal)
    async with graph.start(Processes(1)) as live:
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        live["mortal"].tell(Die("exit"))
        async with asyncio.timeout(20):
            with pytest.raises(GaveUp, match="exit code 3") as caught:
                await live.until(never)
    assert caught.value.remote_traceback == "last words"


async def test_an_exception_ends_the_actor_and_not_its_process() -> None:
    died, failed, answer = await death("raise")
    assert died == []
    (failure,) = failed
    assert (failure.path, failure.outside) == ("/root/mortal", False)
    assert "ValueError: as told" in failure.error
    assert "in die" in failure.traceback
    assert answer.startswith("ActorFailed: ")
    assert "as told" in answer


LIMIT = 600 << 20  # two interpreters take a tenth of it

MAIN = """
import json
import actors
from tests.actors.test_deaths import death

if __name__ == "__main__":
    died, failed, answer = actors.run(death("memory"))
    print(json.dumps([[d.reason for d in died], [f.error for f in failed], answer]))
"""


@pytest.fixture
def small_memory() -> Iterator[Path]:
    """A memory cgroup of our own; the file that takes the process ids of its members."""
    v2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    parent = Path("/sys/fs/cgroup") if v2 else Path("/sys/fs/cgroup/memory")
    group = parent / f"actorfl-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no memory cgroup can be made here: {error}")
    try:
        limit = group / ("memory.max" if v2 else "memory.limit_in_bytes")
        limit.write_text(str(LIMIT))
        yield group / "cgroup.procs"
    except OSError as error:
        pytest.skip(f"no memory limit can be set here: {error}")
    finally:
        group.rmdir()


def test_the_kernels_kill_for_lack_of_memory_is_told_apart(
    small_memory: Path, tmp_path: Path
) -> None:
    program = tmp_path / "memory.py"
    program.write_text(MAIN)
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        ["/bin/sh", "-c", f'echo $$ > {small_memory} && exec "$@"', "sh", sys.executable, program],
        env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True, timeout=50,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    reasons, failures, answer = json.loads(done.stdout.splitlines()[-1])
    assert reasons == ["killed by the kernel for lack of memory"]
    assert "killed by the kernel for lack of memory" in failures[0]
    assert answer.startswith("PeerLost: ")
