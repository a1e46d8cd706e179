"""A process that is killed and started again many times leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc

import pytest

from actors import ActorGraph, Backoff, NodeStarted, Process, Processes, one_for_one
from actors.errors import AskError
from tests.actors.echoes import Adder, Pid
from tests.conftest import children, descriptors, threads


async def cycle(cycles: int) -> None:
    graph = ActorGraph("cycles")
    with graph.supervisor(
        "root", one_for_one(outside=cycles + 10, backoff=Backoff(0.0)), place=Process("child")
    ):
        graph.actor("adder", Adder, start=0)
        graph.actor("other", Adder, start=1)
    started: asyncio.Queue[NodeStarted] = asyncio.Queue()
    async with graph.start(
        Processes(1),
        before=lambda system: system.events.subscribe(NodeStarted, started.put_nowait),
    ) as live:
        assert live.processes is not None
        pids = set()
        counts: list[tuple[int, ...]] = []
        for number in range(cycles):
            pid = (await started.get()).pid
            pids.add(pid)
            assert await answered(live["adder"]) == pid
            assert await answered(live["other"]) == pid
            gc.collect()
            counts.append((descriptors(), len(threads()), len(children()), len(tasks())))
            if number + 1 < cycles:
                live.processes.kill("child")
        assert len(pids) == cycles
        # The first cycles open what is opened once.
        for later, first in zip(columns(counts[5:]), columns(counts[:5]), strict=True):
            assert max(later) <= max(first), counts


async def answered(ref: object) -> int:
    """The process of an actor, asked again while its restart is under way."""
    while True:
        try:
            return int(await ref.ask(Pid(), timeout=10.0))  # type: ignore[attr-defined]
        except AskError:
            await asyncio.sleep(0.005)


def columns(rows: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    return list(zip(*rows, strict=True))


def tasks() -> set[asyncio.Task[object]]:
    return asyncio.all_tasks()


@pytest.mark.timeout(300)
async def test_fifty_processes_that_die_one_after_the_other_leave_nothing_behind() -> None:
    await cycle(50)


@pytest.mark.slow
@pytest.mark.timeout(1200)
async def test_five_hundred_do_not_either() -> None:
    await cycle(500)
