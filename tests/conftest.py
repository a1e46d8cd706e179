"""Every test leaves the process as it found it, and nothing of ours blocks a running loop.

What is looked for at the end of a test: threads, child processes, open descriptors, pending tasks,
and what the process does at a signal.
What may block is listed in `_MAY_BLOCK`, each with its reason.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import blockbuster.blockbuster
import hypothesis
import pytest
import pytest_asyncio
import uvloop
import zmq
from zmq.utils.garbage import GarbageCollectorThread

# An example may take as long as a busy machine makes it: tests have limits of their own. What a
# change is judged by is the same each time; `make test-slow` draws anew (--hypothesis-profile drawn).
hypothesis.settings.register_profile("actorfl", deadline=None, derandomize=True)
hypothesis.settings.register_profile("drawn", deadline=None)
hypothesis.settings.load_profile("actorfl")

#: Threads that belong to the process, by the beginning of their name, and why each may stay.
_STAYS = {
    "actorfl-training-lane": "one per process, a daemon; torch cannot be interrupted",
    "pytest_timeout": "the time limit of the test itself",
}
#: Seconds that what ends in the background (ZeroMQ's reaper, a killed child) is given.
_GRACE = 3.0
#: Calls shown of what blocks a loop, the innermost: enough to reach through libraries to us.
_FRAMES = 16

_LOCK = ("threading.Lock.acquire",)
_STAT = ("os.stat",)
_WRITE = ("io.TextIOWrapper.write", "io.BufferedWriter.write")
_READ = ("io.TextIOWrapper.read", "io.BufferedReader.read")
_REMOVE = ("os.scandir", "os.unlink", "os.rmdir", "os.path.samestat")
_EVERYTHING: tuple[str, ...] = ()

#: What may block a running loop: calls, all if none is named, file, functions. What they call
#: may, too.
_MAY_BLOCK: tuple[tuple[tuple[str, ...], str, tuple[str, ...]], ...] = (
    # Whoever must not wait for a line of the log gives logging a QueueHandler.
    (_WRITE, "logging/__init__.py", ("emit", "flush")),
    # Before an endpoint listens and after it has closed; a connect to a stale socket never waits.
    ((*_STAT, "os.mkdir"), "transports/address.py", ("prepare",)),
    (("os.unlink",), "transports/address.py", ("prepare", "clear")),
    # The directory of a simulated run, before it starts and after it has ended.
    (("os.mkdir", *_STAT, *_REMOVE), "actorfl/chaos/scenario.py", ("play",)),
    # Once, before a launcher listens for observers.
    (_STAT, "actors/observing.py", ("_check_directory",)),
    # Before the first node of a launcher, and after the last.
    (("os.mkdir",), "actors/addresses.py", ("_made",)),
    (_REMOVE, "actors/addresses.py", ("close",)),
    # The source of an actor's class: before the graph starts, or before that actor does.
    ((*_READ, *_STAT, "os.path.abspath"), "actors/code.py", ("parse", "reference")),
    # To load it is to import what it imports.
    (_EVERYTHING, "actors/code.py", ("load",)),
    # A file of the kernel's, made up in memory.
    (_READ, "actors/exits.py", ("read", "_cgroup_candidates")),
    # As print would: whoever must not wait for a console gives on_line.
    (_WRITE, "actors/output.py", ("_write",)),
    # The script, before its processes are started.
    (_READ, "actors/mainguard.py", ("refuse_unguarded",)),
    # Text: it asks for the working directory where a path is relative, and no disk.
    (("os.path.abspath",), "actors/surroundings.py", ("import_path",)),
    # Python works out its own folders once in a process, with the first child.
    (
        ("os.path.abspath", "os.path.islink", *_STAT),
        "actors/surroundings.py",
        ("_standard_folders",),
    ),
    (("os.path.abspath",), "actors/storage.py", ("__init__",)),
    # From the loop's own thread until the child has called exec, about 2 ms: see there.
    (("os.read",), "actors/spawner.py", ("_start",)),
    # The end of a thread that has nothing left to do, as was awaited.
    (_LOCK, "actors/storage.py", ("close",)),
    # The end of an actor's thread within a simulation, whose time stands still meanwhile.
    (_LOCK, "actors/blocking.py", ("_stop",)),
    # A simulation computes within the call, in virtual time, and copies the disk at its two ends.
    (_EVERYTHING, "actors/sim/work.py", ("run",)),
    (_EVERYTHING, "actors/sim/disk.py", ("of", "write_to")),
    # What is computed beside a simulation that is over.
    (_EVERYTHING, "actorfl/lane.py", ("_at_once",)),
    # Documented to block, for no longer than it is told.
    (_LOCK, "actorfl/lane.py", ("close",)),
    # Before a run starts and after it has ended; its loop has nothing else to do.
    ((*_STAT, "os.path.abspath"), "actorfl/run.py", ("__init__",)),
    (
        (*_STAT, *_READ, "os.listdir", "os.mkdir", "os.getcwd"),
        "actorfl/rundir.py",
        ("create", "open", "begin"),
    ),
    (("os.getcwd",), "actorfl/rundir.py", ("shown",)),
    # Where a program's own paths begin if it has no file: no disk is asked.
    (("os.getcwd",), "actorfl/run.py", ("_script_directory",)),
    # The notice of where a run can be observed: before its first actor, and after the last.
    (
        (*_WRITE, *_STAT, "os.replace", "os.unlink", "os.listdir", "os.scandir"),
        "actorfl/attaching.py",
        ("announce", "close", "_remove_old"),
    ),
    # What a full disk left of it is removed before an actor is there.
    ((*_WRITE, "os.replace", "os.unlink"), "actorfl/rundir.py", ("write",)),
    (_REMOVE, "actorfl/rundir.py", ("discard",)),
    ((*_STAT, *_READ), "actorfl/execute.py", ("_count_start", "_ended")),
    # Once, for the sentence of a run that has failed.
    ((*_STAT, "os.path.abspath", "os.path.islink"), "actorfl/places.py", ("_folders",)),
    # Its last whole record is looked for before the run starts.
    ((*_STAT, *_READ), "actorfl/eventfile.py", ("__init__", "_end_of_records")),
    # The events of a run, few and bounded: on the disk before the launcher acts on the next one.
    (_WRITE, "actorfl/runlog.py", ("_event", "line", "tell")),
)


@pytest.fixture(scope="session", autouse=True)
def zeromq_context() -> zmq.Context[zmq.Socket[bytes]]:
    """The process's context, made before anything is counted."""
    return zmq.Context.instance()


