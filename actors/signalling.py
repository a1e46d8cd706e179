"""System signals between two nodes, reliably in order: numbered, acknowledged, resent.

Pure: it is told what to send and what came, and says what has to be on the wire.
"""

from __future__ import annotations

from collections import deque

#: Signals waiting for their acknowledgement. A peer that lets so many pile up is not reading;
#: beyond it the peer is given up rather than this node's memory.
MAX_UNACKNOWLEDGED = 10_000


class Signalling:
    """One direction pair of signals with one incarnation of a peer."""

    def __init__(self) -> None:
        self._next = 0
        self._unacknowledged: deque[tuple[int, bytes, int]] = deque()
        self._received = 0
        self.duplicates = 0
        self.gaps = 0

    def send(self, to: int, body: bytes) -> int:
        """Number a signal and keep it until it is acknowledged.

        Raises:
            OverflowError: the peer has stopped acknowledging.
        """
        if len(self._unacknowledged) >= MAX_UNACKNOWLEDGED:
            raise OverflowError(f"{MAX_UNACKNOWLEDGED} system signals are unacknowledged")
        self._next += 1
        self._unacknowledged.append((self._next, body, to))
        return self._next

    def acknowledged(self, upto: int) -> None:
        """The peer has everything up to this number."""
        while self._unacknowledged and self._unacknowledged[0][0] <= upto:
            self._unacknowledged.popleft()

    def to_resend(self) -> list[tuple[int, bytes, int]]:
        """(number, body, receiver) of all that may have been lost, in order."""
        return list(self._unacknowledged)

    def receive(self, number: int) -> bool:
        """Whether a signal that came is the next one.

        Duplicates and signals after a gap are not taken: the peer sends them again, in order.
        """
        if number <= self._received:
            self.duplicates += 1
            return False
        if number != self._received + 1:
            self.gaps += 1
            return False
        self._received = number
        return True

    @property
    def received(self) -> int:
        """What to acknowledge: everything up to this number has come."""
        return self._received

    def __repr__(self) -> str:
        waiting = len(self._unacknowledged)
        return f"<Signalling sent={self._next} open={waiting} received={self._received}>"
