"""An actor that puts requests aside until what it needs is there.

python stash.py
"""

import asyncio

import actors
from actors import Actor, ActorSystem, Message


class Lookup(Message[int]):
    word: str


class Loaded(Message[None]):
    table: dict[str, int]


async def load() -> dict[str, int]:
    await asyncio.sleep(0.05)
    return {"tea": 3, "cups": 12}


class Catalogue(Actor):
    stash_capacity = 100  # one more raises StashFull, which fails the actor

    def __init__(self) -> None:
        self._table: dict[str, int] | None = None
        self.pipe_to_self(load(), Loaded)

    def lookup(self, message: Lookup) -> int:
        if self._table is None:
            return self.stash.stash(message)  # no answer: the asker goes on waiting
        return self._table[message.word]

    def loaded(self, message: Loaded) -> None:
        self._table = message.table
        self.stash.unstash_all()


async def main() -> None:
    async with ActorSystem("demo") as system:
        catalogue = await system.spawn("catalogue", Catalogue)
        print(await catalogue.ask(Lookup("cups"), timeout=5))


if __name__ == "__main__":
    actors.run(main())
