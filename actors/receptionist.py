"""The receptionist: actors are registered under a key, and found by it on every node.

The launcher's node holds the truth and watches what is registered. The other nodes register with
it, and hear of each key that they have asked for, by system signals: none gets lost, and they come
in order.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

import msgspec

from actors.errors import AskTimeout, UsageError
from actors.given import check_ref, check_text, check_timeout
from actors.message import Message
from actors.ref import ActorRef
from actors.services import MAX_KEYS, Services
from actors.signals import (
    AnySignal,
    Deregister,
    FollowService,
    RefParts,
    Register,
    Registered,
    ServiceListing,
    Stopped,
    UnfollowService,
    Unwatch,
    Watch,
)
from actors.suggest import shown

if TYPE_CHECKING:
    from actors.system import ActorSystem
    from transports import NodeId

_log = logging.getLogger("actors.receptionist")

RECEPTIONIST_UID: Final = 2**63 - 1
"""Of the receptionist on each node; uids that are drawn stay below 2**62 + 2."""

MAX_NAME: Final = 200
"""Characters of a key: it travels with each change of its listing."""

MAX_SUBSCRIBERS: Final = 1_000
"""Subscriptions of one node: each change of a key makes a message for each of them."""


_NONE: Final = object()
"""Where a call takes no reference."""


class ServiceKey(msgspec.Struct, frozen=True):
    """What actors are registered under.

    Attributes:
        name: 1 to 200 characters; two keys of one name are one key.
    """

    name: str

    def __post_init__(self) -> None:
        check_text("ServiceKey", "its name", self.name)
        if not 1 <= len(self.name) <= MAX_NAME:
            msg = f"a ServiceKey has 1 to {MAX_NAME} characters, not {len(self.name)}"
            raise UsageError(msg)


class Listing(Message[None]):
    """Who is registered under a key: what ``find`` returns and what subscribers receive.

    Attributes:
        key: the key.
        refs: all of its actors, in the order in which they were registered.
    """

    key: ServiceKey
    refs: tuple[ActorRef, ...]


class Receptionist:
    """The receptionist of one node: ``system.receptionist``.

    An actor stays registered over restarts within its process. It vanishes from all listings, once,
    when it has stopped or its process has died; one that is made anew in another process registers
    again, best in its ``on_start``.

    At most 1,000 keys, 1,000 actors under each, and 1,000 subscriptions on each node. A node that
    looks for more keys forgets those under which nobody is, the least recently used first.
    """

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        #: On the launcher: the truth.
        self._services = Services()
        #: What was last heard of the keys that this node follows, the least recently used first.
        self._listings: dict[str, Listing] = {}
        self._unheard: dict[str, asyncio.Future[Listing]] = {}
        self._subscribers: dict[str, dict[int, None]] = {}
        self._asked: dict[int, asyncio.Future[str]] = {}
        self._next = 0

    # -- for actors and programs -----------------------------------------------------------------

    async def register(self, key: ServiceKey, ref: ActorRef, *, timeout: float = 10.0) -> None:
        """Register an actor, of this node or another; twice is once.

        Returns when it is in the listings of the launcher and of this node.

        Args:
            key: under which.
            ref: the actor; an actor that is gone vanishes at once.
            timeout: seconds.

        Raises:
            UsageError: there are too many keys, or too many actors under this one.
            AskTimeout: the launcher has not answered in time; it may be registered even so.
        """
        _check("register", key, ref, timeout)
        self._next += 1
        number = self._next
        asked = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            self._to_launcher(Register(key.name, ref.parts, self._system.name, number))
            async with asyncio.timeout(timeout):
                refused = await asked
        except TimeoutError:
            raise AskTimeout(self._silent(f"registration of {ref.path}", timeout)) from None
        finally:
            del self._asked[number]
        if refused:
            raise UsageError(f"{ref.path} is not registered as {key.name!r}: {refused}")

    def deregister(self, key: ServiceKey, ref: ActorRef) -> None:
        """Take an actor out of the listing of that key, if it is there."""
        _check("deregister", key, ref)
        self._to_launcher(Deregister(key.name, ref.parts))

    async def find(self, key: ServiceKey, *, timeout: float = 10.0) -> Listing:
        """Who is registered under that key now; nobody is an empty listing.

        Args:
            key: of whom.
            timeout: seconds; spent only where this node has not asked for that key before.

        Raises:
            AskTimeout: the launcher has not answered in time.
            UsageError: this node looks for too many keys under which somebody is.
        """
        _check("find", key, timeout=timeout)
        self._follow(key.name)
        listing = self._listings.get(key.name)
        if listing is None:
            try:
                async with asyncio.timeout(timeout):
                    listing = await asyncio.shield(self._unheard[key.name])
            except TimeoutError:
                raise AskTimeout(self._silent(f"listing of {key.name!r}", timeout)) from None
        return listing

    def subscribe(self, key: ServiceKey, subscriber: ActorRef) -> None:
        """Have a ``Listing`` delivered now, and on each change, until that actor has stopped.

        A restart keeps the subscription; who subscribes again receives the listing again.

        Args:
            key: of what.
            subscriber: an actor of this node, with a handler for ``Listing``.

        Raises:
            UsageError: it is none, or there are too many subscriptions or keys.
        """
        _check("subscribe", key, subscriber)
        cell = self._system.cell(subscriber)
        if cell is None:
            msg = (
                f"{subscriber.path} does not live on node {self._system.name}; have it subscribe "
                "where it lives, by self.system.receptionist"
            )
            raise UsageError(msg)
        if not cell.understands(Listing):
            msg = (
                f"{cell.cls.__qualname__} subscribes to {key.name!r} but has no handler for "
                "Listing; add `def listed(self, message: Listing) -> None`"
            )
            raise UsageError(msg)
        count = sum(map(len, self._subscribers.values()))
        if count >= MAX_SUBSCRIBERS and subscriber.uid not in self._subscribers.get(key.name, {}):
            msg = (
                f"node {self._system.name} has {count} subscriptions already; have one actor "
                "subscribe and tell the others"
            )
            raise UsageError(msg)
        self._follow(key.name)
        self._subscribers.setdefault(key.name, {})[subscriber.uid] = None
        listing = self._listings.get(key.name)
        if listing is not None:
            cell.deliver(listing)

    def unsubscribe(self, key: ServiceKey, subscriber: ActorRef) -> None:
        """Have no more listings of that key delivered."""
        _check("unsubscribe", key, subscriber)
        subscribers = self._subscribers.get(key.name, {})
        subscribers.pop(subscriber.uid, None)
        if not subscribers:
            self._subscribers.pop(key.name, None)

    def _silent(self, what: str, timeout: float) -> str:
        return f"the launcher has not answered the {what} within {timeout:g} s; try again"

    @property
    def _parts(self) -> RefParts:
        return (self._system.name, "/receptionist", RECEPTIONIST_UID)

    # -- on each node ----------------------------------------------------------------------------

    def _follow(self, name: str) -> None:
        if name in self._listings:
            self._listings[name] = self._listings.pop(name)
        elif name not in self._unheard:
            if len(self._listings) + len(self._unheard) >= MAX_KEYS:
                self._unfollow_one()
            followed = len(self._listings) + len(self._unheard)
            if followed >= MAX_KEYS:
                msg = (
                    f"node {self._system.name} looks for {followed} keys already; use one key for "
                    "actors of one kind"
                )
                raise UsageError(msg)
            self._unheard[name] = asyncio.get_running_loop().create_future()
            self._to_launcher(FollowService(name, self._system.name))

    def _unfollow_one(self) -> None:
        """Make room by the key that was not used for longest, of those that matter to nobody."""
        for name, listing in self._listings.items():
            if not listing.refs and name not in self._subscribers:
                del self._listings[name]
                self._to_launcher(UnfollowService(name, self._system.name))
                return

    def _to_launcher(self, signal: AnySignal) -> None:
        self._send(self._system.router.launcher or self._system.name, signal)

    def _send(self, node: str, signal: AnySignal) -> None:
        if node == self._system.name:
            self.signalled(signal)
        else:
            self._system.router.signal(node, RECEPTIONIST_UID, signal)

    def signalled(self, signal: AnySignal) -> None:
        """A signal for the receptionist, from this node or another."""
        match signal:
            case Registered(number, refused):
                asked = self._asked.get(number)
                if asked is not None and not asked.done():
                    asked.set_result(refused)
            case ServiceListing(name, actors):
                self._heard(name, actors)
            case Register(name, actor, node, number):
                self._register(name, actor, node, number)
            case Deregister(name, actor):
                self._tell(self._services.deregister(name, actor))
                if not self._services.knows(actor[2]):
                    self._system.signal(actor, Unwatch(self._parts))
            case FollowService(name, node):
                self._send(node, ServiceListing(name, self._services.follow(name, node)))
            case UnfollowService(name, node):
                self._services.unfollow(name, node)
            case Stopped(actor):
                self._tell(self._services.gone(actor[2]))
            case _:
                _log.warning("signal %r is not for a receptionist", signal)

    def _heard(self, name: str, actors: list[RefParts]) -> None:
        if name not in self._listings and name not in self._unheard:
            return  # it was on its way when the key was given up
        refs = tuple(self._system.ref(parts) for parts in actors)
        listing = self._listings[name] = Listing(ServiceKey(name), refs)
        waiting = self._unheard.pop(name, None)
        if waiting is not None:
            waiting.set_result(listing)
        for uid in tuple(self._subscribers.get(name, ())):
            cell = self._system.cells.get(uid)
            if cell is not None:
                cell.deliver(listing)

    def forget(self, uid: int) -> None:
        """That actor of this node has stopped: it subscribes to nothing any more."""
        for name in tuple(self._subscribers):
            self._subscribers[name].pop(uid, None)
            if not self._subscribers[name]:
                del self._subscribers[name]

    # -- on the launcher -------------------------------------------------------------------------

    def _register(self, name: str, actor: RefParts, node: str, number: int) -> None:
        refused = self._services.refuses(name, actor)
        if not refused:
            new = not self._services.knows(actor[2])
            self._tell(self._services.register(name, actor))
            if new:
                # One that is gone already answers at once, and is taken out again.
                self._system.signal(actor, Watch(self._parts))
        self._send(node, Registered(number, refused))

    def _tell(self, names: list[str]) -> None:
        """Those who follow these keys hear how they stand now."""
        for name in names:
            for node in self._services.followers(name):
                self._send(node, ServiceListing(name, self._services.listing(name)))

    def node_died(self, node: NodeId) -> None:
        """Whoever was registered there is gone, in one change of each key."""
        self._tell(self._services.node_died(node.name))

    def __repr__(self) -> str:
        return (
            f"<Receptionist of {self._system.name} follows={len(self._listings)} "
            f"subscriptions={sum(map(len, self._subscribers.values()))} {self._services!r}>"
        )


def _check(call: str, key: Any, ref: Any = _NONE, timeout: float = 0.0) -> None:
    """Refuse a key, a reference or a time that is none."""
    call = f"receptionist.{call}"
    if not isinstance(key, ServiceKey):
        hint = f"write ServiceKey({key!r})" if isinstance(key, str) else 'write ServiceKey("…")'
        raise UsageError(f"{call}() takes a ServiceKey, not {shown(key)}; {hint}")
    if ref is not _NONE:
        check_ref(call, ref)
    check_timeout(call, timeout)
