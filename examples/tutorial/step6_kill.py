"""A process is killed in the middle: who learns what, what is lost, and what comes back.

python step6_kill.py [processes | simulated]
"""

import sys

import actors
from actors import (
    Actor,
    ActorGraph,
    ActorRef,
    ActorRestarted,
    AskError,
    Deployment,
    Message,
    NodeDied,
    Process,
    Processes,
    Simulated,
    Terminated,
    one_for_one,
)


class Enter(Message[int]):
    """Answered by how many are inside now."""

    people: int


class Inside(Message[int]):
    pass


class Door(Actor):
    def __init__(self) -> None:
        self._inside = 0

    def enter(self, message: Enter) -> int:
        self._inside += message.people
        return self._inside

    def inside(self, message: Inside) -> int:
        return self._inside


class Museum(Actor):
    def __init__(self, doors: list[ActorRef[Door]]) -> None:
        self._doors = doors
        for door in doors:
            self.watch(door)

    def gone(self, message: Terminated) -> None:
        print(f"the hall hears of {message.path}: {message.reason}")

    async def inside(self, message: Inside) -> int:
        return sum([await self._inside_of(door) for door in self._doors])

    async def _inside_of(self, door: ActorRef[Door]) -> int:
        while True:
            try:
                return await door.ask(Inside(), timeout=1)
            except AskError:  # to ask once more changes nothing at the door
                await self.clock.sleep(0.1)


def declared() -> ActorGraph:
    graph = ActorGraph("museum")
    with graph.supervisor("root"):
        with graph.supervisor("doors", one_for_one(3, per=60, outside=10), place=Process()):
            doors = graph.actors("door{}", 2, Door)
        graph.actor("hall", Museum, doors=doors)
    return graph


async def main(on: Deployment) -> None:
    async with declared().start(on=on) as live:
        assert live.processes is not None
        events = live.system.events
        events.subscribe(NodeDied, lambda event: print(f"process {event.node}: {event.reason}"))
        events.subscribe(ActorRestarted, lambda event: print(f"restarted: {event.path}"))

        door0, door1, hall = live["door0"], live["door1"], live["hall"]
        print("door0:", await door0.ask(Enter(2), timeout=5))
        print("door1:", await door1.ask(Enter(5), timeout=5))
        print("inside:", await hall.ask(Inside(), timeout=30))

        live.processes.kill("p0")
        print("inside:", await hall.ask(Inside(), timeout=30))
        print("door0:", await door0.ask(Enter(1), timeout=5))  # the same reference


DEPLOYMENTS: dict[str, Deployment] = {"processes": Processes(2), "simulated": Simulated(2)}

if __name__ == "__main__":
    deployment = DEPLOYMENTS[sys.argv[1] if len(sys.argv) > 1 else "processes"]
    actors.run(main(deployment), on=deployment)
