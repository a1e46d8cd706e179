"""A museum whose doors live in two processes.

python step5_processes.py
"""

import asyncio
import os

import actors
from actors import Actor, ActorGraph, ActorRef, Message, Process, Processes, one_for_one


class Enter(Message[None]):
    people: int


class Inside(Message[int]):
    pass


class Where(Message[int]):
    """Answered by the id of the process."""


class Door(Actor):
    def __init__(self, inside: int) -> None:
        self._inside = inside

    def enter(self, message: Enter) -> None:
        self._inside += message.people

    def inside(self, message: Inside) -> int:
        return self._inside

    def where(self, message: Where) -> int:
        return os.getpid()


class Museum(Actor):
    def __init__(self, doors: list[ActorRef[Door]]) -> None:
        self._doors = doors

    async def inside(self, message: Inside) -> int:
        asked = [door.ask(Inside(), timeout=5) for door in self._doors]
        return sum(await asyncio.gather(*asked))


def declared() -> ActorGraph:
    graph = ActorGraph("museum")
    with graph.supervisor("root"):
        with graph.supervisor("doors", one_for_one(3, per=60), place=Process()):
            doors = graph.actors("door{}", 4, Door, inside=0)
        graph.actor("hall", Museum, doors=doors)
    return graph


async def main() -> None:
    graph, on = declared(), Processes(2)
    print(graph.text(on))
    async with graph.start(on=on) as live:
        doors = [live[f"door{number}"] for number in range(4)]
        for number, door in enumerate(doors):
            door.tell(Enter(number + 1))
        for door in doors:
            await door.ask(Inside(), timeout=5)  # what was told before has been handled
        print("inside:", await live["hall"].ask(Inside(), timeout=5))
        places = {await door.ask(Where(), timeout=5) for door in doors}
        print("processes:", len(places - {os.getpid()}))


if __name__ == "__main__":
    actors.run(main())
