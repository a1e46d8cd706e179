"""A blocking actor: a pykka.ThreadingActor with typed messages, in a thread of its own.

python blocking.py
"""

import time

import pykka

import actors
from actors import ActorSystem, Message


class Square(Message[int]):
    number: int


class Squarer(pykka.ThreadingActor):
    def square(self, message: Square) -> int:
        time.sleep(0.05)  # would hold up every actor of the process if it were an Actor
        return message.number**2


async def main() -> None:
    async with ActorSystem("demo") as system:
        squarer = await system.spawn("squarer", Squarer)
        print(await squarer.ask(Square(7), timeout=5))


if __name__ == "__main__":
    actors.run(main())
