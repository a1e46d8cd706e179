"""How a launcher learns the live state of its nodes: a question to each, answered in parts."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from actors import item as wire
from actors.errors import UsageError
from actors.guests import Guests
from actors.item import Item
from actors.state import LiveState, Part, assemble
from actors.statistics import CellStatistics, GuestStatistics, ProcessStatistics
from transports import Link, LinkClosed, LinkFull, MessageTooLarge, NodeId

if TYPE_CHECKING:
    from actors.system import ActorSystem

_log = logging.getLogger("actors.observing")

LIMIT: Final = 2.0
"""Seconds that a node has to answer. A loop that is held up by an import takes longer, and looks
the same as one that is frozen; whoever looks on wants the others meanwhile."""

_TRIES: Final = 8
"""Questions within the limit: they are not sent again by themselves, and may get lost."""

MOST_ACTORS: Final = 20_000
"""Actors that a node tells of. More do not fit on any screen; the rest is counted."""

_PART: Final = 500
"""Actors, or children named by them, in one part: half a millisecond of the loop's time."""

_LONG: Final = 128
"""Characters of a path that count as much as an actor, so that a part stays a small message."""

_MOST_PARTS: Final = 4 * (MOST_ACTORS // _PART + 1)
_MOST_BYTES: Final = 64 << 20
"""Of one node's answer; a node that says more is not listened to."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Part)


class _Answer(msgspec.Struct, frozen=True, array_like=True):
    """The body of an item ``OBSERVED``."""

    index: int
    last: bool
    part: msgspec.Raw


_answer_decoder = msgspec.msgpack.Decoder(_Answer)


class _Question:
    """One question to one node."""

    def __init__(self, node: str, answer: asyncio.Future[list[bytes]]) -> None:
        self.node = node
        self.answer = answer
        self.parts: dict[int, bytes] = {}
        self.nbytes = 0
        self.end = -1

    def take(self, answer: _Answer, body: bytes) -> None:
        """A part of the answer came."""
        if not 0 <= answer.index < _MOST_PARTS or self.nbytes + len(body) > _MOST_BYTES:
            return
        if answer.index not in self.parts:
            self.parts[answer.index] = body
            self.nbytes += len(body)
        if answer.last:
            self.end = answer.index
        if len(self.parts) == self.end + 1 and not self.answer.done():
            self.answer.set_result([self.parts[index] for index in sorted(self.parts)])


class Observing:
    """Asks for live states, and answers those who ask.

    Args:
        system: whose.
    """

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        self._number = 0
        self._open: dict[int, _Question] = {}
        self._answering: dict[NodeId, asyncio.Task[None]] = {}
        self._guests: Guests | None = None

    # -- for users -----------------------------------------------------------------------------

    async def state(self, limit: float = LIMIT) -> LiveState:
        """The live state of this node and, on a launcher, of all its nodes.

        Args:
            limit: seconds after which a node that has not answered is shown as stuck; above 0.

        Raises:
            UsageError: the limit is not above 0, or the system does not run.
        """
        return assemble([_decoder.decode(body) for body in await self.look(limit)])

    async def listen(self, address: str) -> str:
        """Let others see the live state at an address, with ``observe`` or ``actorfl top``.

        They may look and nothing else; see ``Guests``.

        Args:
            address: "ipc:///directory/base", where the directory is there and this user's alone, or
                "tcp://127.0.0.1:port", where all users of the machine can look on.

        Returns:
            The address.

        Raises:
            UsageError: there is such an address already, the directory does not exist, or the
                system does not run.
            transports.AddressError: it cannot be listened at.
            transports.AddressInUse: somebody listens there.
        """
        if self._guests is not None:
            raise UsageError(
                f"node {self._system.name} can be observed at {self._guests.address}; one address "
                "is enough for all"
            )
        self._check_running()
        _check_directory(address)
        guests = Guests(self._system.node, self._system.world, self.look, address)
        await guests.open()
        self._guests = guests
        return guests.address

    @property
    def guests(self) -> GuestStatistics | None:
        """Who looks on; None where nobody can."""
        return None if self._guests is None else self._guests.statistics()

    # -- asking --------------------------------------------------------------------------------

    async def look(self, limit: float = LIMIT) -> list[bytes]:
        """What ``state`` is made of: encoded parts, those of this node first."""
        self._check_running()
        if not limit > 0.0:
            raise UsageError(f"the limit of a look is seconds above 0, not {limit!r}")
        system, clock = self._system, self._system.world.clock
        processes = system.processes()
        asked = [process.name for process in processes if process.state == "up"]
        answers = asyncio.gather(*(self._ask(name, limit) for name in asked))
        try:
            own = []
            for part in self._parts():
                own.append(_encoder.encode(part))
                await clock.sleep(0)
            told = dict(zip(asked, await answers, strict=True))
        finally:
            answers.cancel()
        me = ProcessStatistics(system.name, os.getpid(), 1, "up", system.node.incarnation)
        head = [Part(me.name, process=me, wall=clock.wall(), now=clock.now())]
        for process in processes:
            stuck = process.name in told and told[process.name] is None
            shown = msgspec.structs.replace(process, state="stuck") if stuck else process
            head.append(Part(process.name, process=shown))
        heads = [_encoder.encode(part) for part in head]
        return [*heads, *own, *(body for parts in told.values() for body in parts or ())]

    async def _ask(self, node: str, limit: float) -> list[bytes] | None:
        """What a node tells of itself; None where it does not in time."""
        answer: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()
        numbers = []
        try:
            for _ in range(_TRIES):
                self._number += 1
                numbers.append(self._number)
                self._open[self._number] = _Question(node, answer)
                self._system.router.observe(node, self._number)
                await asyncio.wait((answer,), timeout=limit / _TRIES)
                if answer.done():
                    return answer.result()
            return None
        finally:
            for number in numbers:
                del self._open[number]

    def answered(self, peer: NodeId, number: int, body: bytes) -> None:
        """A part of an answer came; one that comes late finds nobody."""
        question = self._open.get(number)
        if question is None or question.node != peer.name:
            return
        try:
            answer = _answer_decoder.decode(body)
            part = bytes(answer.part)
            if _decoder.decode(part).name == peer.name:
                question.take(answer, part)
        except msgspec.DecodeError as error:
            _log.warning("%s told something of itself that cannot be read: %s", peer, error)

    # -- answering -----------------------------------------------------------------------------

    def asked(self, link: Link[Item], number: int) -> None:
        """A node asks, again perhaps: what it is being answered will do."""
        if link.peer in self._answering:
            return
        task = asyncio.get_running_loop().create_task(
            self._answer(link, number), name=f"answer {link.peer}"
        )
        self._answering[link.peer] = task
        task.add_done_callback(lambda done: self._ended(link.peer, done))

    def _ended(self, peer: NodeId, task: asyncio.Task[None]) -> None:
        del self._answering[peer]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("%s could not be told the live state", peer, exc_info=error)

    async def _answer(self, link: Link[Item], number: int) -> None:
        index, waiting = 0, None
        try:
            for part in self._parts():
                if waiting is not None:
                    await self._tell(link, number, _Answer(index, False, waiting))
                    index += 1
                waiting = msgspec.Raw(_encoder.encode(part))
            assert waiting is not None
            await self._tell(link, number, _Answer(index, True, waiting))
        except (LinkClosed, LinkFull, MessageTooLarge) as error:
            # Who asked shows this node as one that did not answer.
            _log.debug("%s is not told the live state: %s", link.peer, error)

    @staticmethod
    async def _tell(link: Link[Item], number: int, answer: _Answer) -> None:
        body = _encoder.encode(answer)
        await link.drain("control")  # in turns with all else that the loop has to do
        link.send(Item(0, 0, wire.OBSERVED, body, number), len(body) + wire.OVERHEAD)

    def _parts(self) -> Iterator[Part]:
        """What this node tells of itself, in parts; those who ask pause between them."""
        system = self._system
        cells = list(system.cells.values())
        name, told = system.name, cells[:MOST_ACTORS]
        more = len(cells) - len(told)
        yield Part(name, system=system.statistics(actors=False), more=more)
        some: list[CellStatistics] = []
        weight = 0
        for cell in told:
            if cell.gone is not None:  # in one of the pauses
                continue
            some.append(cell.statistics())
            weight += 1 + len(some[-1].noted) + len(cell.path) // _LONG
            if weight >= _PART:
                yield Part(name, actors=tuple(some))
                some, weight = [], 0
        if some:
            yield Part(name, actors=tuple(some))

    # -- ending --------------------------------------------------------------------------------

    def _check_running(self) -> None:
        if not self._system.running:
            raise UsageError(
                f"node {self._system.name} does not run: its live state is known from its start "
                "to its close"
            )

    async def close(self) -> None:
        """Nobody is shown anything any more."""
        if self._guests is not None:
            await self._guests.close()
        answering = list(self._answering.values())
        for task in answering:
            task.cancel()
        await asyncio.gather(*answering, return_exceptions=True)

    def __repr__(self) -> str:
        return f"<Observing {self._system.name} asks={len(self._open)} {self._guests!r}>"


def _check_directory(address: str) -> None:
    # Whoever links makes its directory; one that is mistyped here would be made, and looked for.
    scheme, _, path = address.partition("://")
    directory = Path(path).parent
    if scheme == "ipc" and directory.is_absolute() and not directory.is_dir():
        msg = (
            f"directory {str(directory)!r} of {address!r} does not exist; make it, for this user "
            "alone (mode 700), or name another"
        )
        raise UsageError(msg)
