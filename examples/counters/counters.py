"""Four counters in two processes and what sums them up; one fails, and is restarted.

python counters.py
"""

import actors
from actors import (
    Actor,
    ActorFailed,
    ActorGraph,
    ActorRef,
    Message,
    Process,
    Processes,
    one_for_one,
)


class Add(Message[None]):
    amount: int


class Total(Message[int]):
    pass


class Counter(Actor):
    def __init__(self, start: int) -> None:
        self._total = start

    def add(self, message: Add) -> None:
        if message.amount < 0:
            raise ValueError(f"{message.amount} cannot be added; counters go up")
        self._total += message.amount

    def total(self, message: Total) -> int:
        return self._total


class Sum(Message[int]):
    pass


class Summer(Actor):
    def __init__(self, counters: list[ActorRef]) -> None:
        self._counters = counters

    async def sum(self, message: Sum) -> int:
        return sum([await counter.ask(Total(), timeout=5) for counter in self._counters])


def declared() -> ActorGraph:
    graph = ActorGraph("counting")
    with graph.supervisor("root"):
        with graph.supervisor("counters", one_for_one(3, per=60), place=Process()):
            counters = graph.actors("counter{}", 4, Counter, start=100)
        graph.actor("summer", Summer, counters=counters)
    return graph


async def main() -> None:
    async with declared().start(on=Processes(2)) as live:
        summer, counter = live["summer"], live["counter0"]
        counter.tell(Add(5))
        print(await counter.ask(Total(), timeout=10))
        print(await summer.ask(Sum(), timeout=10))

        try:
            await counter.ask(Add(-1), timeout=10)
        except ActorFailed as error:
            print(error)
        print(await summer.ask(Sum(), timeout=10))  # counter0 began again at 100


if __name__ == "__main__":
    actors.run(main())
