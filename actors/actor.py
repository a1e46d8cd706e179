"""The base class of actors."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from actors.argumentcheck import check_arguments
from actors.errors import UsageError
from actors.given import check_awaitable, check_callable, check_ref, check_text
from actors.message import Message
from actors.names import check_name
from actors.ref import ActorRef
from actors.reserved import check_reserved
from actors.signals import Cause, Failure

if TYPE_CHECKING:
    from actors.blocking import ActorClass
    from actors.cell import Cell
    from actors.snapshot import Snapshots
    from actors.stash import Stash
    from actors.storage import Storage
    from actors.system import ActorSystem
    from actors.timers import Timers
    from transports import Clock, Rng

T = TypeVar("T")


class Actor:
    """Private state, one mailbox, one message at a time.

    A handler is a method with one parameter annotated by a message type; its return annotation
    is what the message names as reply::

        class Greeter(Actor):
            async def greet(self, message: Greet) -> str:
                return f"hello {message.name}"

    Handlers may be ``async def`` or ``def``; a ``def`` may return a coroutine of its reply where it
    has something to wait for. Awaiting inside one blocks this mailbox only.
    A handler that raises fails the actor: the asker and the supervisor learn of it.
    The constructor may take any arguments; where the actor is placed in another process they must
    be annotated and encodable. Everything below is available in the constructor too.
    """

    _cell: Cell

    #: Messages that fit into ``self.stash``; a class or a constructor sets another.
    stash_capacity: int = 1_000

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse what would hide a name of this class.

        Raises:
            HandlerError: a method, an attribute or a hook that cannot be meant.
        """
        super().__init_subclass__(**options)
        check_reserved(cls, Actor)

    # -- hooks ---------------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Called before the first message, of every incarnation."""

    async def on_stop(self) -> None:
        """Called after the last message; also on an instance that failed, before a restart."""

    def stop_wanted(self) -> None:
        """Called when it is asked to stop or to halt, whatever it is at; it must not block.

        What it is at is given ``stop_timeout`` seconds; here it can be told to hurry.
        """

    # -- who and where -------------------------------------------------------------------------

    @property
    def ref(self) -> ActorRef:
        """This actor's address."""
        return self._cell.ref

    @property
    def system(self) -> ActorSystem:
        """The system of this node."""
        return self._cell.system

    @property
    def clock(self) -> Clock:
        """The node's clock; actors read no other."""
        return self._cell.system.world.clock

    @property
    def rng(self) -> Rng:
        """The node's randomness; actors use no other."""
        return self._cell.system.world.rng

    @property
    def storage(self) -> Storage:
        """The node's storage.

        Raises:
            UsageError: the system was started without one.
        """
        return self._cell.system.storage

    @property
    def timers(self) -> Timers:
        """Keyed timers, which end with this incarnation."""
        return self._cell.timers

    @property
    def stash(self) -> Stash:
        """Where messages wait that cannot be handled yet: ``return self.stash.stash(message)``."""
        return self._cell.stash

    @property
    def restarts(self) -> int:
        """How often this actor has been restarted within its process."""
        return self._cell.restarts

    # -- children and watching ------------------------------------------------------------------

    async def spawn(self, name: str, cls: ActorClass, /, **arguments: Any) -> ActorRef:
        """Make a child on this node and wait until it has started.

        A child that fails is stopped, unless this actor is a ``Supervisor``.

        Raises:
            SpawnFailed: its constructor or ``on_start`` raised.
            UsageError: the name is taken or not a name, or its constructor does not take the
                arguments or needs others.
        """
        check_name(name)
        children = self._cell.children
        if name in children.names:
            msg = f"{self.ref.path} has a child named {name!r} already; choose another name"
            raise UsageError(msg)
        check_arguments(name, cls, arguments)
        child = self.system.make(name, cls, arguments, parent=self.ref, begin=False)
        children.adopt(child.ref, math.inf)
        await self.system.idling.start(child)
        return child.ref

    def stop(self, ref: ActorRef | None = None) -> None:
        """Stop a child, or this actor after the current message."""
        if ref is None:
            ref = self.ref
        check_ref("stop", ref)
        ref.stop()

    def watch(self, ref: ActorRef) -> None:
        """Have one ``Terminated`` delivered when that actor is gone, at once if it already is.

        Who watches again at once, whenever he is told, turns in no circle: from the third time
        within a tenth of a second on, a watch is answered when that time is over. One that never
        was there has a second to be made.

        Raises:
            UsageError: this class has no handler for ``Terminated``, or it is no reference.
        """
        check_ref("watch", ref)
        self._cell.watch(ref)

    def unwatch(self, ref: ActorRef) -> None:
        """No longer care: what is to be told of that actor's end is not told any more."""
        check_ref("unwatch", ref)
        self._cell.unwatch(ref)

    # -- durable state --------------------------------------------------------------------------

    def snapshots(self, name: str | None = None, *, keep: int | None = 2) -> Snapshots:
        """The durable snapshots of this actor, by default under its path.

        Args:
            name: where else they lie.
            keep: how many a save leaves, 2 or more; None for all.
        """
        from actors.snapshot import Snapshots

        if name is not None:
            check_text("snapshots", "a name", name)
        label = name or self.ref.path.strip("/").replace("/", ".")
        return Snapshots(self.storage, label, self.system.generation, keep=keep)

    def publish(self, kind: str, **fields: Any) -> None:
        """Publish an event by name; it reaches the launcher's event stream too."""
        check_text("publish", "the kind of event", kind)
        self._cell.system.report(self._cell.path, kind, fields)

    def pipe_to_self(
        self,
        work: Awaitable[T],
        done: Callable[[T], Message[Any]],
        failed: Callable[[Exception], Message[Any]] | None = None,
    ) -> None:
        """Await something beside the mailbox and receive the outcome as a message.

        It is cancelled with this incarnation, and nothing of it reaches the next one.

        Args:
            work: what is awaited.
            done: makes a message of its result.
            failed: makes one of the exception that it raised; without it this actor fails then,
                as it does where ``done`` or ``failed`` raises, or somebody else cancels the work.

        Raises:
            UsageError: there is nothing to await, or no function.
        """
        check_awaitable("pipe_to_self", work)
        check_callable("pipe_to_self", "done=", done)
        if failed is not None:
            check_callable("pipe_to_self", "failed=", failed)
        self._cell.pipes.start(work, done, failed)

    def child_failed(self, child: ActorRef, failure: Failure) -> None:
        """Called when a child failed: it is stopped. Supervisors decide otherwise."""
        self.system.failures.tell(child.path, failure, "is stopped", final=True)
        child.stop()

    def child_stopped(self, child: ActorRef, reason: str, cause: Cause) -> None:
        """Called when a child is gone: why, in words and in one word."""

    def child_halted(self, child: ActorRef) -> None:
        """Called when a child has ended its instance, as its supervisor had told it."""

    def child_started(self, child: ActorRef) -> None:
        """Called when a child has started or restarted."""

    def child_restarts(self, child: ActorRef) -> int:
        """How often this actor has had that child restarted; for those who look on."""
        return 0
