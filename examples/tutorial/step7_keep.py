"""A door that keeps its count on disk, so that a killed process does not lose it.

python step7_keep.py
"""

import tempfile
from pathlib import Path

import actors
from actors import (
    Actor,
    ActorGraph,
    ActorRestarted,
    Message,
    Process,
    Processes,
    one_for_one,
)
from actors.testing import record


class Enter(Message[int]):
    people: int


class Door(Actor):
    def __init__(self) -> None:
        self._inside = self._saved = 0

    async def on_start(self) -> None:
        latest = await self.snapshots().latest()
        if latest is not None:
            self._saved, self._inside = latest.counter, int(latest.header)

    async def enter(self, message: Enter) -> int:
        self._inside += message.people
        self._saved += 1
        await self.snapshots().save(self._saved, str(self._inside).encode(), ())
        return self._inside  # whoever has this answer can rely on it


def declared() -> ActorGraph:
    graph = ActorGraph("museum")
    with graph.supervisor("doors", one_for_one(), place=Process()):
        graph.actor("door", Door)
    return graph


async def main(storage: Path) -> None:
    async with declared().start(on=Processes(1), storage=storage) as live:
        assert live.processes is not None
        back = record(live.system, ActorRestarted)
        door = live["door"]
        print("door:", await door.ask(Enter(2), timeout=5))
        print("door:", await door.ask(Enter(5), timeout=5))
        live.processes.kill("p0")
        await back.next(timeout=30)
        print("door:", await door.ask(Enter(1), timeout=5))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        actors.run(main(Path(folder)))
