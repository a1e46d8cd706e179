"""A launcher's processes, each with a node: started, seen to die, killed before a successor."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import msgspec

from actors.crashpoints import announced
from actors.errors import NodeStartFailed, UsageError
from actors.events import (
    CrashPointMissed,
    FaultMissed,
    NodeDied,
    NodeStarted,
)
from actors.faults.plan import FaultPlan
from actors.faults.tally import Tally
from actors.faults.timeline import Timeline
from actors.given import check_known
from actors.heartbeats import Heartbeats
from actors.liveness import Liveness
from actors.managed import Managed
from actors.momentrelay import MomentRelay
from actors.output import Output
from actors.reserve import Reserve
from actors.serving import NodeConfig
from actors.signals import (
    MAX_TRACEBACK,
    NODE_UID,
    AnySignal,
    Cause,
    Dial,
    MomentCame,
    NodeDown,
    NodeReady,
    NodeUp,
)
from actors.spare import SpareLost
from actors.spawner import Child, ProcessSpec
from actors.statistics import ProcessStatistics
from actors.system import ActorSystem
from transports import NodeId

_log = logging.getLogger("actors.processes")

#: Seconds for a process to come up. Importing torch on a loaded machine has taken 20.
START_LIMIT = 120.0
#: Lines of a dead process's output that go into its failure: those of a crash and what came before.
_LINES = 40


class Processes:
    """The child processes of one launcher.

    Args:
        system: the launcher's own.
        storage: root directory of the children's storage, or None.
        durability: "process" or "machine", see ``FileStorage``.
        pass_fds: descriptors that every child keeps open (a lock that must outlive the launcher).
        generation: of the first start of each node; a resumed run continues the count.
        on_line: called with (node, line) of their output; shown on standard error, see
            ``actors.output``, where not given.
        cwd: working directory of the children.
        uvloop: whether they use it where it is installed.
        debug: have them log at debug level.
        faults: what shall go wrong in them.
        stuck_after: seconds of silence after which one that lives is killed; None for never.
        spare: processes kept in reserve, see ``actors.reserve``; the first is started once the
            first node is up. Their environment is the one that most declared processes have, and
            only those can be replaced by them.
        preload: modules that a process in reserve imports ahead.
    """

    def __init__(
        self,
        system: ActorSystem,
        *,
        storage: Path | None = None,
        durability: str = "process",
        pass_fds: tuple[int, ...] = (),
        generation: int = 0,
        on_line: Callable[[str, str], None] | None = None,
        cwd: Path | None = None,
        uvloop: bool = True,
        debug: bool = False,
        faults: FaultPlan | None = None,
        stuck_after: float | None = None,
        spare: int = 0,
        preload: Sequence[str] = (),
    ) -> None:
        self._spare = spare
        self._preload = tuple(preload)
        self._reserve: Reserve | None = None
        self._faults = faults
        self._missed = list(faults.points) if faults is not None else []
        self._tally = Tally()
        #: When it started, from which the times of a fault plan count, by the launcher's clock.
        self.began = system.world.clock.now()
        self._timeline: Timeline | None = None
        self._system = system
        self._storage = storage
        self._durability = durability
        self._pass_fds = pass_fds
        self._generation = generation
        self._output = Output(system.world.clock)
        self._on_line = on_line or self._output.show
        self._cwd = cwd
        self._uvloop = uvloop
        self._debug = debug
        self._processes: dict[str, Managed] = {}
        self._heartbeats = Heartbeats(system, self._processes, self._tally, stuck_after)
        self._moments = MomentRelay(system, self._processes, faults)
        self._address = ""
        self._closing = False
        self._watchers: set[asyncio.Task[None]] = set()
        system.on_node_signal = self._signalled
        system.ensure_node = self.ensure
        system.peers.end_node = self._end
        system.processes = self.statistics

    async def open(self) -> None:
        """Listen for the children."""
        system = self._system
        address = system.world.addresses.launcher(system.name)
        self._address = await system.router.endpoint.listen(address)
        self._heartbeats.begin()

    def go_wrong(self) -> None:
        """From now on processes suffer what the plan says; all of them are declared."""
        world = self._system.world
        self.began = world.clock.now()
        if self._faults:
            self._timeline = Timeline(
                self._faults, tuple(self._processes), self, world.clock, world.fault_counts,
                world.moments,
            )  # fmt: skip

    def declare(
        self,
        name: str,
        env: Mapping[str, str] | None = None,
        *,
        meets: AbstractSet[str] | None = None,
    ) -> None:
        """Name a process that may be started.

        Args:
            name: of its node.
            env: what is laid over its environment.
            meets: the nodes that it is told of, and that are told of it; None for all.
        """
        if name in self._processes or name == self._system.name:
            msg = f"a node named {name!r} is declared already; choose another name"
            raise UsageError(msg)
        self._processes[name] = Managed(name, dict(env or {}), meets=meets)

    async def ensure(self, name: str) -> None:
        """Have the node's process running: returns once its runtime is up.

        Raises:
            NodeStartFailed: it did not come up; its last lines are in the sentence.
            UsageError: it was not declared.
        """
        process = self._known(name)
        if process.starting is None:
            if process.child is not None and process.child.alive:
                return
            process.starting = asyncio.get_running_loop().create_task(
                self._start(process), name=f"start {name}"
            )
            process.starting.add_done_callback(process.started)
        await asyncio.shield(process.starting)

    async def _start(self, process: Managed) -> None:
        if self._closing:
            msg = f"{process.name} is not started: the system is closing"
            raise NodeStartFailed(msg)
        if process.child is not None:
            # Fencing: whatever is left of the predecessor cannot act any more.
            process.child.kill()
            await process.child.wait()
            if self._closing:
                raise NodeStartFailed(f"{process.name} is not started: the system is closing")
        system = self._system
        await self._back(process)
        node = NodeId(process.name, system.world.rng.bits(48))
        generation = self._generation + process.starts
        config = NodeConfig(
            name=process.name,
            incarnation=node.incarnation,
            generation=generation,
            cluster=system.cluster,
            launcher=system.node,
            launcher_address=self._address,
            listen=system.world.addresses.node(node),
            storage=str(self._storage) if self._storage else None,
            durability=self._durability,
            uvloop=self._uvloop,
            debug=self._debug,
            start=process.starts,
            faults=self._faults,
            elapsed=system.world.clock.now() - self.began,
        )
        process.node = node
        process.liveness = None
        process.awaited.clear()
        process.verdict = None
        process.ready = asyncio.get_running_loop().create_future()
        system.router.expect(node)
        spec = self._spec(process.name, process.env, msgspec.msgpack.encode(config))
        child = await self._from_reserve(spec)
        spare = child is not None
        if child is None:
            child = await system.world.spawner.spawn(spec)
        process.child = child
        process.starts += 1
        if process.slow > 1.0:
            system.world.fault_counts["slow"] += child.slow(process.slow)
        watcher = asyncio.get_running_loop().create_task(
            self._watch(process, child, node), name=f"watch {process.name}"
        )
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)
        try:
            async with asyncio.timeout(START_LIMIT):
                await process.ready
        except TimeoutError:
            child.kill()
            lines = " | ".join(child.last_lines(_LINES))
            msg = (
                f"process {process.name} (pid {child.pid}) did not come up within "
                f"{START_LIMIT:g} s; its last lines: {lines or 'none'}"
            )
            raise NodeStartFailed(msg) from None
        system.events.publish(
            NodeStarted(
                node=process.name,
                incarnation=node.incarnation,
                pid=child.pid,
                starts=process.starts,
                spare=spare,
            )
        )
        if self._spare and self._reserve is None and not self._closing:
            self._reserve = Reserve(
                system, self._spec("spare", self._usual_environment()), self._spare, self._preload,
                lambda: any(p.starting for p in self._processes.values()),
            )  # fmt: skip

    async def _back(self, process: Managed) -> None:
        """Wait until a process that a fault plan holds down may start."""
        clock = self._system.world.clock
        while (away := process.not_before - clock.now()) > 0:
            process.held = asyncio.get_running_loop().create_future()
            timer = clock.call_later(away, _release, process.held)
            await process.held
            timer.cancel()
            if self._closing:
                raise NodeStartFailed(f"{process.name} is not started: the system is closing")

    async def _from_reserve(self, spec: ProcessSpec) -> Child | None:
        spare = self._reserve.take(spec) if self._reserve is not None else None
        if spare is None:
            return None
        try:
            return await spare.take(spec)
        except SpareLost as error:
            _log.warning("%s; another process is started", error)
            return None

    def _spec(self, name: str, env: Mapping[str, str], config: bytes = b"") -> ProcessSpec:
        return ProcessSpec(
            name=name,
            module="actors.node",
            config=config,
            args=(name,),
            env=env,
            pass_fds=self._pass_fds,
            cwd=str(self._cwd) if self._cwd else None,
            on_line=self._line(name),
        )

    def _usual_environment(self) -> dict[str, str]:
        counts = Counter(tuple(sorted(p.env.items())) for p in self._processes.values())
        ((usual, _),) = counts.most_common(1)
        return dict(usual)

    def _line(self, name: str) -> Callable[[str], None]:
        def on_line(line: str) -> None:
            point = announced(line)
            if point is not None and self._faults and point in self._faults.points:
                if not self._system.world.counts_shared:  # there it is counted already
                    self._system.world.fault_counts["crash"] += 1
                if point in self._missed:
                    self._missed.remove(point)
            self._on_line(name, line)

        return on_line

    async def _watch(self, process: Managed, child: Child, node: NodeId) -> None:
        """One process until its end."""
        ended = await child.wait()
        lines = child.last_lines(_LINES)
        reason, cause = ended.describe(), ended.cause
        if process.node == node and process.verdict is not None:
            reason, cause = process.verdict
        if process.ready is not None and process.node == node and not process.ready.done():
            msg = (
                f"process {process.name} ended before it was up: {reason}; "
                f"its last lines: {' | '.join(lines) or 'none'}"
            )
            process.ready.set_exception(NodeStartFailed(msg, killed=ended.signal is not None))
            process.starting = None  # whoever wants it from now on wants another
        if not self._closing:
            self._system.events.publish(
                NodeDied(
                    node=process.name,
                    incarnation=node.incarnation,
                    pid=child.pid,
                    reason=reason,
                    lines=lines,
                )
            )
        self._tell_others(NodeDown(node.name, node.incarnation, reason, cause), process)
        self._system.peers.node_died(
            node,
            reason,
            cause,
            outside=ended.signal is not None,
            emptied=self._closing,
            lines="\n".join(lines)[-MAX_TRACEBACK:],
        )

    # -- what nodes tell ---------------------------------------------------------------------------

    def _signalled(self, peer: NodeId, signal: AnySignal) -> None:
        process = self._processes.get(peer.name)
        if process is None or process.node != peer:
            return
        match signal:
            case NodeReady(address):
                self._system.router.node_up(peer, address)
                up = NodeUp(peer.name, peer.incarnation, address)
                for name in self._others(process):
                    node, other = self._system.router.directory[name]
                    self._system.router.signal(
                        peer.name, NODE_UID, NodeUp(node.name, node.incarnation, other)
                    )
                self._tell_others(up, process)
                self._moments.tell(peer)
                process.liveness = Liveness(self._system.world.clock.now())
                if process.ready is not None and not process.ready.done():
                    process.ready.set_result(None)
            case Dial(who, _):
                self._system.router.signal(who, NODE_UID, signal)
            case MomentCame(moment, seconds):
                self._moments.came(peer, moment, seconds)
            case _:
                _log.warning("%s sent %r, which is not for a launcher", peer, signal)

    def _end(self, peer: NodeId, reason: str, cause: Cause) -> None:
        process = self._processes.get(peer.name)
        if process is not None and process.node == peer and process.child is not None:
            # Its end is seen as any other's; killed, so that it cannot act in the meantime.
            process.verdict = (reason, cause)
            process.child.kill()

    def _tell_others(self, signal: AnySignal, of: Managed) -> None:
        for name in self._others(of):
            self._system.router.signal(name, NODE_UID, signal)

    def _others(self, process: Managed) -> list[str]:
        """The nodes that are up and are to know of a process."""
        up = self._system.router.directory
        if process.meets is None:
            return [name for name in up if name != process.name]
        return [name for name in sorted(process.meets) if name in up and name != process.name]

    # -- looking and ending ------------------------------------------------------------------------

    def pid(self, name: str) -> int | None:
        """Process id of a node's running process; None where it does not run.

        Raises:
            UsageError: it was not declared.
        """
        child = self._known(name).child
        return child.pid if child is not None and child.alive else None

    def kill(self, name: str, down: float = 0.0) -> bool:
        """SIGKILL a node's process, as a crash would end it.

        Args:
            name: of the node.
            down: seconds that pass before its successor may start.

        Returns:
            Whether there was one.

        Raises:
            UsageError: it was not declared.
        """
        process = self._known(name)
        if down > 0:
            process.not_before = self._system.world.clock.now() + down
        child = process.child
        if child is None or not child.alive:
            return False
        child.kill()
        return True

    def freeze(self, name: str) -> bool:
        """Stop a node's process as SIGSTOP does; whether there was one."""
        child = self._known(name).child
        return child is not None and child.freeze()

    def thaw(self, name: str) -> bool:
        """Let a frozen process go on; whether there was one."""
        child = self._known(name).child
        return child is not None and child.thaw()

    def slow(self, name: str, factor: float) -> bool:
        """Have a node compute so many times slower, its successors, too; whether it runs."""
        process = self._known(name)
        process.slow = factor
        return process.child is not None and process.child.slow(factor)

    def _known(self, name: str) -> Managed:
        process = self._processes.get(name)
        if process is None:  # not before: each of thousands would be looked for in a sorted list
            check_known("process", name, sorted(self._processes))
            raise KeyError(name)
        return process

    def statistics(self) -> tuple[ProcessStatistics, ...]:
        """One frozen record per declared process."""
        now = self._system.world.clock.now()
        return tuple(self._statistics(process, now) for process in self._processes.values())

    def _statistics(self, process: Managed, now: float) -> ProcessStatistics:
        pid, state, silent = self.pid(process.name), "down", 0.0
        if process.starting is not None:
            state = "starting"
        elif pid is not None:
            state = "up"
            if process.liveness is not None:
                silent = process.liveness.silent(now)
                state = "stuck" if process.liveness.stuck else "up"
        incarnation = None if process.node is None else process.node.incarnation
        return ProcessStatistics(process.name, pid, process.starts, state, incarnation, silent)

    async def fault_counts(self, limit: float) -> dict[str, int]:
        """How often each kind of the plan's faults took effect so far, on all nodes.

        What a process counted in the last second before it was killed is missing.

        Args:
            limit: seconds that a process has to tell; of one that does not, what it told last.
        """
        world = self._system.world
        if self._faults and not world.counts_shared:
            up = {p.name for p in self._processes.values() if p.liveness is not None}
            await self._tally.gather(up, self._system.router.heartbeat, limit)
        return dict(+(world.fault_counts + self._tally.total()))

    async def close(self) -> None:
        """Kill what still runs, wait for its end, and remove the sockets.

        The actors have been stopped before, so nothing is lost by it.
        """
        self._closing = True
        self._heartbeats.stop()
        if self._timeline is not None:
            self._timeline.stop()
        for process in self._processes.values():
            if process.held is not None:
                _release(process.held)
        if self._reserve is not None:
            await self._reserve.close()
        children = [p.child for p in self._processes.values() if p.child is not None]
        for child in children:
            child.kill()
        for child in children:
            await child.wait()
        for task in tuple(self._watchers):
            await task
        await self._system.world.spawner.close()
        self._output.close()
        self._system.world.addresses.close()
        for point in self._missed:
            self._system.events.publish(
                CrashPointMissed(point=point.point, action=point.action, node=point.node)
            )
        world = self._system.world
        faults, seconds = self._faults or FaultPlan(), world.clock.now() - self.began
        for fault, why in faults.missed(seconds, world.moments):
            self._system.events.publish(FaultMissed(fault=str(fault), reason=why))

    def __repr__(self) -> str:
        up = sum(1 for p in self._processes.values() if p.child is not None and p.child.alive)
        spare = f", {self._reserve!r}" if self._reserve is not None else ""
        return f"<Processes {up}/{len(self._processes)} up{spare}>"


def _release(held: asyncio.Future[None]) -> None:
    if not held.done():
        held.set_result(None)
