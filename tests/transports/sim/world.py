"""Nodes on a simulated network, for the tests that real ones run too and for those of its own."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

from tests.transports.world import Node, World
from transports.clock import Clock
from transports.limits import Limits
from transports.sim.clock import SimClock
from transports.sim.loop import SimLoop
from transports.sim.net import Nets
from transports.sim.network import SimNetwork, SimNode
from transports.sim.trace import Trace


class SimWorld(World):
    """A world whose nodes are each on a host of their own, named like them."""

    def __init__(
        self, seed: int = 0, net: Nets | None = None, *, incarnations: int | None = None
    ) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        super().__init__(Path(), "sim")
        if incarnations is not None:
            self.incarnations = itertools.count(incarnations)
        self.loop = loop
        self.trace = Trace(keep=100_000)
        self.network = SimNetwork(loop, seed=seed, net=net, trace=self.trace)

    def context(self, name: str) -> SimNode:
        return self.network.node(name)

    async def node(self, name: str, limits: Limits | None = None, cluster: str = "test") -> Node:
        with self.network.node(name).inside():
            return await super().node(name, limits, cluster)

    def clock(self) -> Clock:
        return SimClock(self.loop)
