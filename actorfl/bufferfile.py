"""Parts that were acknowledged and wait for the buffer to fill, each in a file of its own."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from actorfl import measures
from actorfl.mean import Mean
from actorfl.protocol import Put, Stamp
from actorfl.terms import Array, Terms, TermsHeader
from actors import Snapshots
from transports import TensorSpec, Weights

BUFFER = "snapshots/buffer"
"""Where they lie in the storage of their run."""


class Part(msgspec.Struct, frozen=True):
    """What one worker put of one of its clocks; its arrays are its own.

    Attributes:
        worker: its name.
        clock: of the worker.
        version: of the model that it was made from.
        examples: behind it.
        loss: its training loss.
        metrics: of the model that it was made from, on the worker's validation data.
        header: of the terms.
        arrays: of the terms by name.
    """

    worker: str
    clock: int
    version: int
    examples: int
    loss: Mean
    metrics: dict[str, Mean]
    header: TermsHeader
    arrays: Mapping[str, Array]

    @classmethod
    def of(cls, put: Put, terms: Terms) -> Part:
        """What was put, copied out of the memory that it landed in."""
        header, arrays = terms.to_wire()
        return cls(
            put.worker, put.stamp.clock, put.stamp.version, terms.examples, put.loss,
            measures.added(put.metrics_of) if put.metrics_of else put.metrics,
            header, {name: np.array(array) for name, array in arrays.items()},
        )  # fmt: skip

    def terms(self) -> Terms:
        """The terms; their arrays are not copied."""
        return Terms.from_wire(self.header, self.arrays)

    def stamp(self, run: str) -> Stamp:
        """What it was put under."""
        return Stamp(run, self.clock, self.version)


class _Header(msgspec.Struct, frozen=True, array_like=True):
    worker: str
    clock: int
    version: int
    examples: int
    loss: Mean
    metrics: dict[str, Mean]
    header: TermsHeader
    layout: tuple[TensorSpec, ...]


class BufferFile:
    """The parts of a buffer, numbered in the order in which they were taken.

    Args:
        snapshots: where they lie; it keeps at least as many as a buffer holds.
        first: the number of the first part that is in no version yet.

    Attributes:
        next: the number that the next part gets.
    """

    def __init__(self, snapshots: Snapshots, first: int) -> None:
        self._snapshots = snapshots
        self.next = first

    async def save(self, part: Part) -> None:
        """Make a part durable; it survives a kill when this returns.

        Raises:
            StorageError: the storage refused.
        """
        packed = Weights.of(dict(part.arrays))
        header = _Header(
            part.worker, part.clock, part.version, part.examples, part.loss, part.metrics,
            part.header, packed.layout,
        )  # fmt: skip
        await self._snapshots.save(self.next, msgspec.msgpack.encode(header), [packed.buffer])
        self.next += 1

    async def load(self) -> list[Part]:
        """The parts that are in no version yet, in order."""
        parts: list[Part] = []
        first, upto = self.next, None
        while True:
            found = await self._snapshots.latest(upto)
            if found is None or found.counter < first:
                return parts[::-1]
            if upto is None:
                self.next = found.counter + 1
            head = msgspec.msgpack.decode(found.header, type=_Header)
            packed = Weights(head.layout, found.arrays[0])
            arrays = {name: np.array(packed[name]) for name in packed.names()}
            parts.append(
                Part(
                    head.worker, head.clock, head.version, head.examples, head.loss, head.metrics,
                    head.header, arrays,
                )
            )  # fmt: skip
            if found.counter == 0:
                return parts[::-1]
            upto = found.counter - 1
