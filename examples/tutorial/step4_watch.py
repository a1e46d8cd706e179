"""A museum watches its doors, and hears of each that is gone for good.

python step4_watch.py
"""

import actors
from actors import Actor, ActorFailed, ActorRef, ActorSystem, Message, Terminated


class Check(Message[None]):
    """Fails at a door whose sensor is broken."""


class Door(Actor):
    def check(self, message: Check) -> None:
        raise OSError("the sensor is broken")


class Add(Message[int]):
    """A message may hold references; answered by how many doors there are."""

    door: ActorRef[Door]


class Doors(Message[list[str]]):
    pass


class Museum(Actor):
    def __init__(self) -> None:
        self._doors: dict[int, str] = {}

    def add(self, message: Add) -> int:
        self._doors[message.door.uid] = message.door.name
        self.watch(message.door)
        return len(self._doors)

    def gone(self, message: Terminated) -> None:
        name = self._doors.pop(message.uid)
        print(f"{name} is gone ({message.cause}): {message.reason}")

    def doors(self, message: Doors) -> list[str]:
        return sorted(self._doors.values())


async def main() -> None:
    async with ActorSystem("museum") as system:
        museum = await system.spawn("museum", Museum)
        north = await system.spawn("north", Door)
        south = await system.spawn("south", Door)
        west = await system.spawn("west", Door)
        for door in (north, south, west):
            await museum.ask(Add(door), timeout=5)

        await system.stop(north)
        try:
            await south.ask(Check(), timeout=5)
        except ActorFailed:
            await system.stop(south)  # waits until it is gone
        print("left:", await museum.ask(Doors(), timeout=5))

        await museum.ask(Add(south), timeout=5)  # too late, and told at once
        print("left:", await museum.ask(Doors(), timeout=5))


if __name__ == "__main__":
    actors.run(main())
