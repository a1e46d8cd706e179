"""Every test leaves the process as it found it: no thread, no child process, no open descriptor."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

#: Threads that belong to the process, by the beginning of their name, and why each may stay.
_STAYS = {
    "actorfl-training-lane": "one per process, a daemon; torch cannot be interrupted",
    "Thread-": "pyzmq's collector of zero-copy frames, one per process",
    "pytest_timeout": "the time limit of the test itself",
}
#: Seconds that what ends in the background (ZeroMQ's reaper, a killed child) is given.
_GRACE = 3.0
#: Descriptors that libraries open once and keep: torch's and OpenMP's on first use, for example.
_SLACK = 8


@pytest.fixture(scope="session", autouse=True)
def zeromq_context() -> zmq.Context[zmq.Socket[bytes]]:
    """The process's context, made before anything is counted."""
    return zmq.Context.instance()


def threads() -> set[str]:
    return {
        f"{thread.name} ({thread.ident})"
        for thread in threading.enumerate()
        if not thread.name.startswith(tuple(_STAYS))
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


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    if not Path("/proc/self/fd").exists():
        yield
        return
    before = threads(), children(), descriptors()
    yield
    deadline = time.monotonic() + _GRACE
    while True:
        left_threads, left_children = threads() - before[0], children() - before[1]
        more = descriptors() - before[2]
        if not left_threads and not left_children and more <= _SLACK:
            return
        if time.monotonic() > deadline:
            break
        gc.collect()
        time.sleep(0.02)  # a poll under a limit
    pytest.fail(
        f"left behind: threads {sorted(left_threads)}, children {sorted(left_children)}, "
        f"{more} more descriptors"
    )
