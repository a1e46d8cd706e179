"""Who waits for whom: the chain of an ask, and the names of those in it.

What travels with an ask is a chain of uids. Their names are looked up only where the chain turns
out to be a circle: each node knows the paths of its own actors, and where their asks came from.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from actors import item as wire
from actors.cell import CURRENT
from actors.errors import AskError
from actors.item import Item, Refusal
from actors.message import Message
from actors.ref import ActorRef
from transports import Link, LinkClosed, LinkFull

if TYPE_CHECKING:
    from actors.system import ActorSystem

T = TypeVar("T")
_encoder = msgspec.msgpack.Encoder()

MAX_CHAIN: Final = 16
"""Actors that may wait for each other in a row: each holds up a mailbox."""

_SECONDS: Final = 1.0
"""For all the names of a chain; whoever waits for the refusal waits that much longer at most."""


class Waiting(msgspec.Struct, array_like=True, frozen=True):
    """What a node knows of a chain.

    Attributes:
        paths: of its actors at the end of the chain, innermost first.
        node: where the ask came from that the last of these is working on.
    """

    paths: list[str]
    node: str


class WhoWaits(Message[Waiting]):
    """Asked of a node: the names of a chain's innermost actors, as far as they live there."""

    uids: list[int]


def waiting(system: ActorSystem, uids: list[int]) -> Waiting:
    """The answer of this node."""
    paths: list[str] = []
    node = ""
    for uid in reversed(uids[-MAX_CHAIN - 1 :]):
        cell = system.cells.get(uid)
        if cell is None:
            break
        paths.append(cell.path)
        current = cell.current
        node = current.link.peer.name if current is not None and current.link is not None else ""
    return Waiting(paths, node)


def known_names(system: ActorSystem, chain: tuple[int, ...]) -> str:
    """A chain with the names that this node knows by itself."""
    cells = system.cells
    return " -> ".join(cells[uid].path if uid in cells else f"uid {uid:x}" for uid in chain)


def answer_node(system: ActorSystem, link: Link[Item], item: Item) -> None:
    """Another node asks this one, and not one of its actors."""
    try:
        wanted = system.codec.decode(WhoWaits, item.body)
    except Exception as error:  # noqa: BLE001  (a garbled one costs itself alone)
        kind, answer = wire.REFUSED, _encoder.encode(Refusal("garbled", f"not for a node: {error}"))
    else:
        kind, answer = wire.REPLY, _encoder.encode(waiting(system, wanted.uids))
    with contextlib.suppress(LinkFull, LinkClosed):  # the asker's deadline tells it then
        link.send(Item(0, 0, kind, answer, item.ask), wire.OVERHEAD + len(answer))


async def drawn(system: ActorSystem, chain: tuple[int, ...], last: ActorRef) -> str:
    """A chain as people read it, ``/a -> /b -> /a``; an actor that cannot be named is a uid."""
    left = list(chain)
    names = [last.path]
    node = system.name
    try:
        async with asyncio.timeout(_SECONDS):
            while left:
                found = await _waiting_at(system, node, left)
                if not found.paths:
                    break
                names += found.paths[: len(left)]
                del left[-len(found.paths) :]
                node = found.node
    except (AskError, TimeoutError):
        pass  # that node is gone, or busy
    names += [last.path if uid == last.uid else f"uid {uid:x}" for uid in reversed(left)]
    return " -> ".join(reversed(names))


async def _waiting_at(system: ActorSystem, node: str, uids: list[int]) -> Waiting:
    if node == system.name:
        return waiting(system, uids)
    if not node:
        return Waiting([], "")
    # In a context without the actor that asks: this ask is no part of its chain.
    context = contextvars.copy_context()
    context.run(CURRENT.set, None)
    ask = system.sender.ask(ActorRef(system, node, "/", 0), WhoWaits(uids), _SECONDS)
    return await asyncio.get_running_loop().create_task(ask, context=context)


class _OfThread(threading.local):
    chain: tuple[int, ...] = ()


_of_thread = _OfThread()


def chained(call: Callable[[Any], T]) -> Callable[[Any], T]:
    """A call in a thread that asks for the actor which waits for it here."""
    sender = CURRENT.get()
    chain = () if sender is None else (*sender.chain, sender.uid)

    def carry(instance: Any) -> T:
        _of_thread.chain = chain
        try:
            return call(instance)
        finally:
            _of_thread.chain = ()

    return carry


def chain_of_thread() -> tuple[int, ...]:
    """The actors that wait for the call that this thread makes."""
    return _of_thread.chain
