"""A door that fails is restarted by its supervisor, and begins at 0.

python step3_supervise.py
"""

import actors
from actors import (
    Actor,
    ActorFailed,
    ActorGraph,
    ActorRestarted,
    Inline,
    Message,
    one_for_one,
)


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


def declared() -> ActorGraph:
    graph = ActorGraph("museum")
    with graph.supervisor("doors", one_for_one(3, per=60)):
        graph.actor("north", Door)
        graph.actor("south", Door)
    return graph


async def main() -> None:
    async with declared().start(on=Inline()) as live:
        live.system.events.subscribe(
            ActorRestarted, lambda event: print("restarted:", event.path, "since", event.error)
        )
        north, south = live["north"], live["south"]
        north.tell(Enter(2))
        south.tell(Enter(5))
        try:
            await south.ask(Leave(6), timeout=5)
        except ActorFailed as error:
            print(error)
        south.tell(Enter(1))  # waits in the mailbox until there is a new instance
        print("south:", await south.ask(Inside(), timeout=5))
        print("north:", await north.ask(Inside(), timeout=5))


if __name__ == "__main__":
    actors.run(main())
