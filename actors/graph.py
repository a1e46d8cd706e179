"""Actor graphs: supervisors, actors, links and placement, declared first and started later."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from actors.declared import ActorNode, Handle, SupervisorNode
from actors.deploy import Deployment, Inline, Process
from actors.drawing import draw
from actors.errors import GraphError, UsageError
from actors.given import check_callable, check_kind, check_text
from actors.graphcheck import check
from actors.launching import launched
from actors.live import Live
from actors.names import check_name
from actors.options import check_options
from actors.outline import outline
from actors.peers import UNREACHABLE_AFTER
from actors.quantities import is_count
from actors.signals import Overflow
from actors.suggest import shown
from actors.supervision import RestartType, Strategy, one_for_one
from actors.system import ActorSystem
from actors.world import World

if TYPE_CHECKING:
    from actors.declared import A


class ActorGraph:
    """Declares who exists, who supervises whom, who knows whom, and where each lives.

    ::

        g = ActorGraph("shop")
        with g.supervisor("root", one_for_one(5, per=60)):
            store = g.actor("store", Store, capacity=100)
            with g.supervisor("pool", rest_for_one(), place=Process()):
                g.actors("packer{}", 4, Packer, store=store)
        g.draw("shop.svg")
        async with g.start(on=Processes(2)) as live:
            ...

    Everything is checked before anything starts. A graph can be started more than once.

    Args:
        name: of the graph; the launcher's node is named after it.
        closed: whether actors send only along the links that are declared here, and back. Then a
            process knows those alone that hold an actor which is linked with one of its own: of
            thousands of processes around one, each knows the one. What is sent past the links to
            another process becomes a dead letter, and so does a look for its services.

    Raises:
        GraphError: the name is not a name.
    """

    def __init__(self, name: str, *, closed: bool = False) -> None:
        _named("graph", name)
        self.name = name
        self.closed = closed
        self._roots: list[SupervisorNode] = []
        self._stack: list[SupervisorNode] = []
        self._names: dict[str, str] = {}
        self._actors: dict[str, ActorNode] = {}
        self._links: list[Handle[Any]] = []

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

        Raises:
            GraphError: the name is taken or not a name, the strategy or the place is none.
        """
        self._take(name, "supervisor")
        _check_strategy(name, strategy)
        _check_place("supervisor", name, place)
        above = self._stack[-1] if self._stack else None
        node = SupervisorNode(
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
        cls: type[A],
        /,
        *,
        place: Process | None = None,
        restart: RestartType = "permanent",
        mailbox: int = 10_000,
        overflow: Overflow = "reject",
        stop_timeout: float = 5.0,
        **arguments: Any,
    ) -> Handle[A]:
        """Declare an actor under the supervisor of the enclosing block.

        Args:
            name: unique in the graph.
            cls: its class.
            place: where it lives; the supervisor's placement where not given.
            restart: permanent, transient or temporary.
            mailbox: bound of its mailbox, messages, at least 1.
            overflow: what a full mailbox does with one more: "reject", "drop_oldest", "drop_new".
            stop_timeout: seconds that a running handler is given at stop, above 0.
            **arguments: of its constructor; a ``Handle`` arrives as ``ActorRef``, and so do
                those in a list, tuple, set or dict.

        Raises:
            GraphError: the name is taken or not a name, there is no supervisor, or an option is
                none of those that exist.
        """
        if not self._stack:
            msg = f"actor {name!r} has no supervisor; declare it inside `with g.supervisor(...)`"
            raise GraphError(msg)
        self._take(name, "actor")
        _check_place("actor", name, place)
        check_options(
            name, restart=restart, mailbox=mailbox, overflow=overflow, stop_timeout=stop_timeout,
            error=GraphError,
        )  # fmt: skip
        handle = Handle(name, cls, self)
        node = ActorNode(
            handle,
            cls,
            arguments,
            place or self._stack[-1].place,
            restart,
            mailbox,
            overflow,
            stop_timeout,
            self._path(),
        )
        self._stack[-1].children.append(node)
        self._actors[name] = node
        return handle

    def actors(self, pattern: str, count: int, cls: type[A], /, **options: Any) -> list[Handle[A]]:
        """Declare ``count`` actors named by the pattern, as in ``"packer{}"``.

        Args:
            pattern: ``{}`` in it stands for 0, 1, …
            count: at least 1.
            cls: the class of all of them.
            **options: as those of :meth:`actor`, the same for all of them.

        Raises:
            GraphError: as :meth:`actor`, or a pattern without ``{}`` or a count below 1.
        """
        if not is_count(count, 1) or not isinstance(pattern, str) or "{}" not in pattern:
            msg = (
                f"actors({pattern!r}, {count!r}) needs a pattern with {{}} and a count of at "
                "least 1"
            )
            raise GraphError(msg)
        return [self.actor(pattern.replace("{}", str(i)), cls, **options) for i in range(count)]

    def link(self, name: str, cls: type[A] | None = None, *, mutual: bool = False) -> Handle[A]:
        """A handle of an actor that is declared later, or elsewhere in the program.

        References exist before any actor starts. Children start in the order of their
        declaration, so what an actor sends at its start to one that is declared after it can
        become a dead letter.

        Args:
            name: of the actor; it must exist when the graph is checked.
            cls: that it must be of, or derived from; any where not given.
            mutual: whether the link may close a circle, as those of peers do that know each other;
                without it a circle is taken for a mistake, and refused.

        Raises:
            GraphError: what is no name, or no class.
        """
        _check_link(name, cls)
        handle: Handle[A] = Handle(name, cls, self, mutual)
        self._links.append(handle)
        return handle

    def _path(self) -> str:
        return "".join(f"/{supervisor.name}" for supervisor in self._stack)

    def _take(self, name: str, kind: str) -> None:
        _named(kind, name)
        if name in self._names:
            msg = (
                f"graph {self.name!r} has a {self._names[name]} named {name!r} already; "
                "choose another name"
            )
            raise GraphError(msg)
        self._names[name] = kind

    # -- looking -------------------------------------------------------------------------------

    @property
    def roots(self) -> Sequence[SupervisorNode]:
        """The supervisors that have none above them, as declared."""
        return tuple(self._roots)

    @property
    def declared(self) -> Mapping[str, ActorNode]:
        """The actors by name, in the order in which they were declared."""
        return MappingProxyType(self._actors)

    @property
    def links(self) -> Sequence[Handle[Any]]:
        """What :meth:`link` has given out."""
        return tuple(self._links)

    def validate(self, on: Deployment) -> None:
        """Check everything that can be checked without starting.

        Raises:
            GraphError: an empty graph or supervisor, a link to an actor that does not exist, is of
                another graph or of another class than the constructor wants, a circle of links,
                arguments that the constructor does not take, a placement, an environment or a
                fault for a process that does not exist.
            HandlerError: handlers that do not fit their messages.
            CodeTravelError: a class or an argument that cannot cross to another process.
            UsageError: a simulation on a loop whose time is real, or what is no deployment.
        """
        check(self, on)

    def text(self, on: Deployment | None = None) -> str:
        """The tree of supervisors and actors with links and placement, a line each.

        Many alike in a row take one line.

        Args:
            on: shows the processes of this deployment; what was declared where not given.

        Raises:
            GraphError: a link or a placement that does not exist.
            UsageError: what is no deployment.
        """
        return outline(self, on).text()

    def draw(self, path: str | Path, on: Deployment | None = None) -> None:
        """Write the drawing of the graph, an SVG file that needs nothing else.

        Args:
            path: of the file; its name ends in ``.svg``. What was there is replaced.
            on: as in :meth:`text`.

        Raises:
            GraphError: another suffix, a directory that does not exist or cannot be written, or
                as :meth:`text`.
            UsageError: what is no path.
        """
        check_kind("draw", "the path of a file", path, str | Path)
        draw(outline(self, on), Path(path))

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        supervisors = len(self._names) - len(self._actors)
        return f"<ActorGraph {self.name} {len(self._actors)} actors, {supervisors} supervisors>"

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
        observe: str | None = None,
    ) -> AsyncIterator[Live]:
        """Start the graph; leaving the block stops it in reverse order and ends its processes.

        The block is entered when every actor has started. Where a root supervisor gives up
        meanwhile, that is logged as an error, and leaving the block raises it, unless
        ``live.until`` has raised it or ``live.failed`` returned it. What else the block raises goes
        on as it is, with a note.

        Args:
            on: the deployment, ``Inline()`` where not given.
            world: what the launcher's node has of the outside; a simulation of its own where
                ``Simulated`` is given without one.
            cluster: name under which the nodes know each other; drawn where not given.
            storage: root of the storage of the processes.
            durability: "process" or "machine".
            pass_fds: descriptors that every process keeps open.
            generation: of this start, at least 0, see ``actors.processes``.
            on_line: called with (node, line) of what the processes print; without it that is shown
                on standard error as ``node: line``, at most 1,000 lines a second of each.
            cwd: working directory of the processes.
            debug: have the processes log at debug level.
            stuck_after: seconds after which a process that lives and answers nothing is killed;
                None for never.
            unreachable_after: seconds without a connection to a process after which it is killed;
                None for never.
            before: called with the launcher's system before any actor is made.
            observe: address at which the live state can be looked at from outside, with
                ``actorfl top ADDRESS`` or ``observe``; see ``ActorSystem.listen_for_observers``.

        Raises:
            UsageError: as :meth:`validate`, or an argument that cannot be.
            NodeStartFailed: a process did not come up.
            CodeTravelError: the script starts processes outside its main guard.
            GaveUp: some actor did not start, and its supervisors could not help it; or a root
                supervisor gave up later and nobody was told.
        """
        for name, call in (("before", before), ("on_line", on_line)):
            if call is not None:
                check_callable("start", f"{name}=", call)
        for name, text in (("cluster", cluster), ("observe", observe)):
            if text is not None:
                check_text("start", f"{name}=", text)
        if world is not None:
            check_kind("start", "a World as world=", world, World)
        async with launched(
            self, Inline() if on is None else on, world=world, cluster=cluster, storage=storage,
            durability=durability, pass_fds=pass_fds, generation=generation, on_line=on_line,
            cwd=cwd, debug=debug, stuck_after=stuck_after, unreachable_after=unreachable_after,
            before=before, observe=observe,
        ) as live:  # fmt: skip
            yield live


