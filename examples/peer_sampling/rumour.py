"""A rumour: whoever has heard it tells it on, once a second, to somebody whom its sampler knows.

python rumour.py
"""

import asyncio

import actors
from actorfl.peersampling import PeerSampler, PickPeers
from actors import Actor, ActorGraph, ActorRef, Custom, Message, Process, Simulated, one_for_one
from transports.sim import Net

# However many bytes a message has, it takes as long: what is printed is the same everywhere.
ON = Simulated(5, net=Net(delay=0.001, jitter=0.001))


class Rumour(Message[None]):
    pass


class Tell(Message[None]):
    pass


class Villager(Actor):
    def __init__(self, sampler: ActorRef[PeerSampler]) -> None:
        self._sampler = sampler
        self._knows = False

    def hear(self, message: Rumour) -> None:
        if not self._knows:
            self._knows = True
            self.publish("heard")
            self.timers.start("tell", Tell(), after=1.0, every=1.0)

    async def tell(self, message: Tell) -> None:
        for peer in await self._sampler.ask(PickPeers(1), timeout=1.0):
            peer.ref.tell(Rumour())


def village(count: int) -> ActorGraph:
    graph = ActorGraph("village")
    with graph.supervisor("root", one_for_one(), place=Process()):
        for name in (f"v{index}" for index in range(count)):
            owner = graph.link(name, Villager, mutual=True)
            # All but the first know the first, and meet the others by it.
            first = {"v0": graph.link("v0.peers", PeerSampler, mutual=True)}
            contacts = first if name != "v0" else {}
            sampler = graph.actor(
                f"{name}.peers", PeerSampler, name=name, owner=owner, contacts=contacts, period=1.0
            )
            graph.actor(name, Villager, sampler=sampler)  # stops before its sampler
    return graph


async def main() -> None:
    heard: list[float] = []
    everybody = asyncio.Event()
    loop = asyncio.get_running_loop()

    def count(event: Custom) -> None:
        if event.kind == "heard":
            heard.append(loop.time())
            if len(heard) == 50:
                everybody.set()

    async with village(50).start(
        ON, before=lambda system: system.events.subscribe(Custom, count)
    ) as live:
        await asyncio.sleep(10)  # of virtual time: so long they meet each other
        live["v7"].tell(Rumour())
        await live.until(everybody.wait())
        for share in (10, 25, 50):
            print(f"{share} know it after {heard[share - 1] - heard[0]:.0f} s")


if __name__ == "__main__":
    actors.run(main(), on=ON)