@pytest.fixture(scope="session", autouse=True)
def opened_once(zeromq_context: zmq.Context[zmq.Socket[bytes]]) -> None:
    """What libraries open on first use and keep, opened before anything is counted.

    ZeroMQ's threads start with the first socket, pyzmq's collector of frames that are sent without
    a copy with the first of them, and libuv keeps a pipe for signals.
    """
    with zeromq_context.socket(zmq.PAIR) as one, zeromq_context.socket(zmq.PAIR) as other:
        one.bind("inproc://opened-once")
        other.connect("inproc://opened-once")
        one.send(bytes(zmq.COPY_THRESHOLD + 1), copy=False)  # what is smaller is copied
        other.recv()
    uvloop.new_event_loop().close()


class _Blocked(blockbuster.blockbuster.BlockingError):
    """Noted as well as raised: much of what we call is guarded, an actor is started again."""

    seen: list[str] = []  # noqa: RUF012  (of the whole process)

    def __init__(self, func: str) -> None:
        super().__init__(func)
        stack = traceback.format_stack()[:-2]  # without this and the wrapper's own call
        self.seen.append(f"{self} by\n{''.join(stack[-_FRAMES:])}")


@pytest.fixture(scope="session", autouse=True)
def blocking_is_noted() -> Iterator[None]:
    """Once for the session: threads that outlive a test never see functions change under them."""
    checks = blockbuster.blockbuster.BlockBuster(
        scanned_modules=["transports", "actors", "actorfl"],
        # In the stack of all that runs in a simulation, tests included; it calls nothing itself.
        excluded_modules=["transports.sim.loop"],
    )
    for names, file, functions in _MAY_BLOCK:
        for name in names or checks.functions:
            checks.functions[name].can_block_in(f"/{file}", functions)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blockbuster.blockbuster, "BlockingError", _Blocked)
        checks.activate()
        try:
            yield
        finally:
            checks.deactivate()


