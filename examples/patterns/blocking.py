"""Work that blocks, in threads of its own, for actors that do not.

python blocking.py
"""

import sqlite3

import pykka

import actors
from actors import Actor, ActorRef, ActorSystem, Message


class Put(Message[None]):
    item: str
    count: int


class Count(Message[int]):
    item: str


class Database(pykka.ThreadingActor):
    """Calls a library that knows nothing of asyncio; all of it runs in one thread."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self._file = file

    def on_start(self) -> None:
        self._connection = sqlite3.connect(self._file)
        self._connection.execute("create table stock (item text, count integer)")

    def on_stop(self) -> None:
        self._connection.close()

    def put(self, message: Put) -> None:
        self._connection.execute("insert into stock values (?, ?)", (message.item, message.count))

    def count(self, message: Count) -> int:
        (found,) = self._connection.execute(
            "select coalesce(sum(count), 0) from stock where item = ?", (message.item,)
        ).fetchone()
        return int(found)


class Buy(Message[int]):
    item: str
    count: int


class Shop(Actor):
    def __init__(self, database: ActorRef[Database]) -> None:
        self._database = database

    async def buy(self, message: Buy) -> int:
        self._database.tell(Put(message.item, message.count))
        return await self._database.ask(Count(message.item), timeout=5)


async def main() -> None:
    async with ActorSystem("demo") as system:
        database = await system.spawn("database", Database, file=":memory:")
        shop = await system.spawn("shop", Shop, database=database)
        print(await shop.ask(Buy("tea", 3), timeout=5))
        print(await shop.ask(Buy("tea", 4), timeout=5))


if __name__ == "__main__":
    actors.run(main())
