"""A store and four packers, supervised, drawn, and run wherever the command says.

python shop.py [inline | processes | simulated]
"""

import sys

import actors
from actors import (
    Actor,
    ActorGraph,
    ActorRef,
    Deployment,
    Inline,
    Message,
    Process,
    Processes,
    Simulated,
    one_for_one,
    rest_for_one,
)


class Stock(Message[int]):
    item: str


class Take(Message[bool]):
    item: str
    count: int


class Store(Actor):
    def __init__(self, capacity: int) -> None:
        self._left = {"tea": capacity, "rice": capacity}

    def stock(self, message: Stock) -> int:
        return self._left.get(message.item, 0)

    def take(self, message: Take) -> bool:
        if self._left.get(message.item, 0) < message.count:
            return False
        self._left[message.item] -= message.count
        return True


class Pack(Message[str]):
    item: str
    count: int


class Packer(Actor):
    def __init__(self, store: ActorRef[Store]) -> None:
        self._store = store

    async def pack(self, message: Pack) -> str:
        taken = await self._store.ask(Take(message.item, message.count), timeout=5)
        parcel = f"{message.count} {message.item}"
        return f"packed {parcel}" if taken else f"no {parcel} left"


def declared() -> ActorGraph:
    g = ActorGraph("shop")
    with g.supervisor("root", one_for_one(5, per=60)):
        store = g.actor("store", Store, capacity=100)
        with g.supervisor("pool", rest_for_one(), place=Process()):
            g.actors("packer{}", 4, Packer, store=store)
    return g


async def main(on: Deployment) -> None:
    g = declared()
    g.draw("shop.svg")
    async with g.start(on=on) as live:
        for number, (item, count) in enumerate(
            [("tea", 40), ("rice", 9), ("tea", 50), ("tea", 20)]
        ):
            packer = live[f"packer{number}"]
            print(f"{packer.name}: {await packer.ask(Pack(item, count), timeout=10)}")
        print("tea:", await live["store"].ask(Stock("tea"), timeout=10))


DEPLOYMENTS: dict[str, Deployment] = {
    "inline": Inline(),
    "processes": Processes(2),
    "simulated": Simulated(2),
}

if __name__ == "__main__":
    deployment = DEPLOYMENTS[sys.argv[1] if len(sys.argv) > 1 else "processes"]
    actors.run(main(deployment), on=deployment)
