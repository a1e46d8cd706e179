"""One simulated world: its network, its disk, its processes, and what went wrong in it."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import msgspec

from actors import crashpoints
from actors.crashpoints import CrashPoint, CrashPointReached, CrashPoints, announcement
from actors.deploy import Compute, Simulated
from actors.errors import NodeStartFailed, UsageError
from actors.exits import Exit
from actors.exponential import Exponential
from actors.faults.clock import ResetClock
from actors.faults.disks import DiskFaults
from actors.faults.kinds import Partition
from actors.faults.links import FaultyLinks
from actors.faults.moment import Lookout, Moment, Moments
from actors.faults.noise import Corruption
from actors.serving import EXIT_CUT_OFF, NodeConfig, serve
from actors.sim.disk import Disk, SimStorage
from actors.sim.islands import Islands
from actors.sim.spare import SimSpare
from actors.sim.work import SimWork
from actors.spare import Spare
from actors.spawner import Child, ProcessSpec
from actors.world import World
from transports import Clock, Limits, NodeId, Rng, SeededRng
from transports.sim import NetworkStatistics, SimNetwork, SimNode, Trace
from transports.sim.owner import OWNER, owned

_FIRST_PID: Final = 1000

_KEPT: Final = 120
"""Events of the network that are held on to, for the story of what went wrong."""


@dataclass(frozen=True)
class SimulationStatistics:
    """What happened in a simulation.

    Attributes:
        seconds: virtual time.
        steps: callbacks that ran.
        started: processes started.
        killed: of these, ended by a kill.
        faults: how often each kind of the plan took effect; ``out_of_order`` counts messages that
            came after one which the same node had sent later.
        network: of the simulated network.
        digest: SHA-256 over everything that went over the network and when, in hexadecimal.
    """

    seconds: float
    steps: int
    started: int
    killed: int
    faults: Mapping[str, int]
    network: NetworkStatistics
    digest: str


class Simulation:
    """A network of nodes in virtual time; ``world`` gives a launcher its place in it.

    Used as ``with Simulation(on) as simulation`` on a ``SimLoop``.

    Args:
        on: what the world is like.
        disk: what outlives nodes; a new one where not given.

    Raises:
        UsageError: the running loop's time is real.
    """

    def __init__(self, on: Simulated, disk: Disk | None = None) -> None:
        loop = on.running_loop()
        self.on = on
        self.loop = loop
        self.disk = disk or Disk()
        self.trace = Trace(keep=_KEPT)
        self.network = SimNetwork(loop, seed=on.seed, net=on.net, trace=self.trace)
        self.rng = SeededRng(on.seed)
        self.counts: Counter[str] = Counter()
        self.moments = Moments()
        self.started = self.killed = 0
        self.began = loop.time()
        self.islands = Islands(
            on.faults.of(Partition), on.faults.until, self.network, loop, self.counts,
            self.moments,
        )  # fmt: skip
        usual = Limits()
        # The launcher has a link to each, and so may an actor in the middle have.
        self._limits = replace(usual, max_links=max(usual.max_links, 2 * on.n))
        self._children: dict[str, SimChild] = {}
        self._works: list[SimWork] = []

    def world(self, name: str, generation: int = 0, *, skewed: bool = False) -> World:
        """The world of the launcher's node.

        Args:
            name: of the node.
            generation: how many of that name came before; each has randomness of its own.
            skewed: whether a skew of the plan holds for its clock; those of processes differ from
                that of their launcher.
        """
        return self._world(
            self.network.node(name), name, generation, SimSpawner(self), skewed=skewed
        )

    def _world(
        self, node: SimNode, name: str, generation: int, spawner: SimSpawner, *, skewed: bool
    ) -> World:
        plan = self.on.faults
        skew = plan.skew(name) if skewed else 0.0
        resets = plan.resets(name) if skewed else ()
        if skew:
            self.counts["skew"] += 1
        clock: Clock = node.clock(skew=skew)
        began = self.began + skew
        if resets:
            clock = ResetClock(clock, resets, plan.until, began, self.moments, self.counts)
        rng = self.rng.derive("node", name, generation)
        links = disks = noise = None
        if plan.disturbs_messages:
            links = FaultyLinks(
                plan, name, generation, clock, began, self.counts, moments=self.moments
            )
        if plan.damages_frames:
            noise = Corruption(
                plan, name, generation, clock, began, self.counts, moments=self.moments
            )
        if plan.disturbs_disks:
            disks = DiskFaults(
                plan, name, generation, clock, began, self.counts, moments=self.moments
            )
        work = SimWork(_seconds(self.on.compute, name, rng))
        self._works.append(work)
        self.islands.there(name)
        return World(
            clock=clock,
            rng=rng,
            spawner=spawner,
            storage=SimStorage(self.disk, clock, disks),
            context=node,
            addresses=SimAddresses(),
            work=work,
            limits=self._limits,
            faults=links,
            noise=noise,
            fault_counts=self.counts,
            counts_shared=True,
            moments=self.moments,
            heartbeat=self.on.heartbeat,
        )

    def next_pid(self) -> int:
        """Count a process that is started; its id."""
        self.started += 1
        return _FIRST_PID + self.started

    def child(
        self,
        spec: ProcessSpec,
        spawner: SimSpawner,
        *,
        pid: int | None = None,
        start: float | None = None,
    ) -> SimChild:
        """A process of this world that is about to start.

        Args:
            spec: what it is.
            spawner: of its launcher.
            pid: of the spare that becomes it; None for a new process.
            start: virtual seconds until it is up; None for those of a new process.
        """
        config = msgspec.msgpack.decode(spec.config, type=NodeConfig)
        node = self.network.node(spec.name)
        world = self._world(node, spec.name, config.generation, spawner, skewed=True)
        heard = spec.on_line

        def tell(point: CrashPoint) -> None:
            if heard is not None:
                heard(announcement(point))

        points = CrashPoints(self.on.faults.points, spec.name, config.start, tell)
        child = SimChild(
            self, config, node=node, world=world, points=points, pid=pid or self.next_pid(),
            lookout=Lookout(self.on.faults.moments, spec.name, self._came),
        )  # fmt: skip
        self._children[spec.name] = child
        child.start(self.on.start if start is None else start)
        return child

    def cut_power(self) -> None:
        """The machine goes down: every process ends, and nothing more reaches its disk.

        What was being written may be torn, as the plan says. The launcher is the caller's to end.
        """
        self.disk.unplugged = True
        for child in self._children.values():
            child.kill()

    def _came(self, moment: Moment) -> None:
        # Of the node where it comes nothing else is: what follows must outlive it.
        with owned(None):
            self.moments.came(moment, self.loop.time() - self.began)

    def _passed(self, point: str, clock: int | None, actor: str, message: str) -> None:
        """A crash point came by: is it ordered for this node?"""
        owner = OWNER.get()
        for child in self._children.values():
            if child.owner == owner and child.alive:
                child.lookout.passed(point, clock, actor, message)
                action = child.points.passed(point, clock, actor, message)
                if action is not None:
                    self.counts["crash"] += 1
                    child.perform(action, point)
                    if actor and not child.alive:
                        # Unwinds at once: what died before a message must not handle it.
                        raise CrashPointReached(f"{child.name} ended at crash point {point}")
                return

    @contextmanager
    def running(self) -> Iterator[Simulation]:
        """Crash points are in force within the block."""
        plan = self.on.faults
        watched = crashpoints.watched_by(self._passed, plan.points, messages=bool(plan.moments))
        try:
            with watched if plan.points or plan.moments else nullcontext():
                yield self
        finally:
            for work in self._works:
                work.close()

    def statistics(self) -> SimulationStatistics:
        """What happened so far."""
        loop = self.loop.statistics()
        return SimulationStatistics(
            seconds=loop.seconds,
            steps=loop.steps,
            started=self.started,
            killed=self.killed,
            faults=dict(+self.counts),  # without zeros
            network=self.network.statistics(),
            digest=self.trace.hexdigest(),
        )

    def __repr__(self) -> str:
        return f"<Simulation at {self.loop.time():.9g} s started={self.started} {self.network!r}>"


class SimAddresses:
    """Each node listens under its own name."""

    def launcher(self, name: str) -> str:
        """See ``Addresses.launcher``."""
        return f"sim://{name}"

    def node(self, node: NodeId) -> str:
        """See ``Addresses.node``."""
        return f"sim://{node.name}-{node.incarnation:012x}"

    def close(self) -> None:
        """See ``Addresses.close``."""


class SimSpawner:
    """Starts simulated processes."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._children: list[SimChild | SimSpare] = []

    async def spawn(self, spec: ProcessSpec) -> Child:
        """See ``Spawner.spawn``."""
        if spec.module != "actors.node":
            raise NodeStartFailed(f"a simulation can start actors.node, not {spec.module}")
        child = self._simulation.child(spec, self)
        self._children.append(child)
        return child

    async def reserve(self, spec: ProcessSpec, preload: Sequence[str] = ()) -> Spare:
        """See ``Spawner.reserve``; what it loads is loaded in this process already."""
        spare = SimSpare(self._simulation, spec, self)
        self._children.append(spare)
        return spare

    async def close(self) -> None:
        """See ``Spawner.close``."""
        for child in self._children:
            child.kill()
            await child.wait()


