"""Starting a graph: its system, its processes, its supervisors; and ending all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from actors import arguments as arguments_of
from actors.addresses import TcpAddresses
from actors.blocking import ActorClass
from actors.code import reference, refuse_if_loading
from actors.declared import ActorNode, Handle, SupervisorNode, linked
from actors.deploy import Deployment, Inline, Processes, Simulated
from actors.errors import GraphError, NodeStartFailed, SpawnFailed, UsageError
from actors.faults.links import FaultyLinks
from actors.faults.noise import Corruption
from actors.faults.plan import FaultPlan
from actors.graphcheck import check
from actors.live import Live, gave_up
from actors.mainguard import refuse_unguarded
from actors.processes import Processes as ProcessManager
from actors.quantities import is_count, is_seconds
from actors.ref import ActorRef
from actors.signals import ActorSpec
from actors.storage import Durability
from actors.supervisor import Child, Supervisor
from actors.system import ActorSystem
from actors.world import World

if TYPE_CHECKING:
    from actors.graph import ActorGraph
    from actors.sim import Simulation


@asynccontextmanager
async def launched(
    graph: ActorGraph,
    on: Deployment,
    *,
    world: World | None,
    cluster: str | None,
    storage: Path | None,
    durability: str,
    pass_fds: tuple[int, ...],
    generation: int,
    on_line: Callable[[str, str], None] | None,
    cwd: Path | None,
    debug: bool,
    stuck_after: float | None,
    unreachable_after: float | None,
    before: Callable[[ActorSystem], object] | None,
    observe: str | None,
) -> AsyncIterator[Live]:
    """The graph while it runs; arguments and errors as those of ``ActorGraph.start``."""
    _check_arguments(durability, generation, stuck_after, unreachable_after)
    refuse_if_loading(f"the start of graph {graph.name!r}")
    nodes = check(graph, on, world.limits if world else None)
    if isinstance(on, Processes):
        refuse_unguarded(
            actor.cls for name, actor in graph.declared.items() if nodes[name] != graph.name
        )
    simulation: Simulation | None = None
    if isinstance(on, Simulated) and world is None:
        from actors.sim import Simulation

        # Who brings a simulation of his own can thaw by its network what is frozen.
        frozen = on.faults.freezing
        if frozen is not None and stuck_after is None:
            msg = (
                f"nothing wakes a process that crash point {frozen.point!r} freezes (sigstop); "
                "give start(stuck_after=…) the seconds after which it is killed"
            )
            raise GraphError(msg)
        simulation = Simulation(on)
        world = simulation.world(graph.name)
    world = world or World()
    if isinstance(on, Processes) and on.over == "tcp":
        world = replace(world, addresses=TcpAddresses())
    if isinstance(on, Processes) and on.faults:
        world = _disturbed(world, on.faults, graph.name)
    system = ActorSystem(
        graph.name,
        world=world,
        cluster=cluster or f"{graph.name}-{world.rng.bits(48):012x}",
        generation=generation,
        unreachable_after=unreachable_after,
    )
    manager: ProcessManager | None = None
    within = ExitStack()
    try:
        if simulation is not None:
            within.enter_context(simulation.running())
        await system.start()
        if observe is not None:
            await system.listen_for_observers(observe)
        if before is not None:
            before(system)
        places = sorted(set(nodes.values()) - {graph.name})
        if not isinstance(on, Inline):
            manager = ProcessManager(
                system, storage=storage, durability=durability, pass_fds=pass_fds,
                generation=generation, on_line=on_line, cwd=cwd, debug=debug,
                faults=on.faults, stuck_after=stuck_after, spare=on.spare,
                preload=on.preload if isinstance(on, Processes) else (),
            )  # fmt: skip
            system.shutdown.add_task("stop_processes", "processes", manager.close)
            await manager.open()
            # Those that nobody is placed in yet start when a child is placed there later.
            meets = _neighbours(graph, nodes) if graph.closed else None
            for place in sorted({*places, *(f"p{n}" for n in range(on.n))}):
                manager.declare(
                    place, _environment(on, place, nodes),
                    meets=None if meets is None else meets.get(place, set()),
                )  # fmt: skip
            manager.go_wrong()
        launch = _Launch(graph, system, nodes)
        if manager is not None:
            await _all_up(manager, places)
        live = Live(graph, system, manager, launch.refs, launch.supervisors)
        await launch.start()
        try:
            yield live
        except Exception as error:
            if live.gave_up is not None:  # most likely what it comes from
                error.add_note(f"graph {graph.name!r} had failed before: {live.gave_up}")
            raise
        if live.gave_up is not None:
            raise live.gave_up
    finally:
        await system.close()
        within.close()


def _check_arguments(
    durability: Any, generation: Any, stuck_after: Any, unreachable_after: Any
) -> None:
    if durability not in get_args(Durability):
        choices = " or ".join(map(repr, get_args(Durability)))
        msg = f"start(durability={durability!r}) does not exist; use {choices}"
        raise UsageError(msg)
    if not is_count(generation):
        msg = f"start(generation={generation!r}) counts no starts; give a whole number, at least 0"
        raise UsageError(msg)
    for name, after in (("stuck_after", stuck_after), ("unreachable_after", unreachable_after)):
        if after is not None and not is_seconds(after):
            msg = f"start({name}={after!r}) is no time; give seconds above 0, or None for never"
            raise UsageError(msg)


def _disturbed(world: World, plan: FaultPlan, name: str) -> World:
    """The world of a launcher whose links are faulty; what nothing happens to stays as it is."""
    began = world.clock.now()
    if plan.disturbs_messages or plan.separates:
        links = FaultyLinks(
            plan, name, 0, world.clock, began, world.fault_counts,
            moments=world.moments, silent=True,
        )  # fmt: skip
        world = replace(world, faults=links)
    if plan.damages_frames:
        noise = Corruption(
            plan, name, 0, world.clock, began, world.fault_counts, moments=world.moments
        )
        world = replace(world, noise=noise)
    return world


def _environment(on: Processes | Simulated, place: str, nodes: dict[str, str]) -> dict[str, str]:
    env: dict[str, str] = {}
    if isinstance(on, Simulated):
        return env
    for name, node in nodes.items():
        if node == place:
            env.update(on.env.get(name, {}))
    env.update(on.env.get(place, {}))
    return env


def _neighbours(graph: ActorGraph, nodes: dict[str, str]) -> dict[str, set[str]]:
    """For each node those that hold an actor which is linked with one of its own, either way."""
    meets: dict[str, set[str]] = {}
    for name, actor in graph.declared.items():
        for _, handle in actor.links():
            here, there = nodes[name], nodes[handle.name]
            meets.setdefault(here, set()).add(there)
            meets.setdefault(there, set()).add(here)
    return meets


async def _all_up(manager: ProcessManager, places: Sequence[str]) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for place in places:
                group.create_task(_up(manager, place))
    except BaseExceptionGroup as group_error:
        raise group_error.exceptions[0] from None


async def _up(manager: ProcessManager, place: str) -> None:
    """Start a process; one that was killed meanwhile is left to the supervisors of its actors."""
    try:
        await manager.ensure(place)
    except NodeStartFailed as error:
        if not error.killed:
            raise


class _Launch:
    """One start of a graph: references, and children as their supervisors make them.

    The references of all actors exist before the first of them is made, so that any may be linked
    to any.
    """

    def __init__(self, graph: ActorGraph, system: ActorSystem, nodes: dict[str, str]) -> None:
        self._graph = graph
        self._system = system
        self._nodes = nodes
        #: Of the actors, by name.
        self.refs = {
            name: system.new_ref(name, nodes[name], actor.above)
            for name, actor in graph.declared.items()
        }
        #: Of the supervisors that have been started, by name.
        self.above: dict[str, ActorRef] = {}

    async def start(self) -> None:
        """Start all, and wait until all are up: actors may ask each other before they are.

        Raises:
            GaveUp: some actor did not start, and its supervisors could not help it.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for root in self._graph.roots:
                    group.create_task(self._root(root))
        except* SpawnFailed as errors:
            if not self._system.failure.done():
                raise errors.exceptions[0] from None
            raise gave_up(self._system.failure.result()) from None

    async def _root(self, root: SupervisorNode) -> None:
        self.above[root.name] = await self._system.spawn(
            root.name,
            Supervisor,
            strategy=root.strategy,
            children=partial(self.children, root),
        )

    def supervisors(self) -> Iterable[ActorRef]:
        """References of the supervisors that have been started."""
        return tuple(self.above.values())

    def children(self, supervisor: SupervisorNode) -> Sequence[Child]:
        """What a supervisor is to start, in order."""
        system = self._system
        made = []
        for node in supervisor.children:
            if isinstance(node, SupervisorNode):
                ref = self.above.get(node.name) or system.new_ref(node.name, above=node.above)
                self.above[node.name] = ref
                arguments = {
                    "strategy": node.strategy,
                    "children": partial(self.children, node),
                }
                made.append(
                    Child(ref, _maker(system, ref, Supervisor, arguments), kind=Supervisor.__name__)
                )
            else:
                made.append(self._child(node))
        return made

    def _child(self, node: ActorNode) -> Child:
        system, ref = self._system, self.refs[node.name]
        arguments = {k: linked(v, self._ref_of) for k, v in node.arguments.items()}
        if ref.node == system.name:
            make = _maker(
                system,
                ref,
                node.cls,
                arguments,
                mailbox=node.mailbox,
                overflow=node.overflow,
                stop_timeout=node.stop_timeout,
            )
            return Child(
                ref,
                make,
                restart=node.restart,
                stop_timeout=node.stop_timeout,
                kind=node.cls.__name__,
            )
        code = reference(node.cls)
        spec = ActorSpec(
            name=node.name,
            code=code.text,
            sha256=code.sha256,
            args=arguments_of.encode(system.codec, node.cls, arguments),
            mailbox=node.mailbox,
            overflow=node.overflow,
            stop_timeout=node.stop_timeout,
        )
        return Child(
            ref,
            spec=spec,
            restart=node.restart,
            stop_timeout=node.stop_timeout,
            kind=node.cls.__name__,
        )

    def _ref_of(self, handle: Handle[Any]) -> ActorRef:
        return self.refs[handle.name]


def _maker(
    system: ActorSystem, ref: ActorRef, cls: ActorClass, arguments: dict[str, Any], **options: Any
) -> Callable[[ActorRef], None]:
    def make(parent: ActorRef) -> None:
        system.make(ref.name, cls, arguments, parent=parent, ref=ref, **options)

    return make
