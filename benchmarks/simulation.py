"""Many gossiping actors in virtual time: see docs/performance.md.

    python -m benchmarks.simulation [--actors 10000] [--nodes 4] [--minutes 60] [--json FILE]

Each actor sends its model to one of its neighbours once in a virtual minute, and merges what it
gets. The yardstick carries the same messages without actors: it draws when and to whom, encodes
each message, keeps it in a heap until its time has come, decodes it and merges.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import json
import random
import resource
import subprocess
import sys
import time
from typing import Any

import msgspec

import actors
from actors import Actor, ActorRef, Message, Simulated
from actors.testing import systems
from benchmarks import report
from benchmarks.report import Row, Trials
from transports.sim import Net

MINUTE = 60.0
WIDTH = 8
"""Parameters of a model: the size of the messages, not of the learning, is what is measured."""
VIEW = 20
NET = Net(delay=0.01, jitter=0.01)
LIMIT = 3600
UNITS = ("rate", "seconds", "memory", "messages")


class Model(Message[None]):
    age: int
    weights: list[float]


class Due(Message[None]):
    pass


class View(Message[None]):
    peers: list[ActorRef]


class Peer(Actor):
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._age = 0
        self._weights = [self._random.random() for _ in range(WIDTH)]
        self._peers: list[ActorRef] = []

    def view(self, message: View) -> None:
        self._peers = message.peers
        self.timers.start("due", Due(), after=self._random.uniform(0.0, MINUTE), every=MINUTE)

    def due(self, message: Due) -> None:
        self._random.choice(self._peers).tell(Model(self._age, self._weights))

    def model(self, message: Model) -> None:
        self._age, self._weights = merged(self._age, self._weights, message)


def merged(age: int, weights: list[float], other: Model) -> tuple[int, list[float]]:
    """The mean of two models, one step older than the older of them."""
    mean = [(mine + theirs) / 2 for mine, theirs in zip(weights, other.weights, strict=True)]
    return max(age, other.age) + 1, mean


async def ours(count: int, nodes: int, minutes: float) -> dict[str, float]:
    draw = random.Random(0)
    names = [f"n{number}" for number in range(nodes)]
    async with systems(*names, on=Simulated(net=NET)) as there:
        homes = list(there)
        peers = [
            await homes[number % nodes].spawn(f"peer{number}", Peer, seed=number)
            for number in range(count)
        ]
        for peer in peers:
            peer.tell(View(draw.sample(peers, min(VIEW, count - 1))))
        await asyncio.sleep(1.0)
        before = handled(homes)
        start = time.perf_counter()
        await asyncio.sleep(minutes * MINUTE)
        seconds = time.perf_counter() - start
        # Of each message the timer's tick is handled, too, which is no message between actors.
        messages = (handled(homes) - before) / 2
    return told(seconds, messages)


def handled(systems_: list[Any]) -> int:
    return sum(actor.handled for system in systems_ for actor in system.statistics().actors)


def yardstick(count: int, minutes: float) -> dict[str, float]:
    draws = [random.Random(number) for number in range(count)]
    models = [(0, [draw.random() for _ in range(WIDTH)]) for draw in draws]
    neighbours = random.Random(0)
    views = [neighbours.sample(range(count), min(VIEW, count - 1)) for _ in range(count)]
    encode = msgspec.msgpack.Encoder().encode
    decode = msgspec.msgpack.Decoder(Model).decode
    heap: list[tuple[float, int, int, bytes | None]] = []
    number = messages = 0
    for peer, draw in enumerate(draws):
        heapq.heappush(heap, (draw.uniform(0.0, MINUTE), number := number + 1, peer, None))
    start = time.perf_counter()
    while heap and heap[0][0] < minutes * MINUTE:
        now, _, peer, data = heapq.heappop(heap)
        if data is None:
            heapq.heappush(heap, (now + MINUTE, number := number + 1, peer, None))
            age, weights = models[peer]
            arrival = now + NET.delay + draws[peer].uniform(0.0, NET.jitter)
            body = encode(Model(age, weights))
            target = draws[peer].choice(views[peer])
            heapq.heappush(heap, (arrival, number := number + 1, target, body))
        else:
            models[peer] = merged(*models[peer], decode(data))
            messages += 1
    return told(time.perf_counter() - start, messages)


def told(seconds: float, messages: float) -> dict[str, float]:
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "rate": messages / seconds, "seconds": seconds, "memory": memory, "messages": messages,
    }  # fmt: skip


def trial(who: str, arguments: argparse.Namespace) -> dict[str, float]:
    """One trial, in a process of its own."""
    command = [
        sys.executable, "-m", "benchmarks.simulation", "--trial", who,
        "--actors", str(arguments.actors), "--nodes", str(arguments.nodes),
        "--minutes", str(arguments.minutes),
    ]  # fmt: skip
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=LIMIT, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def rows(arguments: argparse.Namespace) -> list[Row]:
    names = ("ours", "yardstick")
    found = {what: Trials(names) for what in UNITS}
    for repetition in range(arguments.repetitions):
        for who in found["rate"].order(repetition):
            for what, value in trial(who, arguments).items():
                found[what].add(who, value)
    medians = {what: found[what].medians() for what in UNITS}
    label = f"{arguments.actors:,} gossiping actors, {arguments.minutes:g} virtual minutes"

    def row(name: str, what: str, floor: str = "") -> Row:
        mine, theirs = medians[what]["ours"], medians[what]["yardstick"]
        return Row("simulation", f"{label}: {name}", mine, theirs, floor)

    return [
        row("messages per second", "rate", ">= 0.25"),
        row("wall seconds", "seconds"),
        row("messages", "messages"),
        row("MiB of the process", "memory"),
    ]


def main() -> None:
    parser = report.parser(__doc__, repetitions=3)
    parser.add_argument("--actors", type=int, default=10_000)
    parser.add_argument("--nodes", type=int, default=4, help="simulated nodes that hold them")
    parser.add_argument("--minutes", type=float, default=60.0, help="of virtual time")
    parser.add_argument("--trial", metavar="WHO", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.trial == "ours":
        main_ = ours(arguments.actors, arguments.nodes, arguments.minutes)
        print(json.dumps(actors.run(main_, on=Simulated())))
        return
    if arguments.trial is not None:
        print(json.dumps(yardstick(arguments.actors, arguments.minutes)))
        return
    found = rows(arguments)
    report.head(76)
    for each in found:
        report.line(each, 76)
    report.write(found, arguments.json)


if __name__ == "__main__":
    main()
