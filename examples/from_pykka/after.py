"""The same with actors: the counters stay threads of pykka, what waits for them is an Actor.

python after.py
"""

import asyncio

import pykka

import actors
from actors import Actor, ActorRef, ActorSystem, Message

LINES = ["tea and cups", "cups of tea", "more tea"]


class Add(Message[None]):
    line: str


class Count(Message[int]):
    word: str


class Total(Message[int]):
    word: str


class Counter(pykka.ThreadingActor):
    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._words: dict[str, int] = {}

    def add(self, message: Add) -> None:
        for word in message.line.split():
            self._words[word] = self._words.get(word, 0) + 1

    def count(self, message: Count) -> int:
        return self._words.get(message.word, 0)

    def on_stop(self) -> None:
        print(f"{self._name} had {len(self._words)} words")


class Report(Actor):
    def __init__(self, counters: list[ActorRef[Counter]]) -> None:
        self._counters = counters

    async def total(self, message: Total) -> int:
        asked = [counter.ask(Count(message.word), timeout=5) for counter in self._counters]
        return sum(await asyncio.gather(*asked))


async def main() -> None:
    async with ActorSystem("demo") as system:  # leaving it stops all, the last one first
        counters = [
            await system.spawn(name, Counter, name=name) for name in ("counter0", "counter1")
        ]
        report = await system.spawn("report", Report, counters=counters)
        for number, line in enumerate(LINES):
            counters[number % 2].tell(Add(line))
        print("tea:", await report.ask(Total("tea"), timeout=5))
        print("cups:", await report.ask(Total("cups"), timeout=5))


if __name__ == "__main__":
    actors.run(main())
