"""Printers in two processes register themselves; a counter finds them and hears of changes.

python receptionist.py
"""

import actors
from actors import Actor, ActorGraph, Listing, Message, Process, Processes, ServiceKey

PRINTERS = ServiceKey("printers")


class Stop(Message[None]):
    pass


class Printer(Actor):
    async def on_start(self) -> None:
        await self.system.receptionist.register(PRINTERS, self.ref)

    def end(self, message: Stop) -> None:
        self.stop()


class Wait(Message[list[str]]):
    """Answered when there are so many printers."""

    printers: int


class Counter(Actor):
    def __init__(self) -> None:
        self._printers: list[str] = []
        self.system.receptionist.subscribe(PRINTERS, self.ref)

    def listed(self, message: Listing) -> None:
        self._printers = sorted(ref.name for ref in message.refs)
        self.stash.unstash_all()

    def wait(self, message: Wait) -> list[str]:
        if len(self._printers) != message.printers:
            return self.stash.stash(message)
        return self._printers


async def main() -> None:
    graph = ActorGraph("offices")
    with graph.supervisor("root"):
        graph.actors("printer{}", 2, Printer, place=Process(), restart="transient")
        graph.actor("counter", Counter)
    async with graph.start(on=Processes(2)) as live:
        print(await live["counter"].ask(Wait(2), timeout=30))
        found = await live.system.receptionist.find(PRINTERS)
        found.refs[0].tell(Stop())
        print(len(await live["counter"].ask(Wait(1), timeout=30)))


if __name__ == "__main__":
    actors.run(main())
