"""Actor graphs: supervisors, actors, links and placement, declared first and started later."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors import arguments as arguments_of
from actors.addresses import TcpAddresses
from actors.blocking import ActorClass, actor_class
from actors.children import Children
from actors.code import reference
from actors.deploy import Deployment, Inline, Process, Processes, Simulated
from actors.errors import GaveUp, GraphError, NodeStartFailed, UsageError
from actors.faultylinks import FaultyLinks
from actors.processes import Processes as ProcessManager
from actors.ref import ActorRef
from actors.signals import ActorSpec, Failure
from actors.supervision import RestartType, Strategy, one_for_one
from actors.supervisor import Child, Progressed, Supervisor
from actors.system import UNREACHABLE_AFTER, ActorSystem
from actors.world import World

if TYPE_CHECKING:
    from actors.sim import Simulation


@dataclass(frozen=True, eq=False)
class Handle:
    """An actor that was declared; given to another as constructor argument it links the two."""

    name: str
    cls: ActorClass

    def __repr__(self) -> str:
        return f"<Handle {self.name}: {self.cls.__name__}>"


@dataclass(eq=False)
class _ActorNode:
    handle: Handle
    arguments: dict[str, Any]
    place: Process | None
    restart: RestartType
    mailbox: int
    stop_timeout: float
    above: str
    ref: ActorRef | None = None
    node: str = ""


@dataclass(eq=False)
class _SupervisorNode:
    name: str
    strategy: Strategy
    place: Process | None
    above: str
    children: list[_SupervisorNode | _ActorNode] = field(default_factory=list)
    ref: ActorRef | None = None


class ActorGraph:
    """Declares who exists, who supervises whom, who knows whom, and where each lives.

    ::

        g = ActorGraph("shop")
        with g.supervisor("root", one_for_one(5, per=60)):
            store = g.actor("store", Store, capacity=100)
            with g.supervisor("pool", one_for_one(), place=Process()):
                g.actors("packer{}", 4, Packer, store=store)
        async with g.start(on=Processes(2)) as live:
            ...

    Everything is checked before anything starts.

    Args:
        name: of the graph; the launcher's node is named after it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._roots: list[_SupervisorNode] = []
        self._stack: list[_SupervisorNode] = []
        self._names: dict[str, str] = {}
        self._actors: dict[str, _ActorNode] = {}

    # -- declaring -----------------------------------------------------------------------------

    @contextmanager
    def supervisor(
        self, name: str, strategy: Strategy | None = None, *, place: Process | None = None
    ) -> Iterator[None]:
        """Declare a supervisor; what is declared inside the block are its children.

        Supervisors live in the launcher's node, whatever the placement of their children.

        Args:
            name: unique in the graph.
            strategy: ``one_for_one()`` where not given.
            place: where its actors live, unless they say otherwise.
        """
        self._take(name, "supervisor")
        above = self._stack[-1] if self._stack else None
        node = _SupervisorNode(
            name, strategy or one_for_one(), place or (above.place if above else None), self._path()
        )
        if above is None:
            self._roots.append(node)
        else:
            above.children.append(node)
        self._stack.append(node)
        try:
            yield
        finally:
            self._stack.pop()

    def actor(
        self,
        name: str,
        cls: ActorClass,
        /,
        *,
        place: Process | None = None,
        restart: RestartType = "permanent",
        mailbox: int = 10_000,
        stop_timeout: float = 5.0,
        **arguments: Any,
    ) -> Handle:
        """Declare an actor under the supervisor of the enclosing block.

        Args:
            name: unique in the graph.
            cls: its class.
            place: where it lives; the supervisor's placement where not given.
            restart: permanent, transient or temporary.
            mailbox: bound of its mailbox, messages.
            stop_timeout: seconds that a running handler is given at stop.
            **arguments: of its constructor; a ``Handle`` arrives as ``ActorRef``, and so do
                those in a list or dict.
        """
        if not self._stack:
            msg = f"actor {name!r} has no supervisor; declare it inside `with g.supervisor(...)`"
            raise GraphError(msg)
        self._take(name, "actor")
        handle = Handle(name, cls)
        node = _ActorNode(
            handle,
            arguments,
            place or self._stack[-1].place,
            restart,
            mailbox,
            stop_timeout,
            self._path(),
        )
        self._stack[-1].children.append(node)
        self._actors[name] = node
        return handle

    def actors(self, pattern: str, count: int, cls: ActorClass, /, **options: Any) -> list[Handle]:
        """Declare ``count`` actors named by the pattern, as in ``"packer{}"``."""
        if count < 1 or "{}" not in pattern:
            msg = (
                f"actors({pattern!r}, {count}) needs a pattern with {{}} and a count of at least 1"
            )
            raise GraphError(msg)
        return [self.actor(pattern.format(i), cls, **options) for i in range(count)]

    def _path(self) -> str:
        return "".join(f"/{supervisor.name}" for supervisor in self._stack)

    def _take(self, name: str, kind: str) -> None:
        if name in self._names:
            msg = (
                f"graph {self.name!r} has a {self._names[name]} named {name!r} already; "
                "choose another name"
            )
            raise GraphError(msg)
        self._names[name] = kind

    # -- checking ------------------------------------------------------------------------------

    def validate(self, on: Deployment) -> None:
        """Check everything that can be checked without starting.

        Raises:
            GraphError: a link to an actor of another graph, constructor arguments that do not
                fit, an environment for a process that does not exist, an empty graph.
            HandlerError: handlers that do not fit their messages.
            CodeTravelError: a class that cannot cross to another process.
            UsageError: a simulation on a loop whose time is real.
        """
        if not self._actors:
            msg = f"graph {self.name!r} has no actors; declare at least one"
            raise GraphError(msg)
        self._place(on)
        for node in self._actors.values():
            handle = node.handle
            declared: Any = handle.cls
            try:
                actor_class(declared)
            except UsageError as error:
                msg = f"{handle.name!r} is declared with {declared!r}, which is not an actor class"
                raise GraphError(msg) from error
            for linked in _handles(node.arguments):
                known = self._actors.get(linked.name)
                if known is None or known.handle is not linked:
                    msg = (
                        f"{handle.name!r} is linked to {linked.name!r}, which graph "
                        f"{self.name!r} does not have"
                    )
                    raise GraphError(msg)
            try:
                inspect.signature(handle.cls).bind(**node.arguments)
            except TypeError as error:
                msg = f"{handle.name!r} cannot be made: {handle.cls.__qualname__}: {error}"
                raise GraphError(msg) from None
            if node.node != self.name:
                reference(handle.cls)
        if isinstance(on, Simulated):
            on.running_loop()
        faults = None if isinstance(on, Inline) else on.faults
        if faults is not None:
            known_places = {n.node for n in self._actors.values()} - {self.name}
            named = [kill.node for kill in faults.kills] + [point.node for point in faults.points]
            for name in named:
                if name is not None and name not in known_places:
                    msg = (
                        f"the fault plan names process {name!r}, which does not exist; there "
                        f"are {', '.join(sorted(known_places))}"
                    )
                    raise GraphError(msg)
        if isinstance(on, Processes):
            places = {n.node for n in self._actors.values()} - {self.name}
            for name in on.env:
                if name not in self._actors and name not in places:
                    known_names = ", ".join(sorted(places | set(self._actors)))
                    msg = (
                        f"env= names {name!r}, which is neither a process nor an actor; there "
                        f"are {known_names}"
                    )
                    raise GraphError(msg)

    def _place(self, on: Deployment) -> None:
        index = 0
        for node in self._actors.values():
            if node.place is None or isinstance(on, Inline):
                node.node = self.name
            elif node.place.name is not None:
                node.node = node.place.name
            else:
                node.node = f"p{index % on.n}"
                index += 1

    # -- starting ------------------------------------------------------------------------------

    @asynccontextmanager
    async def start(
        self,
        on: Deployment | None = None,
        *,
        world: World | None = None,
        cluster: str | None = None,
        storage: Path | None = None,
        durability: str = "process",
        pass_fds: tuple[int, ...] = (),
        generation: int = 0,
        on_line: Callable[[str, str], None] | None = None,
        cwd: Path | None = None,
        debug: bool = False,
        stuck_after: float | None = None,
        unreachable_after: float | None = UNREACHABLE_AFTER,
        before: Callable[[ActorSystem], object] | None = None,
    ) -> AsyncIterator[Live]:
        """Start the graph; leaving the block stops it in reverse order and ends its processes.

        Args:
            on: the deployment, ``Inline()`` where not given.
            world: what the launcher's node has of the outside; a simulation of its own where
                ``Simulated`` is given without one.
            cluster: name under which the nodes know each other; drawn where not given.
            storage: root of the storage of the processes.
            durability: "process" or "machine".
            pass_fds: descriptors that every process keeps open.
            generation: of this start, see ``actors.processes``.
            on_line: called with (node, line) of the processes' standard output.
            cwd: working directory of the processes.
            debug: have the processes log at debug level.
            stuck_after: seconds after which a process that lives and answers nothing is killed.
            unreachable_after: seconds without a connection to a process after which it is killed;
                None for never.
            before: called with the launcher's system before any actor is made.
        """
        on = on or Inline()
        self.validate(on)
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
            world = simulation.world(self.name)
        world = world or World()
        if isinstance(on, Processes) and on.over == "tcp":
            world = replace(world, addresses=TcpAddresses())
        if isinstance(on, Processes) and on.faults is not None and on.faults.disturbs_messages:
            links = FaultyLinks(on.faults, self.name, 0, world.clock)
            world = replace(world, faults=links)
        system = ActorSystem(
            self.name,
            world=world,
            cluster=cluster or f"{self.name}-{world.rng.bits(48):012x}",
            generation=generation,
            unreachable_after=unreachable_after,
        )
        manager: ProcessManager | None = None
        within = ExitStack()
        try:
            if simulation is not None:
                within.enter_context(simulation.running())
            await system.start()
            if before is not None:
                before(system)
            places = {n.node for n in self._actors.values()} - {self.name}
            if places:
                assert not isinstance(on, Inline)
                manager = ProcessManager(
                    system, storage=storage, durability=durability, pass_fds=pass_fds,
                    generation=generation, on_line=on_line, cwd=cwd, debug=debug,
                    faults=on.faults, stuck_after=stuck_after, spare=on.spare,
                    preload=on.preload if isinstance(on, Processes) else (),
                )  # fmt: skip
                await manager.open()
                for place in sorted(places):
                    manager.declare(place, self._environment(on, place))
            for node in self._actors.values():
                node.ref = system.new_ref(node.handle.name, node.node, node.above)
            if manager is not None:
                async with asyncio.TaskGroup() as group:
                    for place in sorted(places):
                        group.create_task(_up(manager, place))
            live = Live(self, system, manager, {n: a.ref for n, a in self._actors.items() if a.ref})
            for root in self._roots:
                ref = await system.spawn(
                    root.name,
                    Supervisor,
                    strategy=root.strategy,
                    children=partial(self._children, system, root),
                )
                root.ref = ref
            try:
                yield live
            finally:
                await system.stop_all()
        except BaseExceptionGroup as group_error:
            raise group_error.exceptions[0] from None
        finally:
            if manager is not None:
                await manager.close()
            await system.close()
            within.close()

    def _environment(self, on: Processes | Simulated, place: str) -> dict[str, str]:
        env: dict[str, str] = {}
        if isinstance(on, Simulated):
            return env
        for name, node in self._actors.items():
            if node.node == place:
                env.update(on.env.get(name, {}))
        env.update(on.env.get(place, {}))
        return env

    def _children(self, system: ActorSystem, supervisor: _SupervisorNode) -> Sequence[Child]:
        made = []
        for node in supervisor.children:
            if isinstance(node, _SupervisorNode):
                node.ref = node.ref or system.new_ref(node.name, above=node.above)
                arguments = {
                    "strategy": node.strategy,
                    "children": partial(self._children, system, node),
                }
                made.append(
                    Child(
                        node.ref,
                        _maker(system, node.ref, Supervisor, arguments),
                        kind=Supervisor.__name__,
                    )
                )
            else:
                made.append(self._child(system, node))
        return made

    def _child(self, system: ActorSystem, node: _ActorNode) -> Child:
        assert node.ref is not None
        arguments = {k: self._linked(v) for k, v in node.arguments.items()}
        cls = node.handle.cls
        if node.node == self.name:
            make = _maker(
                system,
                node.ref,
                cls,
                arguments,
                mailbox=node.mailbox,
                stop_timeout=node.stop_timeout,
            )
            return Child(
                node.ref,
                make,
                restart=node.restart,
                stop_timeout=node.stop_timeout,
                kind=cls.__name__,
            )
        code = reference(cls)
        spec = ActorSpec(
            name=node.handle.name,
            code=code.text,
            sha256=code.sha256,
            args=arguments_of.encode(system.codec, cls, arguments),
            mailbox=node.mailbox,
            stop_timeout=node.stop_timeout,
        )
        return Child(
            node.ref,
            spec=spec,
            restart=node.restart,
            stop_timeout=node.stop_timeout,
            kind=cls.__name__,
        )

    def supervisors(self) -> list[ActorRef]:
        """References of the supervisors that have been started."""
        found: list[ActorRef] = []
        waiting = list(self._roots)
        while waiting:
            node = waiting.pop()
            if node.ref is not None:
                found.append(node.ref)
            waiting.extend(c for c in node.children if isinstance(c, _SupervisorNode))
        return found

    def _linked(self, value: Any) -> Any:
        if isinstance(value, Handle):
            return self._actors[value.name].ref
        if isinstance(value, list | tuple):
            return type(value)(self._linked(v) for v in value)
        if isinstance(value, dict):
            return {k: self._linked(v) for k, v in value.items()}
        return value

    def __repr__(self) -> str:
        supervisors = len(self._names) - len(self._actors)
        return f"<ActorGraph {self.name} {len(self._actors)} actors, {supervisors} supervisors>"


