"""Connected nodes for a test, simulated or real, and what can happen between simulated ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, nullcontext
from typing import Any, Final

from actors.addresses import Addresses, IpcAddresses
from actors.cell import Cell
from actors.crashpoints import CrashPoint
from actors.deploy import Deployment, Inline, Simulated, check_deployment
from actors.errors import UsageError
from actors.faults.kinds import Churn, Freeze, Kill, Slow
from actors.given import check_known
from actors.names import check_name
from actors.signals import Cause
from actors.sim import Simulation
from actors.sim.disk import SimStorage
from actors.storage import MemoryStorage
from actors.system import ActorSystem
from actors.world import World
from transports.sim import SimLoop, SimNetwork, SimNode

_CONNECT: Final = 30.0
"""Seconds that nodes of one machine are given to connect: much more than a busy one needs."""


class _NodeSystem(ActorSystem):
    """A system whose actors belong to its node, also those that the test makes from outside."""

    def __init__(
        self, name: str, world: World, inside: Callable[[], AbstractContextManager[None]]
    ) -> None:
        super().__init__(name, world=world)
        self.inside = inside
        self.address = ""

    def make(self, name: str, cls: Any, arguments: dict[str, Any], **options: Any) -> Cell:
        """See ``ActorSystem.make``."""
        with self.inside():
            return super().make(name, cls, arguments, **options)

    async def up(self) -> str:
        """Open and listen; the address."""
        with self.inside():
            await self.start()
            where = self.world.addresses.node(self.node)
            self.address = await self.router.endpoint.listen(where)
        return self.address

    async def connect(self, other: _NodeSystem) -> None:
        """Link the two, and wait until both know it."""
        for one, peer in ((self, other), (other, self)):
            with one.inside():
                one.router.node_up(peer.node, peer.address)
                one.router.expect(peer.node)
        first, second = sorted((self, other), key=lambda system: system.name)
        with first.inside():
            first.router.dial(second.name)
        try:
            async with asyncio.timeout(_CONNECT):
                await self.peers.until_up(other.node)
                await other.peers.until_up(self.node)
        except TimeoutError:
            msg = (
                f"nodes {self.name} and {other.name} did not connect within {_CONNECT:.6g} s; "
                "heal the network before a node is started"
            )
            raise UsageError(msg) from None


class Nodes:
    """The nodes of ``systems``, in the order of their names there.

    Iterating gives their systems, so ``as (a, b)`` takes them apart.
    """

    def __init__(self, simulation: Simulation | None, addresses: Addresses | None) -> None:
        self._simulation = simulation
        self._addresses = addresses
        self._systems: dict[str, _NodeSystem] = {}
        self._dead: set[str] = set()
        self._frozen: set[str] = set()
        self._cuts: list[tuple[str, str]] = []
        self._generations: dict[str, int] = {}

    def __getitem__(self, name: str) -> ActorSystem:
        return self._system(name)

    def __iter__(self) -> Iterator[ActorSystem]:
        return iter(self._systems.values())

    def __len__(self) -> int:
        return len(self._systems)

    def _system(self, name: str) -> _NodeSystem:
        check_known("node", name, list(self._systems))
        return self._systems[name]

    @property
    def simulation(self) -> Simulation:
        """The simulated world of which they are.

        Raises:
            UsageError: the nodes are real.
        """
        if self._simulation is None:
            msg = (
                "the network of real nodes cannot be disturbed; run the test in a simulation, by "
                "actors.run(main(), on=Simulated()) and systems(…, on=Simulated())"
            )
            raise UsageError(msg)
        return self._simulation

    @property
    def network(self) -> SimNetwork:
        """The simulated network: slow ways, partitions, statistics.

        Raises:
            UsageError: the nodes are real.
        """
        return self.simulation.network

    # -- what can happen -------------------------------------------------------------------------

    def cut(self, a: str, b: str) -> None:
        """End all connections between two nodes, and let none be made until ``heal``.

        Raises:
            UsageError: the nodes are real, or there is no such node.
        """
        network = self.network
        network.cut(self._system(a).name, self._system(b).name)
        self._cuts.append((a, b))

    def heal(self) -> None:
        """All nodes can connect again.

        Raises:
            UsageError: the nodes are real.
        """
        network = self.network
        network.heal()
        while self._cuts:
            network.uncut(*self._cuts.pop())

    def freeze(self, name: str) -> None:
        """Stop a node, as SIGSTOP stops a process; its connections stay.

        Raises:
            UsageError: the nodes are real, or there is no such node, or it has crashed.
        """
        network = self.network
        network.freeze(self._living(name).name)
        self._frozen.add(name)

    def thaw(self, name: str) -> None:
        """Let a frozen node go on.

        Raises:
            UsageError: the nodes are real, or there is no such node, or it has crashed.
        """
        network = self.network
        network.thaw(self._living(name).name)
        self._frozen.discard(name)

    async def crash(
        self,
        name: str,
        *,
        reason: str = "killed by signal 9 (SIGKILL)",
        cause: Cause = "killed",
    ) -> None:
        """Kill a node, as SIGKILL kills a process, and have the others told that it is dead.

        Nothing that its actors do at their end reaches the network or the disk.

        Args:
            name: of the node.
            reason: what ``Terminated`` gives as its reason.
            cause: what it gives as its cause.

        Raises:
            UsageError: the nodes are real, or there is no such node, or it has crashed.
        """
        simulation, system = self.simulation, self._living(name)
        node, storage = system.world.context, system.world.storage
        assert isinstance(node, SimNode)
        assert isinstance(storage, SimStorage)
        self._dead.add(name)
        self._frozen.discard(name)
        simulation.network.crash(name)
        storage.unplug()
        await node.reap()
        for other in self._alive():
            with other.inside():
                other.peers.node_died(system.node, reason, cause)

    async def start(self, name: str) -> ActorSystem:
        """Start a node anew that has crashed, with the same name and disk and without actors.

        Raises:
            UsageError: it lives, or there is no such node.
        """
        if name not in self._dead:
            msg = f"node {self._system(name).name} lives; crash it before it is started anew"
            raise UsageError(msg)
        return await self._join(name)

    # -- life ------------------------------------------------------------------------------------

    def _living(self, name: str) -> _NodeSystem:
        system = self._system(name)
        if name in self._dead:
            msg = f"node {name} has crashed; start it anew by `await nodes.start({name!r})`"
            raise UsageError(msg)
        return system

    def _alive(self) -> list[_NodeSystem]:
        return [system for name, system in self._systems.items() if name not in self._dead]

    async def _join(self, name: str) -> ActorSystem:
        generation = self._generations[name] = self._generations.get(name, -1) + 1
        inside: Callable[[], AbstractContextManager[None]] = nullcontext
        if self._simulation is None:
            assert self._addresses is not None
            world = World(storage=MemoryStorage(), addresses=self._addresses)
        else:
            world = self._simulation.world(name, generation, skewed=True)
            assert isinstance(world.context, SimNode)
            inside = world.context.inside
        system = _NodeSystem(name, world, inside)
        await system.up()
        others = [other for other in self._alive() if other.name != name]
        self._systems[name] = system
        self._dead.discard(name)
        for other in others:
            await system.connect(other)
        return system

    async def _close(self) -> None:
        for name in tuple(self._frozen):
            self.thaw(name)
        for system in reversed(self._alive()):
            await system.close(linger=0.0)

    def __repr__(self) -> str:
        def state(name: str) -> str:
            return "crashed" if name in self._dead else "frozen" if name in self._frozen else "live"

        kind = "real" if self._simulation is None else "simulated"
        return f"<Nodes {kind}: {', '.join(f'{name} {state(name)}' for name in self._systems)}>"


@asynccontextmanager
async def systems(*names: str, on: Deployment | None = None) -> AsyncIterator[Nodes]:
    """Connected nodes, each with a system, for the time of the block.

    ``async with systems("a", "b") as (a, b)`` gives the systems, ``as nodes`` also what can happen
    to them. All are equal: none is the launcher of another, and each can reach each.

    Args:
        *names: of the nodes.
        on: ``Inline()`` for real nodes in this process, which are connected by sockets in a
            private directory; ``Simulated()`` for simulated ones, within
            ``actors.run(main(), on=Simulated())``. By default what the running loop is.

    Raises:
        UsageError: no name or one twice; ``Simulated()`` on a loop whose time is real, or with
            kills or crash points, which happen to processes; ``Processes()``, whose systems are
            not here.
    """
    for name in names:
        check_name(name)
    if not names or len(set(names)) != len(names):
        msg = f"systems({', '.join(map(repr, names))}): give each node a name of its own"
        raise UsageError(msg)
    if on is None:
        on = Simulated() if isinstance(asyncio.get_running_loop(), SimLoop) else Inline()
    with ExitStack() as stack:
        if isinstance(on, Simulated):
            for fault in on.faults.of(Churn, CrashPoint, Freeze, Kill, Slow):
                msg = (
                    f"{fault} happens to processes of a graph; take nodes.crash(name) and "
                    "nodes.freeze(name) for the nodes of systems(…)"
                )
                raise UsageError(msg)
            nodes = Nodes(stack.enter_context(Simulation(on).running()), None)
        elif isinstance(on, Inline):
            addresses = IpcAddresses()
            stack.callback(addresses.close)
            nodes = Nodes(None, addresses)
        else:
            check_deployment(on)
            msg = (
                f"systems(on={on!r}) would live in other processes; give Inline() or Simulated(), "
                "or start an ActorGraph on it"
            )
            raise UsageError(msg)
        try:
            for name in names:
                await nodes._join(name)  # noqa: SLF001  (the two are one unit)
            yield nodes
        finally:
            await nodes._close()  # noqa: SLF001
