"""An actor that counts the people who come in by one door.

python step1_count.py
"""

import actors
from actors import Actor, ActorSystem, Message


class Enter(Message[None]):
    people: int


class Inside(Message[int]):
    """Answered by how many came in."""


class Door(Actor):
    def __init__(self) -> None:
        self._inside = 0

    def enter(self, message: Enter) -> None:
        self._inside += message.people

    def inside(self, message: Inside) -> int:
        return self._inside


async def main() -> None:
    async with ActorSystem("museum") as system:
        north = await system.spawn("north", Door)
        north.tell(Enter(2))
        north.tell(Enter(3))
        print("inside:", await north.ask(Inside(), timeout=5))


if __name__ == "__main__":
    actors.run(main())
