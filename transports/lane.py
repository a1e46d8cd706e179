"""One direction of a lane, as pure state: byte window, sequence numbers, acknowledgements, loss.

Sequence numbers start at 1 and continue over the epochs of a link, so every loss has a name.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from transports.errors import ProtocolError

Range = tuple[int, int]
"""First and last sequence number, both included."""


@dataclass(frozen=True, slots=True)
class Lost:
    """What a link cannot vouch for: it may have arrived or not.

    Attributes:
        control: ranges of sequence numbers of the control lane that left and were not
            acknowledged.
        bulk: ranges of transfer numbers that began and were not acknowledged.
        unsent: control messages that never left; only when the link has ended.
        items: these messages, in the order in which they were sent.
        taken_control: ranges that the peer has acknowledged and passed on, since the beginning,
            with those that earlier connections lost; only when the link has ended.
        taken_bulk: the same of the transfers, with those that the peer refused.
    """

    control: tuple[Range, ...] = ()
    bulk: tuple[Range, ...] = ()
    unsent: int = 0
    items: tuple[object, ...] = ()
    taken_control: tuple[Range, ...] = ()
    taken_bulk: tuple[Range, ...] = ()

    @property
    def messages(self) -> int:
        """Control messages that left and were not acknowledged."""
        return sum(last - first + 1 for first, last in self.control)

    @property
    def transfers(self) -> int:
        """Transfers that began and were not acknowledged."""
        return sum(last - first + 1 for first, last in self.bulk)


def ranges_of(numbers: Sequence[int]) -> tuple[Range, ...]:
    """Ascending numbers as ranges, as few as possible."""
    ranges: list[Range] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return tuple(ranges)


def ranges_without(numbers: Sequence[int], last: int) -> tuple[Range, ...]:
    """The ranges from 1 to ``last`` that hold none of these ascending numbers."""
    ranges: list[Range] = []
    first = 1
    for number in (*numbers, last + 1):
        if first < number:
            ranges.append((first, number - 1))
        first = number + 1
    return tuple(ranges)


class Sending:
    """The sender's side: what left, how much of it is unacknowledged.

    Bytes are the caller's estimates, counted equally on both ends of the window, so they need not
    agree with the receiver's count.
    """

    __slots__ = ("acked", "acked_bytes", "last", "lost", "marks", "sent_bytes")

    def __init__(self) -> None:
        self.last = 0
        """Sequence number of the last item that left."""
        self.acked = 0
        """Sequence number up to which the receiver has everything, or which was given up."""
        self.sent_bytes = 0
        """Bytes that left, since the beginning."""
        self.acked_bytes = 0
        """Bytes that left and were acknowledged or given up, since the beginning."""
        self.lost = 0
        """Items given up by cuts."""
        # Last sequence number and sent_bytes after each batch in flight; bounded by the window.
        self.marks: deque[tuple[int, int]] = deque()

    @property
    def in_flight(self) -> int:
        """Bytes that left and are unacknowledged."""
        return self.sent_bytes - self.acked_bytes

    def sent(self, count: int, nbytes: int) -> None:
        """A batch of ``count`` items left, ``nbytes`` by estimate."""
        self.last += count
        self.sent_bytes += nbytes
        self.marks.append((self.last, self.sent_bytes))

    def acknowledge(self, upto: int) -> bool:
        """The receiver has everything up to ``upto``.

        Returns:
            Whether that was news.

        Raises:
            ProtocolError: it acknowledges what never left; an old acknowledgement is no error.
        """
        if upto <= self.acked:
            return False
        if upto > self.last:
            raise ProtocolError(
                "sequence", f"message {upto} was acknowledged and {self.last} is the last sent"
            )
        self.acked = upto
        marks = self.marks
        while marks and marks[0][0] <= upto:
            self.acked_bytes = marks.popleft()[1]
        return True

    def cut(self) -> Range | None:
        """The connection is gone: give up what is unacknowledged.

        Returns:
            The range given up, None when all was acknowledged.
        """
        lost = (self.acked + 1, self.last) if self.acked < self.last else None
        self.lost += self.last - self.acked
        self.acked = self.last
        self.acked_bytes = self.sent_bytes
        self.marks.clear()
        return lost


class Receiving:
    """The receiver's side: what came, what was missed."""

    __slots__ = ("acked", "last", "missed")

    def __init__(self) -> None:
        self.last = 0
        """Sequence number of the last item received, or missed."""
        self.acked = 0
        """Sequence number that was last acknowledged to the sender."""
        self.missed = 0
        """Items of the sender that never came."""

    def resume(self, first: int) -> None:
        """A new connection begins; the sender's next item is ``first``.

        Raises:
            ProtocolError: ``first`` was received already.
        """
        if first <= self.last:
            raise ProtocolError(
                "sequence", f"a connection begins with item {first} and {self.last} was received"
            )
        self.missed += first - 1 - self.last
        self.last = self.acked = first - 1

    def receive(self, first: int, count: int) -> int:
        """Items ``first`` to ``first + count - 1`` came.

        Returns:
            How many of them, from the front, were received before and must be dropped.

        Raises:
            ProtocolError: ``first`` is no sequence number.
        """
        expected = self.last + 1
        if first == expected:
            self.last += count
            return 0
        if first < 1:
            raise ProtocolError("sequence", f"{first} is no sequence number")
        if first > expected:
            self.missed += first - expected
            self.last = first + count - 1
            return 0
        self.last = max(self.last, first + count - 1)
        return min(count, expected - first)
