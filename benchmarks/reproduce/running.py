"""Runs beside one another, each in a process that has loaded torch once."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

T = TypeVar("T")
S = TypeVar("S")


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread_over(function: Callable[[S], T], cases: Sequence[S], jobs: int) -> list[T]:
    """Return what a function gives for each case; as many are computed at once as there are jobs.

    Simulated runs and their bits do not depend on who computes beside them. How many are done goes
    to standard error.
    """
    if jobs == 1:
        return list(_told(map(function, cases), len(cases)))
    # Spawned: a fork would take over torch's threads in an unknown state.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        min(jobs, len(cases)), mp_context=context, initializer=_end_with_parent
    ) as pool:
        return list(_told(pool.map(function, cases), len(cases)))


def _end_with_parent() -> None:
    """Let nothing be computed for a parent that was killed: a pool's process waits for it for ever.

    What waits at the pool's pipe holds its other end, too, and so never sees that it is closed.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, name="end-with-parent", daemon=True).start()


def _told(results: Iterator[T], count: int) -> Iterator[T]:
    for number, result in enumerate(results, 1):
        print(f"{number} of {count} runs", file=sys.stderr, flush=True)
        yield result
