"""Many idle actors in one node: rows 17 and 18 of docs/performance.md.

    python -m benchmarks.spawning [--repetitions 5] [--json FILE]

Each trial is a process of its own, so that memory is counted from the same start: it makes the
actors one after the other, waits until all are idle, and then asks each of them, again and again;
the first time warms up, as it does in the other benchmarks. Ours is ``ActorSystem.spawn`` and
``ask``; the yardstick is pykka, where each actor is a thread.

Each is asked in two ways: by a hundred askers, which take the next actor when they have an answer,
and at once by a task for each ask, where these tasks cost as much as the asks. pykka needs neither:
it sends all requests and then waits for the answers, one after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pykka

import actors
from actors import Actor, ActorRef, ActorSystem, Message
from benchmarks import report
from benchmarks.report import Row, Trials

COUNTS = (1_000, 10_000)
WIDTH = 68
"""Characters of what was measured."""
WARM = 50
"""Actors made before anything is counted: first uses load code and fill caches."""
ROUNDS = 5
"""Times that all are asked, after the one that warms up; the median counts."""
LIMIT = 300
"""Seconds for one trial; ours takes one, ten thousand threads on a busy machine some."""
ASKERS = 100
"""Asks under way at a time, where there is no task for each."""
UNITS = {"spawn": "us", "memory": "KiB", "descriptors": "fds", "ask": "us", "at once": "us"}


class Ping(Message[int]):
    pass


class Idle(Actor):
    def ping(self, message: Ping) -> int:
        return 1


class IdleThread(pykka.ThreadingActor):
    use_daemon_thread = True

    def on_receive(self, message: object) -> int:
        return 1


class Footprint:
    """Memory and descriptors of this process."""

    def __init__(self) -> None:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.memory = pages * resource.getpagesize() / 1024
        self.descriptors = len(list(Path("/proc/self/fd").iterdir()))

    def each(self, before: Footprint, count: int) -> dict[str, float]:
        return {
            "memory": (self.memory - before.memory) / count,
            "descriptors": (self.descriptors - before.descriptors) / count,
        }


async def ask_each(refs: Sequence[ActorRef[Idle]]) -> int:
    """Ask each, ``ASKERS`` at a time; the sum of the answers."""
    left = iter(refs)

    async def asker() -> int:
        return sum([await ref.ask(Ping(), timeout=60) for ref in left])

    return sum(await asyncio.gather(*(asker() for _ in range(ASKERS))))


async def ask_at_once(refs: Sequence[ActorRef[Idle]]) -> int:
    """Ask each by a task of its own; the sum of the answers."""
    return sum(await asyncio.gather(*(ref.ask(Ping(), timeout=60) for ref in refs)))


async def ours(count: int) -> dict[str, float]:
    async with ActorSystem("spawning") as system:
        for i in range(WARM):
            await (await system.spawn(f"warm{i}", Idle)).ask(Ping(), timeout=60)
        before = Footprint()
        start = time.perf_counter()
        refs = [await system.spawn(f"idle{i}", Idle) for i in range(count)]
        spawned = time.perf_counter() - start
        found = Footprint().each(before, count)
        for way, ask in (("ask", ask_each), ("at once", ask_at_once)):
            asked, replies = [], 0
            for _ in range(1 + ROUNDS):
                start = time.perf_counter()
                replies += await ask(refs)
                asked.append(time.perf_counter() - start)
            found[way] = _micro(count, asked, replies)
    return found | {"spawn": spawned / count * 1e6}


def threads(count: int) -> dict[str, float]:
    for _ in range(WARM):
        IdleThread.start().ask(None)
    before = Footprint()
    start = time.perf_counter()
    refs = [IdleThread.start() for _ in range(count)]
    spawned = time.perf_counter() - start
    found = Footprint().each(before, count)
    asked, replies = [], 0
    for _ in range(1 + ROUNDS):
        start = time.perf_counter()
        futures = [ref.ask(None, block=False) for ref in refs]
        replies += sum(int(future.get(timeout=60)) for future in futures)
        asked.append(time.perf_counter() - start)
    each = _micro(count, asked, replies)
    return found | {"spawn": spawned / count * 1e6, "ask": each, "at once": each}


def _micro(count: int, asked: list[float], replies: int) -> float:
    """Microseconds for each ask, once warm."""
    if replies != len(asked) * count:
        raise RuntimeError(f"{count} actors were asked {len(asked)} times and {replies} replied")
    return statistics.median(asked[1:]) / count * 1e6


def trial(who: str, count: int) -> dict[str, float]:
    """One trial, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.spawning", "--trial", who, str(count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=LIMIT, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure(count: int, trials: int) -> dict[str, dict[str, float]]:
    """Medians by who and what."""
    names = ("ours", "pykka")
    found = {what: Trials(names) for what in UNITS}
    for repetition in range(trials):
        for who in found["spawn"].order(repetition):
            for what, value in trial(who, count).items():
                found[what].add(who, value)
    return {what: found[what].medians() for what in UNITS}


def rows(trials: int) -> list[Row]:
    found: list[Row] = []
    for count in COUNTS:
        medians = measure(count, trials)
        large = count == COUNTS[-1]

        def row(id_: str, name: str, what: str, floor: str) -> None:
            mine, theirs = medians[what]["ours"], medians[what]["pykka"]  # noqa: B023
            label = f"{name} of {count:,} actors, {UNITS[what]} each vs pykka"  # noqa: B023
            found.append(Row(id_, label, mine, theirs, floor if large else ""))  # noqa: B023

        row("17", "spawn", "spawn", "<= 25 us")
        row("17", "memory", "memory", "<= 5 KiB")
        row("17", "descriptors", "descriptors", "<= 0 fds")
        row("18", "ask each, 100 at a time,", "ask", "<= 20 us")
        row("18", "ask all at once, by a task each,", "at once", "<= 20 us")
    return found


def main() -> None:
    parser = report.parser(__doc__, repetitions=5)
    parser.add_argument("--trial", nargs=2, metavar=("WHO", "COUNT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.trial is not None:
        who, count = arguments.trial[0], int(arguments.trial[1])
        print(json.dumps(actors.run(ours(count)) if who == "ours" else threads(count)))
        # Ten thousand threads are not ended one by one.
        sys.stdout.flush()
        os._exit(0)
    found = sorted(rows(max(arguments.repetitions, 5)), key=lambda row: row.row)
    report.head(WIDTH)
    for each in found:
        report.line(each, WIDTH)
    report.write(found, arguments.json)


if __name__ == "__main__":
    main()
