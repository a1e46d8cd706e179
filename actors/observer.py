"""The other end of ``actors.guests``: looks at the live state of a launcher from outside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from actors.errors import ObserveError
from actors.guests import CLUSTER, LIMITS, OVERHEAD, Glance, host_of
from actors.state import LiveState, Part, assemble
from actors.world import World
from transports import (
    Endpoint,
    LandingPool,
    Link,
    LinkClosed,
    LinkFull,
    Lost,
    NodeId,
    Weights,
)

REACH: Final = 3.0
"""Seconds for a first connection: more than an import on a busy machine holds up a launcher."""

PATIENCE: Final = 10.0
"""Seconds for a picture: the launcher gives its nodes two, and may be busy itself."""

_MOST_BYTES: Final = 256 << 20
"""Of one picture: whoever sends more without end must not fill the memory."""

_decoder = msgspec.msgpack.Decoder(Part)


class Observer:
    """Who looks on; made by ``observe``.

    Attributes:
        address: where it looks.
    """

    def __init__(self, address: str, world: World) -> None:
        self.address = address
        self._host = host_of(address)
        self._endpoint: Endpoint[Glance] = Endpoint(
            NodeId.fresh("observer", world.rng), cluster=CLUSTER, item=Glance, handler=self,
            clock=world.clock, rng=world.rng, limits=LIMITS, context=world.context,
        )  # fmt: skip
        self._pool = LandingPool(1, 1)
        self._link: Link[Glance] | None = None
        self._up = asyncio.Event()
        self._gone: str | None = None
        self._number = 0
        self._parts: list[bytes] = []
        self._nbytes = 0
        self._waiting: asyncio.Future[list[bytes]] | None = None

    async def state(self, *, limit: float = PATIENCE) -> LiveState:
        """What is seen now. One call at a time.

        Args:
            limit: seconds to wait for it.

        Raises:
            ObserveError: it is gone, or does not answer in time.
        """
        assert self._link is not None
        self._number += 1
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            if self._gone is None:
                self._link.send(Glance("look", self._number), OVERHEAD)
                async with asyncio.timeout(limit):
                    picture = await self._waiting
                return assemble([_decoder.decode(body) for body in picture])
        except (TimeoutError, LinkFull):
            raise ObserveError(
                f"{self.address} did not answer within {limit:g} s; it may be frozen or busy",
                gone=False,
            ) from None
        except LinkClosed as error:
            self._gone = self._gone or str(error)
        except msgspec.DecodeError as error:
            raise ObserveError(f"{self.address} says what is no live state: {error}") from error
        finally:
            self._waiting = None
        raise ObserveError(f"{self.address} is not there any more: {self._gone}")

    async def reach(self, limit: float) -> None:
        """Connect.

        Raises:
            ObserveError: nobody answers there in time.
            AddressError: the address cannot be dialled.
        """
        await self._endpoint.open()
        self._link = self._endpoint.dial(self._host, self.address)
        try:
            async with asyncio.timeout(limit):
                await self._up.wait()
        except TimeoutError:
            why = self._link.trouble or f"no answer within {limit:g} s"
            raise ObserveError(f"nobody answers at {self.address}: {why}") from None
        if self._gone is not None:
            raise ObserveError(f"{self.address} turns observers away: {self._gone}")

    async def close(self) -> None:
        """Leave."""
        await self._endpoint.close(0.0)

    # -- the transports' handler -----------------------------------------------------------------

    def admit(self, peer: NodeId) -> str | None:
        """Nobody dials an observer."""
        return "an observer is not dialled"

    def on_up(self, link: Link[Glance]) -> None:
        """Connected."""
        self._up.set()

    def on_down(self, link: Link[Glance], reason: str, lost: Lost) -> None:
        """The host has gone: another one at this address has other things to show."""
        self._gone = self._gone or reason
        self._up.set()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(LinkClosed(reason))

    def on_items(self, link: Link[Glance], items: list[Glance]) -> None:
        """Parts of pictures, in order."""
        for item in items:
            if item.index != len(self._parts):
                self._parts, self._nbytes = [], 0
            self._nbytes += len(item.body)
            if item.index != len(self._parts) or self._nbytes > _MOST_BYTES:
                continue
            self._parts.append(item.body)
            if item.last:
                picture, self._parts, self._nbytes = self._parts, [], 0
                # One that answers an earlier question, and comes late, is as good.
                if self._waiting is not None and not self._waiting.done():
                    self._waiting.set_result(picture)

    def landing(self, link: Link[Glance], item: Glance, nbytes: int) -> LandingPool:
        """No arrays land here."""
        return self._pool

    def on_transfer(self, link: Link[Glance], item: Glance, weights: list[Weights]) -> None:
        """Nor here."""
        for one in weights:
            one.release()

    def __repr__(self) -> str:
        return f"<Observer {self.address} {'gone' if self._gone else 'looking'}>"


@asynccontextmanager
async def observe(
    address: str, *, limit: float = REACH, world: World | None = None
) -> AsyncIterator[Observer]:
    """Look at the live state of a graph or system in another process.

    ::

        async with observe("ipc:///run/user/1000/shop/look") as observer:
            state = await observer.state()

    It must listen there: ``graph.start(observe=…)`` or ``system.listen_for_observers(…)``.

    Args:
        address: where it listens.
        limit: seconds to reach it.
        world: clock, randomness and sockets; the real ones by default.

    Raises:
        ObserveError: nobody answers there.
        transports.AddressError: it is no address that can be dialled.
    """
    observer = Observer(address, world or World())
    try:
        await observer.reach(limit)
        yield observer
    finally:
        await observer.close()
