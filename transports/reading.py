"""How the frames of an endpoint's sockets are read: what follows is one call for each of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar

from transports.address import Lane
from transports.link import Link
from transports.port import NOW
from transports.sockets import Socket

I = TypeVar("I")  # noqa: E741  (the item type of the floor above)

Part = tuple[bytes, bool]
"""What a part of a message holds, and whether a further one follows."""

Receive = Callable[[Lane, Link[I] | None, bytes | None, Part, Socket], int]
"""Takes a message by its lane, its link, the connection of a ROUTER and its first part; reads what
follows from the socket, and tells what it cost; see ``Port``."""

Take = Callable[[Lane, Link[I] | None, bytes | None, bytes, Socket], int]
"""The same for a message of one part, which a simulated network hands over."""


class Routed(Generic[I]):
    """Reads the listening socket of a lane.

    Args:
        lane: which.
        links: by the connections of the socket.
        receive: takes what was read.
        take: takes what was handed over.
        simulated: whether the socket is.
    """

    def __init__(
        self,
        lane: Lane,
        links: dict[bytes, Link[I]],
        receive: Receive[I],
        take: Take[I],
        *,
        simulated: bool,
    ) -> None:
        self._lane = lane
        self._links = links
        self._receive = receive
        self._take = take
        self._simulated = simulated

    def read(self, socket: Any) -> int:
        """Read one message; see ``Port``."""
        if self._simulated:
            route, data, more = socket.head()
            link = self._links.get(route or b"")
            return self._receive(self._lane, link, route, (data, more), socket)
        route = socket.recv(NOW)
        part = socket.recv(NOW, copy=False)  # a ROUTER puts the route before at least one part
        link = self._links.get(route)
        return self._receive(self._lane, link, route, (part.bytes, part.more), socket)

    def take(self, route: bytes, data: bytes, socket: Socket) -> int:
        """Take a message of one part that a simulated network hands over."""
        take = self._take
        return take(self._lane, self._links.get(route), route, data, socket)


class Dialled(Generic[I]):
    """Reads a socket that was dialled, and so is of one link.

    Args:
        lane: of the connection.
        link: whose it is.
        receive: takes what was read.
        take: takes what was handed over.
        simulated: whether the socket is.
    """

    def __init__(
        self, lane: Lane, link: Link[I], receive: Receive[I], take: Take[I], *, simulated: bool
    ) -> None:
        self._lane = lane
        self._link = link
        self._receive = receive
        self._simulated = simulated
        #: Takes a message of one part that a simulated network hands over, as ``Routed.take``.
        self.take: Callable[[bytes | None, bytes, Socket], int] = partial(take, lane, link)

    def read(self, socket: Any) -> int:
        """Read one message; see ``Port``."""
        if self._simulated:
            _, data, more = socket.head()
            return self._receive(self._lane, self._link, None, (data, more), socket)
        part = socket.recv(NOW, copy=False)
        return self._receive(self._lane, self._link, None, (part.bytes, part.more), socket)