@pytest.fixture(autouse=True)
def nothing_blocks_a_loop(blocking_is_noted: None) -> Iterator[None]:
    yield
    seen = _Blocked.seen[:]
    _Blocked.seen.clear()
    if seen:
        pytest.fail("blocks a running loop: " + "\n".join(seen), pytrace=False)


def threads() -> set[str]:
    return {
        f"{thread.name} ({thread.ident})"
        for thread in threading.enumerate()
        # pyzmq's collector of frames sent without a copy, one per process, has no name of its own.
        if not isinstance(thread, GarbageCollectorThread)
        and not thread.name.startswith(tuple(_STAYS))
    }


def children() -> set[int]:
    me = os.getpid()
    found: set[int] = set()
    for task in Path(f"/proc/{me}/task").glob("*/children"):
        try:
            found.update(map(int, task.read_text().split()))
        except OSError:
            continue  # the thread has ended meanwhile
    return found


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def opened() -> dict[str, str]:
    """What each descriptor is of: a path, ``socket:[...]``, ``anon_inode:[eventfd]``, ..."""
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found[entry.name] = str(entry.readlink())
        except OSError:
            continue  # that of this very listing
    return found


@pytest.fixture(autouse=True)
def nothing_is_left_behind(request: pytest.FixtureRequest, opened_once: None) -> Iterator[None]:
    if not Path("/proc/self/fd").exists():
        yield
        return
    before = threads(), children(), opened()
    yield
    deadline = time.monotonic() + _GRACE
    while True:
        left_threads, left_children = threads() - before[0], children() - before[1]
        now = opened()
        more = len(now) - len(before[2])
        if not left_threads and not left_children and more <= 0:
            return
        if time.monotonic() > deadline:
            break
        gc.collect()
        time.sleep(0.02)  # a poll under a limit
    others = dict(sorted(now.items() - before[2].items()))
    pytest.fail(
        f"left behind: threads {sorted(left_threads)}, children {sorted(left_children)}, "
        f"{more} more descriptors {others if more > 0 else ''}"
    )


#: What a command, a run or a debugger sets for its own time.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)


@pytest.fixture(autouse=True)
def signals_are_heeded_as_before(nothing_is_left_behind: None) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    yield
    changed = []
    for number, handler in before.items():
        if signal.getsignal(number) != handler:
            changed.append(f"{number.name} is left to {signal.getsignal(number)}")
            signal.signal(number, handler)  # the next test is to fail for its own faults alone
    assert not changed, ", ".join(changed)


@pytest_asyncio.fixture
async def tasks_of_the_loop() -> AsyncIterator[None]:
    yield
    deadline = time.monotonic() + _GRACE
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        if time.monotonic() > deadline:
            pytest.fail(f"left behind: tasks {sorted(map(repr, others))}")
        await asyncio.sleep(0.005)  # a poll under a limit


@pytest.fixture(autouse=True)
def no_task_is_left(request: pytest.FixtureRequest, nothing_is_left_behind: None) -> None:
    """Asked for here, before all else of a test, so that it is torn down after all else."""
    if pytest_asyncio.is_async_test(request.node):
        request.getfixturevalue("tasks_of_the_loop")
