"""An actor that makes a child for each job, watches it, and hears when it is gone.

python jobs.py
"""

import actors
from actors import Actor, ActorRef, ActorSystem, Message, Terminated


class Double(Message[int]):
    number: int


class Clerk(Actor):
    def double(self, message: Double) -> int:
        self.stop()  # after this message
        return 2 * message.number


class Finished(Message[list[str]]):
    pass


class Office(Actor):
    def __init__(self) -> None:
        self._finished: list[str] = []
        self._made = 0

    async def double(self, message: Double) -> int:
        self._made += 1
        clerk: ActorRef = await self.spawn(f"clerk{self._made}", Clerk)
        self.watch(clerk)
        return await clerk.ask(message, timeout=1)

    def gone(self, message: Terminated) -> None:
        self._finished.append(f"{message.path}: {message.reason}")

    def finished(self, message: Finished) -> list[str]:
        return self._finished


async def main() -> None:
    async with ActorSystem("demo") as system:
        office = await system.spawn("office", Office)
        print(await office.ask(Double(21), timeout=1))
        print(await office.ask(Double(4), timeout=1))
        print(await office.ask(Finished(), timeout=1))
        print(await system.stop(office))


if __name__ == "__main__":
    actors.run(main())
