"""Hand-over of arrays within one process: the object passes through a table, nothing is copied."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final

from transports.identity import NodeId
from transports.weights import Weights


class HandoverTable:
    """Arrays that wait to be picked up, each under a random token and for one link alone."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, tuple[NodeId, NodeId, list[Weights]]] = {}

    def put(self, token: bytes, source: NodeId, target: NodeId, weights: Sequence[Weights]) -> None:
        """Leave arrays for ``target``; each gets an object of its own over the same memory."""
        self._waiting[token] = (source, target, [each.share() for each in weights])

    def take(self, token: bytes, source: NodeId, target: NodeId) -> list[Weights] | None:
        """Pick arrays up; None when this link left nothing under this token."""
        entry = self._waiting.get(token)
        if entry is None or entry[:2] != (source, target):
            return None
        del self._waiting[token]
        return entry[2]

    def discard(self, token: bytes) -> None:
        """Forget arrays that nobody will pick up."""
        self._waiting.pop(token, None)

    def __len__(self) -> int:
        return len(self._waiting)

    def __repr__(self) -> str:
        return f"<HandoverTable waiting={len(self._waiting)}>"


PROCESS: Final = HandoverTable()
"""The table of this process; all its endpoints share it, as they share its memory."""

PROCESS_TOKEN: Final = secrets.token_bytes(16)
"""Told to peers over inproc:// only: who sends it back is in this process."""
