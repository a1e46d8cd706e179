"""Four clocks in two processes, and an actor that hears them, to be watched from outside.

python watched.py ipc:///run/user/1000/clocks/look
"""

import asyncio
import contextlib
import sys

import actors
from actors import Actor, ActorGraph, ActorRef, Message, Process, Processes


class Tick(Message[None]):
    pass


class Listener(Actor):
    def tick(self, message: Tick) -> None:
        pass


class Clock(Actor):
    def __init__(self, listener: ActorRef, every: float) -> None:
        self._listener = listener
        self.timers.start("tick", Tick(), after=every, every=every)

    def tick(self, message: Tick) -> None:
        self._listener.tell(Tick())


def declared() -> ActorGraph:
    graph = ActorGraph("clocks")
    with graph.supervisor("root"):
        listener = graph.actor("listener", Listener)
        with graph.supervisor("pool", place=Process()):
            graph.actors("clock{}", 4, Clock, listener=listener, every=0.05)
    return graph


async def main(address: str) -> None:
    async with declared().start(on=Processes(2), observe=address) as live:
        state = await live.state()
        print(f"{len(state.nodes)} nodes are up; to watch them: actorfl top {address}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        actors.run(main(sys.argv[1]))
