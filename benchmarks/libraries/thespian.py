"""thespian: its bases for one process, and for a process each over TCP."""

from __future__ import annotations

import socket

from thespian.actors import Actor, ActorSystem

from benchmarks.libraries.pace import DATA, QUESTION, Rates, rates

_COUNT = "count"


class Counter(Actor):
    def __init__(self) -> None:
        self._count = 0

    def receiveMessage(self, message: object, sender: object) -> None:  # noqa: N802
        if message == DATA:
            self._count += 1
        elif message == _COUNT:
            self.send(sender, self._count)
            self._count = 0
        elif isinstance(message, bytes):
            self.send(sender, message)


async def _measure(base: str, capabilities: dict[str, object]) -> Rates:
    system = ActorSystem(base, capabilities, transientUnique=True)
    try:
        actor = system.createActor(Counter)

        async def tells(count: int) -> int:
            for _ in range(count):
                system.tell(actor, DATA)
            counted: int = system.ask(actor, _COUNT, 60)
            return counted

        async def ask() -> object:
            return system.ask(actor, QUESTION, 60)

        return await rates(tells, ask, least=200)
    finally:
        system.shutdown()


async def inside() -> Rates:
    return await _measure("simpleSystemBase", {})


async def across() -> Rates:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return await _measure("multiprocTCPBase", {"Admin Port": port})


RUNS = {"inside": inside, "across": across}
