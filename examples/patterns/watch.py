"""A client that watches its server, and asks the other one when it is gone.

python watch.py
"""

import actors
from actors import Actor, ActorRef, ActorSystem, Message, Terminated


class Lookup(Message[str]):
    word: str


class Server(Actor):
    def lookup(self, message: Lookup) -> str:
        return f"{message.word}, says {self.ref.name}"


class Client(Actor):
    def __init__(self, first: ActorRef[Server], second: ActorRef[Server]) -> None:
        self._server, self._other = first, second
        self.watch(first)

    def gone(self, message: Terminated) -> None:
        print(f"{message.path} is gone: {message.cause}")
        self._server = self._other

    async def lookup(self, message: Lookup) -> str:
        return await self._server.ask(message, timeout=1)


async def main() -> None:
    async with ActorSystem("demo") as system:
        first = await system.spawn("first", Server)
        second = await system.spawn("second", Server)
        client = await system.spawn("client", Client, first=first, second=second)
        print(await client.ask(Lookup("tea"), timeout=5))
        await system.stop(first)
        print(await client.ask(Lookup("tea"), timeout=5))


if __name__ == "__main__":
    actors.run(main())
