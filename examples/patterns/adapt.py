"""The answer of another actor as a message of one's own, without waiting for it in the handler.

python adapt.py
"""

import asyncio

import actors
from actors import Actor, ActorRef, ActorSystem, Message


class Convert(Message[float]):
    """What the bank understands."""

    euros: float


class Bank(Actor):
    async def convert(self, message: Convert) -> float:
        await asyncio.sleep(0.05)
        return message.euros * 1.1


class Order(Message[None]):
    item: str
    euros: float


class Priced(Message[None]):
    """What the shop understands."""

    item: str
    dollars: float


class Unpriced(Message[None]):
    item: str
    why: str


class Bill(Message[str]):
    pass


class Shop(Actor):
    def __init__(self, bank: ActorRef[Bank]) -> None:
        self._bank = bank
        self._open: set[str] = set()
        self._bill: list[str] = []

    def order(self, message: Order) -> None:
        item = message.item
        self._open.add(item)
        self.pipe_to_self(
            self._bank.ask(Convert(message.euros), timeout=5),
            lambda dollars: Priced(item, dollars),
            lambda error: Unpriced(item, str(error)),
        )

    def priced(self, message: Priced) -> None:
        self._done(message.item, f"{message.item} {message.dollars:.2f}")

    def unpriced(self, message: Unpriced) -> None:
        self._done(message.item, f"{message.item} has no price: {message.why}")

    def _done(self, item: str, line: str) -> None:
        self._open.discard(item)
        self._bill.append(line)
        self.stash.unstash_all()

    def bill(self, message: Bill) -> str:
        if self._open:
            return self.stash.stash(message)
        return ", ".join(sorted(self._bill))


async def main() -> None:
    async with ActorSystem("demo") as system:
        bank = await system.spawn("bank", Bank)
        shop = await system.spawn("shop", Shop, bank=bank)
        shop.tell(Order("tea", 3.0))
        shop.tell(Order("cup", 12.0))
        print(await shop.ask(Bill(), timeout=5))


if __name__ == "__main__":
    actors.run(main())
