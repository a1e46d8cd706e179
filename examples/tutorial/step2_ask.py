"""An actor that asks others, and the ways in which an ask ends.

python step2_ask.py
"""

import asyncio

import actors
from actors import Actor, ActorFailed, ActorRef, ActorSystem, AskTimeout, Message, NoSuchActor


class Enter(Message[None]):
    people: int


class Leave(Message[int]):
    people: int


class Inside(Message[int]):
    pass


class Door(Actor):
    def __init__(self) -> None:
        self._inside = 0

    def enter(self, message: Enter) -> None:
        self._inside += message.people

    def leave(self, message: Leave) -> int:
        if message.people > self._inside:
            raise ValueError(f"{message.people} leave and {self._inside} are inside")
        self._inside -= message.people
        return self._inside

    def inside(self, message: Inside) -> int:
        return self._inside


class Tour(Message[str]):
    seconds: float


class Museum(Actor):
    def __init__(self, doors: list[ActorRef[Door]]) -> None:
        self._doors = doors

    async def inside(self, message: Inside) -> int:
        asked = [door.ask(Inside(), timeout=5) for door in self._doors]
        return sum(await asyncio.gather(*asked))

    async def tour(self, message: Tour) -> str:
        await asyncio.sleep(message.seconds)
        return "that was the tour"


async def main() -> None:
    async with ActorSystem("museum") as system:
        north = await system.spawn("north", Door)
        south = await system.spawn("south", Door)
        museum = await system.spawn("museum", Museum, doors=[north, south])
        north.tell(Enter(2))
        south.tell(Enter(5))
        print("inside:", await museum.ask(Inside(), timeout=5))

        try:
            await museum.ask(Tour(seconds=0.5), timeout=0.1)
        except AskTimeout as error:
            print(error)
        try:
            await south.ask(Leave(6), timeout=5)
        except ActorFailed as error:
            print(error)
        try:
            await south.ask(Inside(), timeout=5)
        except NoSuchActor as error:
            print("south is gone:", type(error).__name__)


if __name__ == "__main__":
    actors.run(main())
