"""The last small transfer of a connection: what goes to many actors of a node goes there once.

Both ends remember it, so that the next transfers with the same arrays need no more than its number.
What left on a connection arrives there in order or the connection ends, and then both forget.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence

from transports.errors import ProtocolError
from transports.weights import Layout, Weights, aligned_empty, layout_nbytes


class Sent:
    """What its sender remembers; it holds no memory of whoever is done with their weights.

    Attributes:
        number: of the transfer.
    """

    __slots__ = ("_arrays", "number")

    def __init__(self) -> None:
        self.number = 0
        self._arrays: tuple[weakref.ref[Weights], ...] = ()

    def left(self, number: int, arrays: Sequence[Weights]) -> None:
        """A transfer with these arrays has left whole."""
        self.number = number
        self._arrays = tuple(map(weakref.ref, arrays))

    def forget(self) -> None:
        """The peer may not have it."""
        self._arrays = ()

    def holds(self, arrays: Sequence[Weights]) -> bool:
        """Whether it had these arrays, and some; the very same objects, which never change."""
        known = self._arrays
        if not known or len(known) != len(arrays):
            return False
        return all(of() is each for of, each in zip(known, arrays, strict=True))


class Received:
    """What its receiver remembers: at most ``Limits.inline`` bytes."""

    __slots__ = ("_layouts", "_memory", "_number")

    def __init__(self) -> None:
        self._number = 0
        self._layouts: Sequence[Layout] = ()
        self._memory: memoryview | None = None

    def came(self, number: int, layouts: Sequence[Layout], body: bytes) -> list[Weights]:
        """A transfer came whole.

        Args:
            number: its number.
            layouts: one for each ``Weights``, checked.
            body: the buffers of all, one after the other.
        """
        # A copy: a body lies anywhere in its frame, and arrays on boundaries of their own.
        memory = aligned_empty(len(body)).data
        memory[:] = body
        self._number, self._layouts, self._memory = number, layouts, memory
        return cut_weights(layouts, memory)

    def forget(self) -> None:
        """The connection has ended, or what came was refused."""
        self._memory = None

    def again(self, number: int) -> list[Weights]:
        """The arrays of the last transfer, in the same memory.

        Raises:
            ProtocolError: reason "transfer": another one came last, or none.
        """
        if self._memory is None or number != self._number:
            raise ProtocolError("transfer", f"transfer {number} is not the last that came whole")
        return cut_weights(self._layouts, self._memory)

    def __repr__(self) -> str:
        return f"<Received {'nothing' if self._memory is None else self._number}>"


def cut_weights(layouts: Sequence[Layout], buffer: memoryview) -> list[Weights]:
    """Weights over consecutive parts of one buffer; each part is a multiple of 64 bytes."""
    if len(layouts) == 1:
        return [Weights(layouts[0], buffer)]
    weights: list[Weights] = []
    start = 0
    for layout in layouts:
        end = start + layout_nbytes(layout)
        weights.append(Weights(layout, buffer[start:end]))
        start = end
    return weights