class SimChild:
    """A simulated process: a node, and what it was told at its start."""

    def __init__(
        self,
        simulation: Simulation,
        config: NodeConfig,
        *,
        node: SimNode,
        world: World,
        points: CrashPoints,
        pid: int,
        lookout: Lookout,
    ) -> None:
        self.lookout = lookout
        self.name = config.name
        self.pid = pid
        self.points = points
        self._simulation = simulation
        self._config = config
        self._node = node
        self._world = world
        self._ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._reaper: asyncio.Task[None] | None = None
        self._lines: list[str] = []

    @property
    def owner(self) -> str | None:
        """What its tasks belong to."""
        return self._node.owner

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._reaper is None

    def start(self, seconds: float) -> None:
        """Come up after some virtual time, as a process that has to import torch does."""
        with self._node.inside():
            # Held: the loop refers to its tasks weakly, and nothing else knows this one.
            self._task = self._simulation.loop.create_task(
                self._main(seconds), name=f"node {self.name}"
            )
        with owned(None):
            self._task.add_done_callback(self._served)

    async def _main(self, seconds: float) -> None:
        await self._world.clock.sleep(seconds)
        self._lines.append(await serve(self._config, self._world))
        self._end(Exit(code=EXIT_CUT_OFF))

    def _served(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._lines.append(f"{type(error).__name__}: {error}")
        self._end(Exit(code=1))

    def kill(self) -> None:
        """See ``Child.kill``."""
        self._end(Exit(signal=signal.SIGKILL))

    def terminate(self) -> None:
        """See ``Child.terminate``."""
        self._end(Exit(signal=signal.SIGTERM))

    def freeze(self) -> bool:
        """See ``Child.freeze``."""
        if self.alive:
            self._simulation.network.freeze(self.name)
        return self.alive

    def thaw(self) -> bool:
        """See ``Child.thaw``."""
        if self.alive:
            self._simulation.network.thaw(self.name)
        return self.alive

    def slow(self, factor: float) -> bool:
        """See ``Child.slow``."""
        work = self._world.work
        assert isinstance(work, SimWork)
        work.factor = factor
        return self.alive

    def perform(self, action: str, point: str) -> None:
        """What was ordered for a crash point happens to this process."""
        word, _, number = action.partition(":")
        match word:
            case "sigkill":
                self.kill()
            case "segfault":
                self._end(Exit(signal=signal.SIGSEGV))
            case "exit":
                self._end(Exit(code=int(number)))
            case "sigstop":
                self._simulation.network.freeze(self.name)
            case "raise" | "oom":
                crashpoints.raise_for(action, point)
            case _:
                msg = f"a simulation cannot carry out {action!r} at {point}; use sigkill"
                raise UsageError(msg)

    def _end(self, how: Exit) -> None:
        if self._reaper is not None:
            return
        simulation = self._simulation
        simulation.killed += how.signal is not None
        # Unplugged first: no `finally` of a task that is cancelled says or saves a last thing.
        simulation.network.crash(self.name)
        storage = self._world.storage
        assert isinstance(storage, SimStorage)
        storage.unplug()
        with owned(None):
            self._reaper = simulation.loop.create_task(self._reap(how), name=f"reap {self.name}")

    async def _reap(self, how: Exit) -> None:
        await self._node.reap()
        assert isinstance(self._world.work, SimWork)
        self._world.work.close()
        self._ended.set_result(how)

    async def wait(self) -> Exit:
        """See ``Child.wait``."""
        return await asyncio.shield(self._ended)

    def last_lines(self, n: int = 20) -> list[str]:
        """See ``Child.last_lines``."""
        return self._lines[-n:]

    def __repr__(self) -> str:
        return f"<SimChild {self.name} pid={self.pid} {self._node.state}>"


def _seconds(compute: Compute, name: str, rng: Rng) -> float | Callable[[float | None], float]:
    """How long the jobs of a node take."""
    if isinstance(compute, Exponential):
        return compute.drawn(rng.derive("compute"))
    return partial(compute, name) if callable(compute) else compute
