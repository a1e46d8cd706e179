"""A record of what arrived where and when, whose digest tells two simulations apart."""

from __future__ import annotations

import hashlib
from collections import deque
from typing import Final

import msgspec

_TOGETHER: Final = 256
"""Events written and hashed at once: each by itself would cost as much as all else about it."""


class Event(msgspec.Struct, frozen=True):
    """One thing that happened on the simulated network.

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

    __slots__ = ("label", "source", "target", "text")

    def __init__(self, source: str, target: str, label: str) -> None:
        self.source = source
        self.target = target
        self.label = label
        # Lengths before texts, so that no two lists of events give the same bytes.
        self.text = (
            f" {len(source)}:{source} {len(target)}:{target} {len(label)}:{label} "
        )  # fmt: skip


class Trace:
    """A running SHA-256 over all events, and the last of them.

    Equal digests mean the same messages at the same times, whatever the machine, the process or
    ``PYTHONHASHSEED``.

    Args:
        keep: events to hold on to; a long simulation has more than fit into memory.
    """

    def __init__(self, keep: int = 0) -> None:
        self._digest = hashlib.sha256()
        self._noted: list[tuple[int, Way, int, int]] = []
        self._kept: deque[tuple[int, Way, int, int]] = deque(maxlen=keep)
        self._count = 0

    def record(self, event: Event) -> None:
        """Add an event."""
        way = Way(event.source, event.target, event.label)
        self.note(event.ns, way, event.number, event.size)

    def note(self, ns: int, way: Way, number: int, size: int) -> None:
        """Add an event; see ``Event``."""
        noted = self._noted
        noted.append((ns, way, number, size))
        if len(noted) >= _TOGETHER:
            self._hash()

    def _hash(self) -> None:
        noted = self._noted
        lines = [f"{ns}{way.text}{number} {size}\n" for ns, way, number, size in noted]
        self._digest.update("".join(lines).encode())
        self._kept.extend(noted)
        self._count += len(noted)
        noted.clear()

    @property
    def events(self) -> tuple[Event, ...]:
        """The last events, oldest first."""
        self._hash()
        return tuple(
            Event(ns, way.source, way.target, way.label, number, size)
            for ns, way, number, size in self._kept
        )

    def __len__(self) -> int:
        """Events recorded, kept or not."""
        return self._count + len(self._noted)

    def hexdigest(self) -> str:
        """The SHA-256 of all events so far, in hexadecimal."""
        self._hash()
        return self._digest.hexdigest()

    def __repr__(self) -> str:
        return f"<Trace events={len(self)} digest={self.hexdigest()[:12]}>"
