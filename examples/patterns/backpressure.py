"""Who sends faster than another process reads waits for room, or finds the link full.

python backpressure.py
"""

import actors
from actors import Actor, ActorGraph, ActorRef, Message, Process, Processes
from transports import LinkFull


class Line(Message[None]):
    text: str


class Lines(Message[int]):
    pass


class Store(Actor):
    def __init__(self) -> None:
        self._lines = 0

    def line(self, message: Line) -> None:
        self._lines += 1

    def lines(self, message: Lines) -> int:
        return self._lines


class Pour(Message[int]):
    """Answered by how many lines were told."""

    lines: int
    drain: bool


class Source(Actor):
    def __init__(self, store: ActorRef[Store]) -> None:
        self._store = store

    async def pour(self, message: Pour) -> int:
        for number in range(message.lines):
            if message.drain:
                await self._store.drain()
            try:
                self._store.tell(Line("x" * 100_000))
            except LinkFull:
                return number
        return message.lines

    async def arrived(self, message: Lines) -> int:
        return await self._store.ask(message, timeout=10)  # behind what it told before


async def main() -> None:
    graph = ActorGraph("demo")
    with graph.supervisor("root"):
        store = graph.actor("store", Store, place=Process())
        graph.actor("source", Source, store=store)
    async with graph.start(on=Processes(1)) as live:
        source = live["source"]
        some = await source.ask(Pour(500, drain=False), timeout=30)
        print("all without drain:", some == 500)
        rest = await source.ask(Pour(500, drain=True), timeout=30)
        print("all with drain:", rest == 500)
        lines = await source.ask(Lines(), timeout=30)
        print("what was told arrived:", lines == some + rest)


if __name__ == "__main__":
    actors.run(main())
