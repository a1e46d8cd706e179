"""The answers of several actors in one, with what came in time.

python aggregator.py
"""

import asyncio

import actors
from actors import Actor, ActorRef, ActorSystem, AskError, Message


class Quote(Message[int]):
    item: str


class Seller(Actor):
    def __init__(self, price: int, seconds: float) -> None:
        self._price = price
        self._seconds = seconds

    async def quote(self, message: Quote) -> int:
        await self.clock.sleep(self._seconds)
        if self._price < 0:
            raise ValueError("sold out")
        return self._price


class Best(Message[str]):
    item: str
    within: float


class Comparison(Actor):
    def __init__(self, sellers: list[ActorRef[Seller]]) -> None:
        self._sellers = sellers

    async def best(self, message: Best) -> str:
        quotes = await asyncio.gather(*(self._quote(seller, message) for seller in self._sellers))
        prices = {seller: price for seller, price in quotes if price is not None}
        if not prices:
            return f"nobody offers {message.item}"
        cheapest = min(prices, key=prices.__getitem__)
        return f"{cheapest} for {prices[cheapest]}, of {len(prices)} answers"

    @staticmethod
    async def _quote(seller: ActorRef[Seller], message: Best) -> tuple[str, int | None]:
        try:
            price = await seller.ask(Quote(message.item), timeout=message.within)
        except AskError:  # it is late, failed or gone: it makes no offer
            return seller.name, None
        return seller.name, price


async def main() -> None:
    async with ActorSystem("demo") as system:
        sellers = [
            await system.spawn(name, Seller, price=price, seconds=seconds)
            for name, price, seconds in [
                ("a", 12, 0.0), ("b", 9, 0.0), ("late", 3, 1.0), ("empty", -1, 0.0),
            ]
        ]  # fmt: skip
        comparison = await system.spawn("comparison", Comparison, sellers=sellers)
        print(await comparison.ask(Best("cups", within=0.3), timeout=5))


if __name__ == "__main__":
    actors.run(main())
