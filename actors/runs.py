"""Tells in a row from one actor to another of its node, as one item that grows until it leaves.

A message of its own costs an item, a string of bytes and a decoding each; in a run the last tell
appends to the bytes of the one before, and one decoding reads them all. Only within a node: items
to other nodes are numbered one by one, so that each that is lost is known.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from actors.item import TELL, TELLS, Item
from actors.message import CONTROL

if TYPE_CHECKING:
    from actors.cell import Cell
    from actors.ref import ActorRef

_HEAD: Final = struct.Struct(">BI")  # MessagePack's head of an array
_ARRAY: Final = 0xDD

_each = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


_NOTHING: Final[list[Item]] = []


class Run:
    """The one that still grows: the last item of the queue of a node to itself.

    Attributes:
        ref: to whom; None where nothing grows.
        cell: who tells.
        item: what was told first.
        queue: what the item is the last of, as long as it grows.
        kind: type of the message told last; it travels on the control lane.
        bodies: the messages, encoded.
    """

    __slots__ = ("bodies", "cell", "item", "kind", "queue", "ref")

    def __init__(self) -> None:
        self.ref: ActorRef | None = None
        self.cell: Cell | None = None
        self.queue = _NOTHING
        self.item: Item | None = None
        self.kind: type | None = None
        self.bodies: list[bytes] = []

    def begin(self, ref: ActorRef, cell: Cell | None, queue: list[Item]) -> None:
        """A tell was queued, and others may follow it."""
        self.end()
        self.ref, self.cell, self.queue, self.item = ref, cell, queue, queue[-1]
        self.bodies.append(self.item.body)

    def takes(self, kind: type) -> bool:
        """Whether a message of another type than the last may follow."""
        if kind in CONTROL:
            self.kind = kind
            return True
        return False

    def end(self) -> None:
        """It leaves, or another item follows it."""
        item, bodies = self.item, self.bodies
        if item is not None:
            if len(bodies) > 1:
                item.kind, item.ask, item.body = TELLS, len(bodies), b"".join(bodies)
            self.bodies = []
        self.ref = self.item = self.cell = None
        self.queue = _NOTHING


def messages_of(run: Item, decode: Callable[[bytes], list[Any]]) -> list[Any]:
    """What an item of kind ``TELLS`` holds.

    Args:
        run: the item.
        decode: reads a list of messages.

    Raises:
        Exception: one of them cannot be read; what checks a message is the user's own code.
    """
    return decode(_HEAD.pack(_ARRAY, run.ask) + run.body)


def items_of(run: Item) -> list[Item]:
    """The messages of an item of kind ``TELLS``, each as an item of its own."""
    return [Item(run.to, run.sender, TELL, bytes(raw)) for raw in messages_of(run, _each)]
