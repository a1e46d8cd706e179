"""References: how an actor is addressed, from anywhere."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from actors.message import Message

if TYPE_CHECKING:
    from typing_extensions import TypeVar as _TypeVar

    from actors.item import Item
    from actors.signals import RefParts
    from actors.system import ActorSystem
    from transports import Link, Transfer

    # Any class: where a reference may lead to several, a base of them; ActorRef alone is to any.
    A_co = _TypeVar("A_co", covariant=True, default=Any)
else:  # Python 3.11 knows no default, which only type checkers read
    A_co = TypeVar("A_co", covariant=True)

R = TypeVar("R")


class ActorRef(Generic[A_co]):
    """The address of an actor: node, path and uid.

    ``ActorRef[Store]`` is the address of an actor of that class; a graph checks before it starts
    that what is linked there is one. ``ActorRef`` alone is that of any actor.

    A reference stays valid over restarts of the actor and of its process. An actor that was
    stopped and spawned anew has another uid; messages to the old one become dead letters.
    References can be sent in messages and passed as constructor arguments.
    """

    __slots__ = ("_link", "_seen", "_system", "node", "path", "uid")

    def __init__(self, system: ActorSystem, node: str, path: str, uid: int) -> None:
        self._system = system
        #: Name of the node that the actor lives on.
        self.node = node
        #: Names from the root down, separated by ``/``.
        self.path = path
        #: Random 63-bit number that no other actor has.
        self.uid = uid
        # Kept by the system: the link to that node, and which state of the links it is from.
        self._link: Link[Item] | None = None
        self._seen = -1

    @property
    def system(self) -> ActorSystem:
        """The system that this reference was obtained from; what it sends leaves there."""
        return self._system

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]

    def tell(self, message: Message[Any]) -> None:
        """Send and forget; at most once, in order per pair of actors and lane.

        A message that cannot be delivered becomes a ``DeadLetter`` on the event stream.

        Raises:
            CannotEncode: the message holds something that does not travel.
            transports.LinkFull: the link's byte window is full; ``await drain()`` waits for room.
        """
        self._system.sender.tell(self, message)

    def send(self, message: Message[Any]) -> Transfer | None:
        """As :meth:`tell`; gives the transfer of a message with arrays, to see its progress.

        Returns:
            The transfer, whose ``done`` is resolved when the receiver has all of it; None where
            the message is a small one or cannot be delivered.
        """
        return self._system.sender.tell(self, message)

    def ask(self, message: Message[R], *, timeout: float) -> Coroutine[Any, Any, R]:
        """Send and wait for the reply: ``await ref.ask(…)``; nothing is sent before it is awaited.

        Args:
            message: a ``Message[R]``.
            timeout: seconds until :class:`AskTimeout`.

        Returns:
            What the handler returned.

        Raises:
            ActorFailed: the handler raised.
            NotStarted: known not to have been handled (mailbox full, unreachable, no such actor).
            AskTimeout: no reply in time, or the node died meanwhile: the outcome is unknown.
            CannotEncode: the message holds something that does not travel.
        """
        return self._system.sender.ask(self, message, timeout)

    def ask_blocking(self, message: Message[R], *, timeout: float) -> R:
        """As :meth:`ask`, for blocking actors, which have a thread of their own.

        Raises:
            UsageError: called on the loop's thread, which it would block for ever.
        """
        return self._system.sender.ask_from_thread(self, message, timeout)

    async def drain(self) -> None:
        """Wait until the link to the actor's node has room, on both lanes."""
        await self._system.sender.drain(self)

    def stop(self) -> None:
        """Ask the actor to finish its current message and stop."""
        self._system._stop(self)  # noqa: SLF001

    @property
    def node_is_up(self) -> bool:
        """Whether its node is there, as far as is known here; a death shows with a delay."""
        return self._system.router.is_up(self.node)

    @property
    def parts(self) -> RefParts:
        """(node, path, uid), which is what travels."""
        return (self.node, self.path, self.uid)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActorRef) and self.uid == other.uid

    def __hash__(self) -> int:
        return hash(self.uid)

    def __reduce__(self) -> Any:
        msg = f"{self!r} cannot be pickled; send it inside a message or as a constructor argument"
        raise TypeError(msg)

    def __repr__(self) -> str:
        return f"<ActorRef {self.node}{self.path} {self._system.describe(self)}>"
