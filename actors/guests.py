"""Guests: who looks at the live state of a launcher from outside, and can do nothing else.

They come in by an endpoint of its own, with an identity and a cluster of its own, where nothing
but a ``Glance`` is understood. So a guest is no member: no node hears of it, its death harms
nobody, and a system signal, a message or a model that it sends is refused and counted.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import posixpath
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal

import msgspec

from actors.errors import UsageError
from actors.statistics import GuestStatistics
from actors.world import World
from transports import (
    AddressError,
    Endpoint,
    LandingPool,
    Limits,
    Link,
    LinkClosed,
    LinkFull,
    Lost,
    NodeId,
    Weights,
)
from transports.address import Address

_log = logging.getLogger("actors.guests")

CLUSTER: Final = "observers-1"
"""Cluster of hosts and guests; the number is the version of what they say to each other."""

MOST_GUESTS: Final = 16
"""Guests at a time. One that reads nothing holds one picture, of some megabytes at most."""

LIMITS: Final = Limits(max_links=MOST_GUESTS, max_transfer=1, max_transfers=1, max_fenced=256)
"""Of both ends: no arrays travel, and few are there."""

_FRESH: Final = 0.1
"""Seconds for which a picture is shown to whoever asks: guests cost no more than ten looks a second
together, however many they are and however fast they ask."""

#: Encoded size of a glance apart from its body, bytes; an upper estimate.
OVERHEAD: Final = 40


class Glance(msgspec.Struct, array_like=True, gc=False):
    """All that is ever said between a guest and its host.

    Attributes:
        what: "look" from a guest, which asks; "picture" from the host, which answers in parts.
        number: of the question.
        index: of the part.
        last: whether no other part follows.
        body: an encoded part of the picture, see ``actors.state``.
    """

    what: Literal["look", "picture"]
    number: int
    index: int = 0
    last: bool = True
    body: bytes = b""


def host_of(address: str) -> NodeId:
    """The identity of whoever can be observed at an address: known to all who know that.

    Raises:
        AddressError: it is no address, or none that can be dialled.
    """
    parsed = Address.parse(address)
    if parsed.rest.endswith("*"):
        raise AddressError(
            f"address {address!r} for observers ends in '*', which they would have to know; name "
            "it whole"
        )
    where = posixpath.normpath(parsed.rest) if parsed.scheme == "ipc" else parsed.rest
    if parsed.scheme == "tcp":
        where = where.rpartition(":")[2]  # localhost is 127.0.0.1
    digest = hashlib.sha256(f"{parsed.scheme}://{where}".encode()).digest()
    return NodeId("observed", int.from_bytes(digest[:6], "big"))


class Guests:
    """The host's end: shows pictures to those who dial an address.

    A guest that is killed is forgotten; one that is frozen gets what its link holds and no more.

    Args:
        node: whose live state it is, for messages to people.
        world: of that node.
        look: makes a picture, a list of encoded parts.
        address: where guests dial; see ``ActorSystem.listen_for_observers``.

    Raises:
        AddressError: it is no address that guests can dial.
    """

    def __init__(
        self,
        node: NodeId,
        world: World,
        look: Callable[[], Awaitable[list[bytes]]],
        address: str,
    ) -> None:
        self._node = node
        self._clock = world.clock
        self._look = look
        self.address = address
        self._endpoint: Endpoint[Glance] = Endpoint(
            host_of(address), cluster=CLUSTER, item=Glance, handler=self, clock=world.clock,
            rng=world.rng, limits=LIMITS, context=world.context,
        )  # fmt: skip
        self._pool = LandingPool(1, 1)
        self._showing: dict[NodeId, asyncio.Task[None]] = {}
        #: The number of the question that each asked while it was shown a picture.
        self._next: dict[NodeId, int] = {}
        self._picture: asyncio.Task[list[bytes]] | None = None
        self._taken = 0.0
        self._refused: Counter[str] = Counter()
        self._pictures = 0

    async def open(self) -> None:
        """Listen.

        Raises:
            AddressError: it cannot be listened at.
            AddressInUse: somebody listens there.
        """
        try:
            await self._endpoint.open()
            await self._endpoint.listen(self.address)
        except BaseException:
            await self._endpoint.close(0.0)
            raise

    async def close(self) -> None:
        """Say goodbye to all guests."""
        self._next.clear()
        tasks: list[asyncio.Task[None] | asyncio.Task[list[bytes]]] = [*self._showing.values()]
        if self._picture is not None:
            tasks.append(self._picture)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._endpoint.close(0.0)

    def statistics(self) -> GuestStatistics:
        """Who is there, and what was refused."""
        endpoint = self._endpoint.statistics()
        refused = Counter(endpoint.refused) + self._refused
        return GuestStatistics(self.address, len(endpoint.links), self._pictures, dict(refused))

    # -- the transports' handler -----------------------------------------------------------------

    def admit(self, peer: NodeId) -> str | None:
        """Anyone who can dial; the endpoint's limit of links bounds them."""
        return None

    def on_up(self, link: Link[Glance]) -> None:
        """A guest is there; it will ask."""
        _log.debug("%s is observed by %s", self._node, link.peer)

    def on_down(self, link: Link[Glance], reason: str, lost: Lost) -> None:
        """A guest has gone. It never comes back under that identity, so nothing is kept of it."""
        showing = self._showing.get(link.peer)
        if showing is not None:
            showing.cancel()
        if link.state != "closed":
            asyncio.get_running_loop().call_soon(self._endpoint.fence, link.peer, reason)

    def on_items(self, link: Link[Glance], items: list[Glance]) -> None:
        """Questions."""
        for item in items:
            if item.what != "look":
                self._refused["no question"] += 1
            elif link.peer not in self._showing:
                self._begin(link, item.number)
            elif link.peer not in self._next:
                # It may have its picture already, whose task has not ended yet.
                self._next[link.peer] = item.number
            else:
                self._refused["too early"] += 1

    def landing(self, link: Link[Glance], item: Glance, nbytes: int) -> LandingPool:
        """No arrays land here."""
        return self._pool

    def on_transfer(self, link: Link[Glance], item: Glance, weights: list[Weights]) -> None:
        """What is small enough to come all the same is dropped."""
        self._refused["arrays"] += 1
        for one in weights:
            one.release()

    # -- showing ---------------------------------------------------------------------------------

    def _begin(self, link: Link[Glance], number: int) -> None:
        task = asyncio.get_running_loop().create_task(
            self._show(link, number), name=f"show {link.peer}"
        )
        self._showing[link.peer] = task
        task.add_done_callback(lambda done: self._shown(link, done))

    async def _show(self, link: Link[Glance], number: int) -> None:
        try:
            picture = await self._taking()
            self._pictures += 1
            await _send_picture(link, number, picture)
        except (LinkClosed, LinkFull, UsageError) as error:
            _log.debug("%s is not shown %s: %s", link.peer, self._node, error)

    def _shown(self, link: Link[Glance], task: asyncio.Task[None]) -> None:
        del self._showing[link.peer]
        number = self._next.pop(link.peer, None)
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            _log.error("%s could not be shown the live state", link.peer, exc_info=error)
        if number is not None and link.state == "up":
            self._begin(link, number)

    async def _taking(self) -> list[bytes]:
        """A picture that is fresh; one is taken at a time, for all."""
        now = self._clock.now()
        if self._picture is None or (self._picture.done() and now - self._taken > _FRESH):
            self._picture = asyncio.get_running_loop().create_task(
                self._take(), name=f"look at {self._node}"
            )
        return await asyncio.shield(self._picture)

    async def _take(self) -> list[bytes]:
        picture = await self._look()
        self._taken = self._clock.now()
        return picture

    def __repr__(self) -> str:
        return f"<Guests {self.address} shown={self._pictures} refused={self._refused.total()}>"


async def _send_picture(link: Link[Glance], number: int, picture: Sequence[bytes]) -> None:
    for index, body in enumerate(picture):
        await link.drain("control")  # a guest that does not read is waited for, at no cost
        last = index == len(picture) - 1
        link.send(Glance("picture", number, index, last, body), len(body) + OVERHEAD)
