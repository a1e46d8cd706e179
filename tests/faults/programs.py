"""Programs of nodes for tests; processes load them from this file."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from actorfl import SGD, Me, Model, NodeLoop, average
from actorfl.algorithms.adpsgd import ADPSGD
from actorfl.algorithms.dpsgd import DPSGD
from actorfl.algorithms.epidemic import EpidemicLearning
from actorfl.letters import MOST_KEPT, MOST_TOLD
from actorfl.pairing import Content, PairCtx, PairState
from actorfl.topology import Peers

MUCH = 2 * MOST_TOLD + 8

SEEN: list[tuple[str, str, int]] = []
"""What nodes of a simulation did, in order: they share a process."""


@dataclass(frozen=True)
class Seen(DPSGD):
    """D-PSGD that tells when a node starts a clock, and when it has completed it."""

    def mix(self, topology: Peers, name: str, number: int) -> Mapping[str, float]:
        SEEN.append(("starts", name, number))
        return super().mix(topology, name, number)

    def outgoing(self, ctx: PairCtx, state: PairState) -> tuple[Mapping[str, Content], PairState]:
        SEEN.append(("completed", ctx.name, ctx.round))
        return super().outgoing(ctx, state)


SENT: list[tuple[float, str, tuple[str, ...]]] = []
"""When which node of a simulation sent, and whom to."""


@dataclass(frozen=True)
class Sending(EpidemicLearning):
    """Epidemic learning that tells whom a node sends to."""

    def outgoing(self, ctx: PairCtx, state: PairState) -> tuple[Mapping[str, Content], PairState]:
        SENT.append((asyncio.get_running_loop().time(), ctx.name, ctx.targets))
        return super().outgoing(ctx, state)


@dataclass(frozen=True)
class Handing(NodeLoop):
    """Each round in which something is saved, models go both ways round the ring.

    Its state counts what it received and drew, so one that is lost or doubled shows in the model.
    """

    rounds: int = 4
    every: int = 1

    async def run(self, me: Me) -> None:
        for r in me.rounds(self.rounds):
            trained = await me.fit()
            for to in me.neighbours:
                await me.send(to, trained, tag=f"{r} to {to}")
            models = [trained]
            for of in me.neighbours:
                received = await me.receive(tag=f"{r} to {me.name}", sender=of, timeout=60)
                models.append(received.weights)
            me.state["received"] = int(me.state.get("received", 0)) + len(me.neighbours)
            drawn = me.draw().normal(size=me.layout.size).astype(np.float32)
            me.state["noise"] = np.asarray(me.state.get("noise", 0 * drawn)) + drawn
            mean = average(*models)
            moved = mean.vector + 1e-3 * me.state["noise"] + 1e-4 * me.state["received"]  # type: ignore[operator]
            me.weights = Model(mean.layout, moved.astype(np.float32), mean.buffers)
            if (r + 1) % self.every == 0:
                await me.save()


@dataclass(frozen=True)
class Pairing(NodeLoop):
    """Two rounds share a tag: in one it is the next node that is sent something, then the other.

    So a letter that came again would be taken for that of the other neighbour.
    """

    rounds: int = 6

    async def run(self, me: Me) -> None:
        for r in me.rounds(self.rounds):
            trained = await me.fit()
            await me.send(me.neighbours[r % 2], trained, tag=r // 2)
            received = await me.receive(tag=r // 2, timeout=60)
            me.state[received.sender] = received.weights.vector
            if r % 2:
                models = [Model(me.layout, np.asarray(me.state[n]), {}) for n in me.neighbours]
                me.weights = average(trained, *models)
                me.state.clear()
            await me.save()


class Hurrying(NodeLoop):
    """The first sends far ahead of what the second receives."""

    async def run(self, me: Me) -> None:
        if me.index == 0:
            for number in range(100):
                await me.send(me.neighbours[0], me.weights, tag=number)
            me.state["sent"] = 100
        else:
            for number in me.rounds(100):
                await me.receive(tag=number, timeout=30)
                if number % 10 == 9:
                    await me.save()


@dataclass(frozen=True)
class Waiting(NodeLoop):
    """Nobody sends what it waits for."""

    timeout: int = 2

    async def run(self, me: Me) -> None:
        await me.receive(tag="never", timeout=self.timeout)


class Leading(NodeLoop):
    """The first does more rounds than two reports tell of before the second does its only one."""

    async def run(self, me: Me) -> None:
        if me.index == 0:
            for _ in me.rounds(MUCH):
                await me.save()
            await me.send(me.neighbours[0], me.weights, tag="last")
        else:
            for _ in me.rounds(1):
                await me.receive(tag="last", timeout=600)


@dataclass(frozen=True)
class Slipping(NodeLoop):
    """Calls something as it must not be called."""

    slip: str = "tag"

    async def run(self, me: Me) -> None:
        for _ in me.rounds(2):
            if self.slip == "fit":
                await me.fit(me.weights, local=SGD(lr=-1, batch=3))
            to = "w9" if self.slip == "name" else me.neighbours[0]
            await me.send(to, me.weights, tag=0)


class Bursting(NodeLoop):
    """Each sends the next more than is kept before it receives anything."""

    async def run(self, me: Me) -> None:
        for number in range(MOST_KEPT + 1):
            await me.send(me.neighbours[0], me.weights, tag=number, timeout=5)


@dataclass(frozen=True)
class Scattered(ADPSGD):
    """AD-PSGD without training, whose nodes begin with models of their own."""

    def started(self, ctx: PairCtx, state: PairState) -> PairState:
        return state.replaced(ctx.draw("begin").normal(size=ctx.layout.size))

    def trains(self, number: int) -> bool:
        return False
