"""A counter with three replicas, each in a process of its own, and one planted bug.

`actors.testing.chaos` plays it under random faults, finds the bug, and shortens the schedule:

    python counter.py
"""

import asyncio
import sys
from pathlib import Path

from actors import (
    Actor,
    ActorGraph,
    ActorRef,
    AskError,
    Message,
    Process,
    Simulated,
    one_for_one,
)
from actors.testing.chaos import Evidence, Scenario, explore

AMOUNTS = (3, 1, 4, 1, 5, 9, 2, 6)
REPLICAS = 3


class Add(Message[None]):
    number: int
    amount: int


class Have(Message[tuple[int, int]]):
    """How many amounts a replica has added, and their sum."""


class Replica(Actor):
    def __init__(self) -> None:
        self._have = 0
        self._total = 0

    def add(self, message: Add) -> None:
        if self._is_next(message.number):
            self._have = message.number + 1
            self._total += message.amount

    def have(self, message: Have) -> tuple[int, int]:
        return self._have, self._total

    def _is_next(self, number: int) -> bool:
        return number == self._have


class Forgetful(Replica):
    """The planted bug: the amount that came last is added again when it comes again."""

    def _is_next(self, number: int) -> bool:
        return self._have - 1 <= number <= self._have


def declared(replica: type[Replica]) -> ActorGraph:
    graph = ActorGraph("replicated")
    with graph.supervisor("replicas", one_for_one(100, per=60), place=Process()):
        graph.actors("replica{}", REPLICAS, replica)
    return graph


async def replicate(to: ActorRef) -> int:
    """Tell a replica the amounts until it has them all; its total."""
    while True:
        try:
            have, total = await to.ask(Have(), timeout=0.5)
        except AskError:  # it is down, cut off or slow: later
            await asyncio.sleep(0.1)
            continue
        if have == len(AMOUNTS):
            return total
        for number in range(have, min(have + 2, len(AMOUNTS))):
            to.tell(Add(number, AMOUNTS[number]))


async def play(replica: type[Replica], on: Simulated) -> list[int]:
    async with declared(replica).start(on=on) as live:
        async with asyncio.timeout(100):  # of virtual time
            return await asyncio.gather(*(replicate(live[f"replica{n}"]) for n in range(REPLICAS)))


def every_replica_has_the_sum(evidence: Evidence[list[int]]) -> str | None:
    if evidence.result == [sum(AMOUNTS)] * REPLICAS:
        return None
    return f"the amounts are {sum(AMOUNTS)}, the replicas have {evidence.result}"


async def play_forgetful(on: Simulated) -> list[int]:
    return await play(Forgetful, on)


async def play_right(on: Simulated) -> list[int]:
    return await play(Replica, on)


PROCESSES = tuple(f"p{n}" for n in range(REPLICAS))
forgetful = Scenario(
    play_forgetful, PROCESSES, (every_replica_has_the_sum,), on=Simulated(REPLICAS)
)
right = Scenario(play_right, PROCESSES, (every_replica_has_the_sum,), on=Simulated(REPLICAS))


def main() -> int:
    for name in ("right", "forgetful"):
        report = explore(f"{Path(__file__)}:{name}", range(50), jobs=2)
        print(f"{name}: {report.seeds} schedules, {len(report.failed)} failed")
        for failed in report.failed[:1]:
            print(f"\nseed {failed.seed}: {'; '.join(failed.broken.values())}")
            print(f"\nunder this much of its {failed.drawn} faults:\n\n{failed.plan}")
            print("\n".join(failed.story[-12:]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
