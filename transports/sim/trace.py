"""A record of what arrived where and when, whose digest tells two simulations apart."""

from __future__ import annotations

import hashlib
import struct
from collections import deque
from typing import Final

import msgspec

TRACE_VERSION: Final = 3
"""Of what is hashed, and of what a simulation sends for the same program: digests of different
versions differ, whatever happened. It grows with each change of either."""

_RECORD: Final = struct.Struct("<QQQQ")
_NUMBERS: Final = 4
"""Of each record."""

TOGETHER: Final = 256 * _NUMBERS
"""Numbers hashed at once: each event by itself would cost as much as all else about it."""


class Event(msgspec.Struct, frozen=True):
    """One thing that happened on the simulated network. No number reaches 2**64.

    Attributes:
        ns: virtual nanoseconds at which it arrived, was refused or ended.
        source: name of the node it came from.
        target: name of the node it went to.
        label: lane and what it is, e.g. "control batch", "bulk chunk", "control connect",
            "control refuse", "bulk end", "bulk cut"; "local" instead of the lane within a node.
        number: of the message on its connection and direction, or of the connection.
        size: bytes of the message's parts.
    """

    ns: int
    source: str
    target: str
    label: str
    number: int
    size: int


class Way:
    """What a series of events has in common.

    Args:
        source: see ``Event``.
        target: see ``Event``.
        label: see ``Event``.
    """

    __slots__ = ("key", "label", "source", "target")

    def __init__(self, source: str, target: str, label: str) -> None:
        self.source = source
        self.target = target
        self.label = label
        # Lengths before texts, so that no two ways give the same bytes.
        text = f"{len(source)}:{source} {len(target)}:{target} {len(label)}:{label}"
        #: What it is written as.
        self.key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


class Trace:
    """A running SHA-256 over all events, and the last of them.

    Equal digests mean the same messages at the same times, whatever the machine, the process or
    ``PYTHONHASHSEED``.

    Args:
        keep: events to hold on to; a long simulation has more than fit into memory.
    """

    def __init__(self, keep: int = 0) -> None:
        self._digest = hashlib.sha256(b"trace %d\n" % TRACE_VERSION)
        #: The numbers of the records that were not hashed yet; see ``note``.
        self.noted: list[int] = []
        #: Of the last events, the newest last; and what was noted of those that were hashed.
        self.ways: deque[Way] = deque(maxlen=keep)
        self._hashed = b""
        self._count = 0

    def record(self, event: Event) -> None:
        """Add an event."""
        way = Way(event.source, event.target, event.label)
        self.note(event.ns, way, event.number, event.size)

    def note(self, ns: int, way: Way, number: int, size: int) -> None:
        """Add an event; see ``Event``."""
        noted = self.noted
        noted += (ns, way.key, number, size)
        self.ways.append(way)
        if len(noted) >= TOGETHER:
            self.hash()

    def hash(self) -> None:
        """Hash what was noted; to be called once that is ``TOGETHER`` numbers."""
        noted = self.noted
        data = struct.pack(f"<{len(noted)}Q", *noted)
        self._digest.update(data)
        self._count += len(noted) // _NUMBERS
        kept = len(self.ways) * _RECORD.size
        self._hashed = (self._hashed + data)[-kept:] if kept else b""
        noted.clear()

    @property
    def events(self) -> tuple[Event, ...]:
        """The last events, oldest first."""
        self.hash()
        records = _RECORD.iter_unpack(self._hashed)
        return tuple(
            Event(ns, way.source, way.target, way.label, number, size)
            for way, (ns, _, number, size) in zip(self.ways, records, strict=True)
        )

    def __len__(self) -> int:
        """Events recorded, kept or not."""
        return self._count + len(self.noted) // _NUMBERS

    def hexdigest(self) -> str:
        """The SHA-256 of all events so far, in hexadecimal."""
        self.hash()
        return self._digest.hexdigest()

    def __repr__(self) -> str:
        return f"<Trace events={len(self)} digest={self.hexdigest()[:12]}>"
