"""Tells and asks: rows 1, 2, 3, 5, 6 and 8 of docs/performance.md.

    python -m benchmarks.messaging [--repetitions 7] [--json FILE]

Ours is the public API: an `ActorGraph` over `Processes(1)`, where this process tells and asks an
actor in the other, and the same graph `Inline()` for what stays in one. Messages carry 100 bytes.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import actors
from actors import Actor, ActorGraph, ActorRef, Inline, Message, Process, Processes
from benchmarks import report
from benchmarks.report import Row, Trials
from benchmarks.yardsticks import (
    DATA,
    Blocking,
    Inproc,
    Pykka,
    QueueActor,
    ZmqAsyncio,
    pykka_tell,
    serving,
)

BURST = 1000
TELLS = 100_000
LONE = 20_000  # one a tick
SLOW = 20_000  # by what takes 10 us a message
ASKS = 2_000

Contestant = Callable[[], Awaitable[None]]


class Data(Message[None]):
    data: bytes


class Echo(Message[bytes]):
    data: bytes


class Count(Message[int]):
    """How many `Data` came since the last of these."""


class Counter(Actor):
    def __init__(self) -> None:
        self._count = 0

    def data(self, message: Data) -> None:
        self._count += 1

    def echo(self, message: Echo) -> bytes:
        return message.data

    def count(self, message: Count) -> int:
        count, self._count = self._count, 0
        return count


async def counted(ref: ActorRef, sent: int) -> None:
    found = await ref.ask(Count(), timeout=60)
    if found != sent:
        raise RuntimeError(f"{sent} messages were told and {found} handled")


async def tell(ref: ActorRef, count: int, *, held: int) -> None:
    """Tell in bursts with drain(), and see every `held` messages that all were handled."""
    for _ in range(count // held):
        for _ in range(held // BURST):
            for _ in range(BURST):
                ref.tell(Data(DATA))
            await ref.drain()
        await counted(ref, held)


async def tell_lone(ref: ActorRef, count: int) -> None:
    for _ in range(count):
        ref.tell(Data(DATA))
        await asyncio.sleep(0)
    await counted(ref, count)


async def ask(ref: ActorRef, count: int) -> None:
    for _ in range(count):
        await ref.ask(Echo(DATA), timeout=60)


async def compare(contestants: dict[str, tuple[int, Contestant]], trials: int) -> dict[str, float]:
    """Median seconds per message of each; the first round warms up."""
    found = Trials(contestants)
    for repetition in range(trials + 1):
        for name in found.order(repetition):
            count, contestant = contestants[name]
            start = time.perf_counter()
            await contestant()
            if repetition:
                found.add(name, (time.perf_counter() - start) / count)
    return found.medians()


def counter() -> ActorGraph:
    """A graph of one actor. drain() waits for the link alone, so the mailbox holds a trial."""
    graph = ActorGraph("messaging")
    with graph.supervisor("root"):
        graph.actor("counter", Counter, place=Process(), mailbox=2 * TELLS)
    return graph


async def between_processes(trials: int) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="actorfl-") as place, serving(Path(place)):
        blocking, aio = Blocking(Path(place)), ZmqAsyncio(Path(place))
        try:
            async with counter().start(on=Processes(1)) as live:
                ref = live["counter"]

                async def raw_asks() -> None:
                    for _ in range(ASKS):
                        blocking.ask()

                async def raw_tells() -> None:
                    blocking.tell(TELLS)

                rate = await compare(
                    {
                        "bursts": (TELLS, lambda: tell(ref, TELLS, held=TELLS)),
                        "raw": (TELLS, raw_tells),
                        "lone": (LONE, lambda: tell_lone(ref, LONE)),
                        "raw lone": (LONE, lambda: blocking.tell_lone(LONE)),
                        "aio": (SLOW, lambda: aio.tell(SLOW)),
                    },
                    trials,
                )
                trip = await compare(
                    {"ours": (ASKS, lambda: ask(ref, ASKS)), "raw": (ASKS, raw_asks)}, trials
                )
        finally:
            blocking.close()
            aio.close()
    per = {name: 1 / each for name, each in rate.items()}
    micro = {name: 1e6 * each for name, each in trip.items()}
    return [
        Row(
            "1",
            "tell, ipc, bursts with drain(), /s vs blocking pyzmq",
            per["bursts"],
            per["raw"],
            ">= 0.7",
        ),
        Row(
            "2",
            "tell, ipc, bursts with drain(), /s vs zmq.asyncio, uvloop",
            per["bursts"],
            per["aio"],
            ">= 8",
        ),
        Row("3", "tell, ipc, one a tick, /s vs blocking pyzmq", per["lone"], per["raw"], ">= 0.3"),
        Row(
            "3",
            "the same of raw pyzmq, one a tick: what row 3 can reach",
            per["raw lone"],
            per["raw"],
        ),
        Row("3", "tell, ipc, one a tick, /s vs raw, one a tick", per["lone"], per["raw lone"]),
        Row("6", "ask, ipc, us vs blocking pyzmq round trip", micro["ours"], micro["raw"], "<= 2"),
    ]


async def within_a_process(trials: int) -> list[Row]:
    async with counter().start(on=Inline()) as live:
        ref = live["counter"]
        queue, inproc, threaded = QueueActor(), Inproc(), Pykka.start()
        try:

            async def pykka_tells() -> None:
                pykka_tell(threaded, TELLS)

            async def pykka_asks() -> None:
                for _ in range(ASKS):
                    threaded.ask(b"?")

            async def inproc_asks() -> None:
                for _ in range(ASKS):
                    await inproc.ask()

            rate = await compare(
                {
                    "ours": (TELLS, lambda: tell(ref, TELLS, held=5 * BURST)),
                    "queue": (TELLS, lambda: queue.tell(TELLS, BURST)),
                    "pykka": (TELLS, pykka_tells),
                },
                trials,
            )
            trip = await compare(
                {
                    "ours": (ASKS, lambda: ask(ref, ASKS)),
                    "inproc": (ASKS, inproc_asks),
                    "pykka": (ASKS, pykka_asks),
                },
                trials,
            )
        finally:
            queue.close()
            inproc.close()
            threaded.stop()
    per = {name: 1 / each for name, each in rate.items()}
    micro = {name: 1e6 * each for name, each in trip.items()}
    return [
        Row(
            "5",
            "tell, inproc, bursts with drain(), /s vs asyncio.Queue",
            per["ours"],
            per["queue"],
            ">= 0.4",
        ),
        Row(
            "5", "tell, inproc, bursts with drain(), /s vs pykka", per["ours"], per["pykka"], ">= 3"
        ),
        Row(
            "8",
            "ask, inproc, us vs add_reader round trip",
            micro["ours"],
            micro["inproc"],
            "<= 2.2",
        ),
        Row("8", "ask, inproc, us vs pykka", micro["ours"], micro["pykka"], "<= 0.8"),
    ]


async def measure(trials: int) -> list[Row]:
    rows = [*await between_processes(trials), *await within_a_process(trials)]
    return sorted(rows, key=lambda row: int(row.row))


def main() -> None:
    arguments = report.parser(__doc__, repetitions=7).parse_args()
    rows = actors.run(measure(max(arguments.repetitions, 5)))
    report.head()
    for row in rows:
        report.line(row)
    report.write(rows, arguments.json)


if __name__ == "__main__":
    main()
