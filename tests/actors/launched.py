"""Processes for tests: what they run, and how their end is awaited."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from actors.exits import Exit
from actors.spawner import Child, PopenSpawner, ProcessSpec

# What a node's main does, with a body that the test sends along as configuration.
ATTACHED = """
from actors import lifeline
if __name__ == "__main__":  # a process that multiprocessing spawns loads this, too
    exec(lifeline.attach().decode())
"""

LIMIT = 30.0  # seconds: what takes 0.1 s on an idle machine, on one shared by many


def spec(body: str, **more: object) -> ProcessSpec:
    return ProcessSpec(name="child", module="attached", config=body.encode(), **more)  # type: ignore[arg-type]  # whatever field the test needs


async def ended(child: Child) -> Exit:
    async with asyncio.timeout(LIMIT):
        return await child.wait()


async def start_and_await_line(spawner: PopenSpawner, body: str) -> Child:
    """Start a child and wait until its body has printed something."""
    printed = asyncio.Event()
    child = await spawner.spawn(spec(body, on_line=lambda _: printed.set()))
    async with asyncio.timeout(LIMIT):
        await printed.wait()
    return child


async def until_gone(pids: list[int], limit: float) -> list[int]:
    """Wait until none of the processes runs any more; returns those that still do."""
    deadline = time.monotonic() + limit
    left = pids
    while left := [pid for pid in left if running(pid)]:
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(0.01)  # other processes' children: nobody can tell us
    return left


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"  # an orphan's zombie waits for init only


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))  # noqa: PTH208  (the names alone)