def _named(kind: str, name: Any) -> None:
    try:
        check_name(name)
    except UsageError as error:
        msg = f"the {kind}'s name {error}"
        raise GraphError(msg) from None


def _check_link(name: Any, cls: Any) -> None:
    if isinstance(name, Handle):
        msg = f"link() takes a name; {name!r} is a handle already, give it as the argument"
        raise GraphError(msg)
    _named("link", name)
    if cls is not None and not isinstance(cls, type):
        msg = f"link({name!r}) takes a class of actors, not {shown(cls)}; write link({name!r})"
        raise GraphError(msg)


def _check_strategy(name: str, strategy: Any) -> None:
    if strategy is not None and not isinstance(strategy, Strategy):
        shown = getattr(strategy, "__name__", None) or repr(strategy)
        hint = f"{shown}()" if callable(strategy) else "one_for_one()"
        msg = f"supervisor {name!r} has the strategy {shown}, which is none; write {hint}"
        raise GraphError(msg)


def _check_place(kind: str, name: str, place: Any) -> None:
    if place is not None and not isinstance(place, Process):
        proposed = f"Process({place!r})" if isinstance(place, str) else "Process()"
        msg = f"{kind} {name!r} has place={place!r}, which is no placement; write {proposed}"
        raise GraphError(msg)
