"""A graph that runs: its actors, its system, its processes, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, overload

from actors.children import Children
from actors.declared import Handle
from actors.errors import GaveUp, GraphError
from actors.given import check_awaitable, check_timeout
from actors.observing import LIMIT
from actors.processes import Processes as ProcessManager
from actors.ref import ActorRef
from actors.signals import Failure
from actors.state import LiveState
from actors.suggest import among, shown
from actors.supervisor import Progressed
from actors.system import ActorSystem

if TYPE_CHECKING:
    from actors.declared import A
    from actors.graph import ActorGraph

T = TypeVar("T")


class Live:
    """A graph that runs.

    ``live["store"]`` is the reference of an actor, and so is ``live[store]`` with its handle,
    where a type checker knows its class.

    Attributes:
        system: the launcher's system; its event stream tells of failures and restarts.
        processes: the child processes, or None where everything runs inline.
    """

    def __init__(
        self,
        graph: ActorGraph,
        system: ActorSystem,
        processes: ProcessManager | None,
        refs: Mapping[str, ActorRef],
        supervisors: Callable[[], Iterable[ActorRef]],
    ) -> None:
        self._graph = graph
        self.system = system
        self.processes = processes
        self._refs = refs
        self._supervisors = supervisors
        #: Whether somebody has been told that the graph gave up, or waits for it.
        self._heeded = False

    @overload
    def __getitem__(self, actor: Handle[A]) -> ActorRef[A]: ...
    @overload
    def __getitem__(self, actor: str) -> ActorRef: ...
    def __getitem__(self, actor: str | Handle[Any]) -> ActorRef:
        if isinstance(actor, Handle):
            if actor.graph is not self._graph:
                msg = (
                    f"{actor!r} is of graph {actor.graph.name!r}, and this is graph "
                    f"{self._graph.name!r}"
                )
                raise GraphError(msg)
            name = actor.name
        else:
            name = actor
        if not isinstance(name, str) or name not in self._refs:
            known = among(name, list(self._refs))
            msg = f"graph {self._graph.name!r} has no actor {shown(name)}; {known}"
            raise GraphError(msg)
        return self._refs[name]

    async def state(self, *, limit: float = LIMIT) -> LiveState:
        """The tree of actors over all nodes, and the nodes with their links, as they are now.

        Args:
            limit: seconds after which a node that has not answered is shown as stuck.

        Raises:
            UsageError: no seconds from 0.
        """
        check_timeout("state", limit, "limit")
        return await self.system.state(limit=limit)

    async def faults(self, *, limit: float = LIMIT) -> dict[str, int]:
        """How often each kind of the plan's faults took effect so far, on all nodes.

        What a process counted in the last second before it was killed is missing.

        Args:
            limit: seconds after which a process that has not answered counts as it told last.

        Raises:
            UsageError: no seconds from 0.
        """
        check_timeout("faults", limit, "limit")
        if self.processes is None:
            return {}
        return await self.processes.fault_counts(limit)

    def children(self, supervisor: str) -> Children:
        """The children of a supervisor by its name: to start more, terminate and list them.

        Raises:
            GraphError: there is no supervisor of that name.
        """
        known = {ref.name: ref for ref in self._supervisors()}
        if not isinstance(supervisor, str) or supervisor not in known:
            hint = among(supervisor, list(known))
            msg = f"graph {self._graph.name!r} has no supervisor {shown(supervisor)}; {hint}"
            raise GraphError(msg)
        return Children(known[supervisor])

    def progressed(self) -> None:
        """Everything gets on: no supervisor counts earlier failures any more."""
        for ref in self._supervisors():
            ref.tell(Progressed(0))

    async def failed(self) -> Failure:
        """Wait until a root supervisor gives up; why. It is not raised at the block's end then."""
        before, self._heeded = self._heeded, True
        try:
            return await asyncio.shield(self.system.failure)
        except asyncio.CancelledError:
            self._heeded = before  # whoever waited does no longer
            raise

    async def until(self, done: Awaitable[T]) -> T:
        """Wait for ``done``, or for the graph to fail, which ends ``done`` where it is no future.

        Raises:
            GaveUp: a root supervisor gave up first.
            UsageError: there is nothing to await.
        """
        check_awaitable("until", done)
        failed = self.system.failure
        waited: asyncio.Future[T] = asyncio.ensure_future(done)
        either: set[asyncio.Future[Any]] = {waited, failed}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if waited.done():
                return waited.result()
        finally:
            if waited is not done:
                waited.cancel()
        self._heeded = True
        raise gave_up(failed.result())

    @property
    def gave_up(self) -> GaveUp | None:
        """What a root supervisor gave up with, as long as nobody has been told of it."""
        failed = self.system.failure
        if self._heeded or not failed.done() or failed.cancelled():
            return None
        return gave_up(failed.result())

    def __repr__(self) -> str:
        return f"<Live {self._graph.name} {len(self._refs)} actors {self.processes!r}>"


def gave_up(failure: Failure) -> GaveUp:
    """What is raised for the failure that a root supervisor ended with."""
    return GaveUp(
        failure.message,
        child=failure.child,
        restarts=failure.restarts,
        remote_traceback=failure.traceback,
    )
