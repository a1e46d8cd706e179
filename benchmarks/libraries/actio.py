"""actio: between processes it needs a server of Redis or RabbitMQ, so within one only."""

from __future__ import annotations

import asyncio

from actio import Actor, ActorSystem

from benchmarks.libraries.pace import DATA, QUESTION, Rates, rates

_COUNT = "count"
_BURST = 1000


class Counter(Actor):
    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    async def receive(self, sender: object, message: object) -> None:
        if message == DATA:
            self._count += 1
        elif message == _COUNT:
            self.tell(sender, self._count)
            self._count = 0
        else:
            self.tell(sender, message)


class Asker(Actor):
    """actio has no ask: this one tells and waits for what is told back."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: asyncio.Future[object] | None = None

    async def receive(self, sender: object, message: object) -> None:
        if self.answer is not None:
            self.answer.set_result(message)

    async def ask(self, whom: object, message: object) -> object:
        self.answer = asyncio.get_running_loop().create_future()
        self.tell(whom, message)
        return await self.answer


async def inside() -> Rates:
    system = ActorSystem()
    asker = Asker()
    counter = system.create(Counter(), name="counter")
    system.create(asker, name="asker")
    try:

        async def tells(count: int) -> int:
            for _ in range(count // _BURST):
                for _ in range(_BURST):
                    system.tell(counter, DATA)
                await asyncio.sleep(0)
            counted = await asker.ask(counter, _COUNT)
            assert isinstance(counted, int)
            return counted

        async def ask() -> object:
            return await asker.ask(counter, QUESTION)

        return await rates(tells, ask)
    finally:
        await system.shutdown()


RUNS = {"inside": inside}
