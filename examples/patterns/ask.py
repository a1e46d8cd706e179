"""Ask: a reply with a type, a deadline, and a reason where there is none.

python ask.py
"""

import actors
from actors import Actor, ActorFailed, ActorSystem, AskTimeout, Message, NotStarted


class Price(Message[int]):
    item: str


class Shop(Actor):
    def __init__(self) -> None:
        self._prices = {"tea": 3, "cup": 12}

    def price(self, message: Price) -> int:
        return self._prices[message.item]


async def main() -> None:
    async with ActorSystem("demo") as system:
        shop = await system.spawn("shop", Shop)
        for item in ("tea", "spoon", "cup"):
            try:
                print(item, await shop.ask(Price(item), timeout=5))
            except ActorFailed as error:
                print(error)
            except NotStarted as error:
                print(f"{item} was not looked up: {type(error).__name__}")
            except AskTimeout:
                print(f"nobody knows whether {item} was looked up")


if __name__ == "__main__":
    actors.run(main())
