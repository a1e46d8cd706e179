"""Bugs of what survives a kill, and when it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from actorfl import checkpoint
from actorfl.aggregator import Aggregator
from actorfl.algorithm import Mine, ServerState
from actorfl.checkpoint import Header
from actorfl.protocol import Go
from actorfl.worker import Worker
from actors import Snapshots
from actors.snapshot import Snapshot
from actors.storage import Storage

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# -- forget a restored clock -----------------------------------------------------------------------


class ForgetsItsClock(Aggregator):
    """A restored model is trained from the first clock on again."""

    def _take_up(self, header: Header, state: ServerState) -> None:
        super()._take_up(header, state)
        self._rounds.clock = 0


# -- non-atomic snapshot ---------------------------------------------------------------------------


class InTwoFiles(Snapshots):
    """Header and arrays are replaced one after the other: a kill between leaves some of each."""

    def __init__(self, storage: Storage, name: str, incarnation: int) -> None:
        super().__init__(storage, name, incarnation)
        self._files = storage
        self._header, self._arrays = f"{name}/header", f"{name}/arrays"

    async def save(self, counter: int, header: bytes, arrays: Sequence[ReadableBuffer]) -> None:
        head = msgspec.msgpack.encode((counter, header))
        body = msgspec.msgpack.encode([bytes(array) for array in arrays])
        await self._files.write(self._header, [head])
        await self._files.write(self._arrays, [body])

    async def latest(self, upto: int | None = None) -> Snapshot | None:
        head, body = await self._files.read(self._header), await self._files.read(self._arrays)
        if head is None or body is None:
            return None
        counter, header = msgspec.msgpack.decode(head, type=tuple[int, bytes])
        arrays = tuple(memoryview(array) for array in msgspec.msgpack.decode(body))
        return Snapshot(counter, 0, header, arrays)


class SavesInTwoFiles(Aggregator):
    """Its checkpoints are not atomic."""

    def _checkpoints(self) -> Snapshots:
        return InTwoFiles(self.storage, checkpoint.FOLDER, self.system.generation)


# -- ack before persist ----------------------------------------------------------------------------


class SavesLater(Worker):
    """Its part leaves before the state is durable that goes with it."""

    _unsaved: tuple[int, Mine, int] | None = None

    async def _keep(self, clock: int, after: Mine, since: int) -> None:
        self._unsaved = clock, after, since

    async def go(self, message: Go) -> None:
        unsaved, self._unsaved = self._unsaved, None
        if unsaved is not None:
            await super()._keep(*unsaved)
        await super().go(message)
