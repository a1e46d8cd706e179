"""Messages that an actor has sent to itself later: once after a silence, and again and again.

python timers.py
"""

import actors
from actors import Actor, ActorGraph, Message, Simulated


class Note(Message[None]):
    text: str


class Flush(Message[None]):
    pass


class Tick(Message[None]):
    pass


class Written(Message[list[str]]):
    pass


class Journal(Actor):
    """Writes notes together, two seconds after the last one, and a mark every five seconds."""

    def __init__(self) -> None:
        self._notes: list[str] = []
        self._written: list[str] = []
        self.timers.start("tick", Tick(), after=5.0, every=5.0)

    def note(self, message: Note) -> None:
        self._notes.append(message.text)
        self.timers.start("flush", Flush(), after=2.0)  # replaces the one before

    def flush(self, message: Flush) -> None:
        self._written.append(f"{self.clock.now():g} s: {' '.join(self._notes)}")
        self._notes.clear()

    def tick(self, message: Tick) -> None:
        self._written.append(f"{self.clock.now():g} s: --")

    def written(self, message: Written) -> list[str]:
        return self._written


async def main() -> None:
    graph = ActorGraph("demo")
    with graph.supervisor("root"):
        graph.actor("journal", Journal)
    async with graph.start(on=Simulated()) as live:  # in virtual time, which passes at once
        journal, clock = live["journal"], live.system.world.clock
        for text in ("tea", "cups", "spoons"):
            journal.tell(Note(text))
            await clock.sleep(1.0)
        await clock.sleep(9.0)
        for line in await journal.ask(Written(), timeout=5):
            print(line)


if __name__ == "__main__":
    actors.run(main(), on=Simulated())
