"""System signals between two nodes, reliably in order: numbered, acknowledged, resent.

Pure: it is told what to send and what came, and says what has to be on the wire.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice

#: Signals waiting for their acknowledgement. A peer that lets so many pile up is not reading;
#: beyond it the peer is given up rather than this node's memory. Far above the largest burst, which
#: is a node that is told to make all its actors at once.
MAX_UNACKNOWLEDGED = 100_000


class Signalling:
    """One direction pair of signals with one incarnation of a peer."""

    def __init__(self) -> None:
        self._next = 0
        #: Up to this number all is on the wire or acknowledged.
        self.wired = 0
        self._unacknowledged: deque[tuple[int, bytes, int]] = deque()
        self._received = 0
        self.duplicates = 0
        self.gaps = 0

    @property
    def exhausted(self) -> bool:
        """Whether the peer has stopped acknowledging: nothing more is kept for it."""
        return len(self._unacknowledged) >= MAX_UNACKNOWLEDGED

    def send(self, to: int, body: bytes) -> int:
        """Number a signal and keep it until it is acknowledged."""
        assert not self.exhausted
        self._next += 1
        self._unacknowledged.append((self._next, body, to))
        return self._next

    def acknowledged(self, upto: int) -> None:
        """The peer has everything up to this number."""
        while self._unacknowledged and self._unacknowledged[0][0] <= upto:
            self._unacknowledged.popleft()
        self.wired = max(self.wired, self.confirmed)

    @property
    def confirmed(self) -> int:
        """The peer has everything up to this number."""
        return self._next - len(self._unacknowledged)

    @property
    def waits(self) -> bool:
        """Whether anything is not acknowledged."""
        return bool(self._unacknowledged)

    def oldest(self, count: int) -> list[tuple[int, bytes, int]]:
        """(number, body, receiver) of what may have been lost, the oldest first."""
        return list(islice(self._unacknowledged, count))

    def unsent(self) -> Iterator[tuple[int, bytes, int]]:
        """(number, body, receiver) of what is not on the wire, in order; see ``wired``."""
        return islice(self._unacknowledged, self.wired - self.confirmed, None)

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