async def _up(manager: ProcessManager, place: str) -> None:
    """Start a process; one that was killed meanwhile is left to the supervisors of its actors."""
    try:
        await manager.ensure(place)
    except NodeStartFailed as error:
        if not error.killed:
            raise


def _maker(
    system: ActorSystem, ref: ActorRef, cls: ActorClass, arguments: dict[str, Any], **options: Any
) -> Callable[[ActorRef], None]:
    def make(parent: ActorRef) -> None:
        system.make(ref.name, cls, arguments, parent=parent, ref=ref, **options)

    return make


def _handles(value: Any) -> Iterator[Handle]:
    if isinstance(value, Handle):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _handles(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _handles(inner)


class Live:
    """A graph that runs.

    Attributes:
        system: the launcher's system; its event stream tells of failures and restarts.
        processes: the child processes, or None where everything runs inline.
    """

    def __init__(
        self,
        graph: ActorGraph,
        system: ActorSystem,
        processes: ProcessManager | None,
        refs: dict[str, ActorRef],
    ) -> None:
        self._graph = graph
        self.system = system
        self.processes = processes
        self._refs = refs

    def __getitem__(self, name: str) -> ActorRef:
        try:
            return self._refs[name]
        except KeyError:
            msg = (
                f"graph {self._graph.name!r} has no actor {name!r}; it has {', '.join(self._refs)}"
            )
            raise GraphError(msg) from None

    def children(self, supervisor: str) -> Children:
        """The children of a supervisor by its name: to start more, terminate and list them.

        Raises:
            GraphError: there is no supervisor of that name.
        """
        known = {ref.name: ref for ref in self._graph.supervisors()}
        if supervisor not in known:
            msg = (
                f"graph {self._graph.name!r} has no supervisor {supervisor!r}; it has "
                f"{', '.join(sorted(known))}"
            )
            raise GraphError(msg)
        return Children(known[supervisor])

    def progressed(self) -> None:
        """Everything gets on: no supervisor counts earlier failures any more."""
        for ref in self._graph.supervisors():
            ref.tell(Progressed(0))

    async def failed(self) -> Failure:
        """Wait until a root supervisor gives up; why."""
        return await asyncio.shield(self.system.failure)

    async def until(self, done: asyncio.Future[Any]) -> Any:
        """Wait for ``done``, or for the graph to fail.

        Raises:
            GaveUp: a root supervisor gave up first.
        """
        failed = self.system.failure
        await asyncio.wait({done, failed}, return_when=asyncio.FIRST_COMPLETED)
        if done.done():
            return done.result()
        failure = failed.result()
        raise GaveUp(failure.message, child="", restarts=0, remote_traceback=failure.traceback)

    def __repr__(self) -> str:
        return f"<Live {self._graph.name} {len(self._refs)} actors {self.processes!r}>"
