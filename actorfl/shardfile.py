"""What a shard makes durable of each version, before the root does of the whole."""

from __future__ import annotations

import msgspec
import numpy as np

from actorfl.algorithm import Algorithm, ServerState, StateHeader
from actorfl.checkpoint import down_of
from actorfl.layout import Layout
from actorfl.slices import joined
from actors import Snapshots, Storage
from actors.snapshot import KEPT
from transports import TensorSpec, Weights

#: Snapshots of a shard: that of a version which the root has not made durable yet, and one for
#: each of the root's.
KEPT_OF_SHARD = KEPT + 1


def folder_of(shard: int) -> str:
    """Where the snapshots of a shard lie in the storage of its run."""
    return f"snapshots/shard{shard}"


class Header(msgspec.Struct, frozen=True, array_like=True):
    """All of a snapshot but its arrays.

    Attributes:
        identity: of the run.
        version: of the model.
        layout: of the shard's piece.
        state: of the algorithm.
        arrays: layout of the saved arrays.
    """

    identity: str
    version: int
    layout: Layout
    state: StateHeader
    arrays: tuple[TensorSpec, ...] = ()


class Saved(msgspec.Struct, frozen=True):
    """A header and the state that its arrays are part of."""

    header: Header
    state: ServerState


async def save(snapshots: Snapshots, header: Header, state: ServerState) -> None:
    """Make a version durable.

    Args:
        snapshots: of the shard.
        header: ``state`` and ``arrays`` in it are replaced by what fits.
        state: the piece of the model and the algorithm's state.
    """
    state_header, arrays = state.to_wire()
    packed = Weights.of(arrays)
    whole = msgspec.structs.replace(header, state=state_header, arrays=packed.layout)
    await snapshots.save(header.version, msgspec.msgpack.encode(whole), [packed.buffer])


async def load(snapshots: Snapshots, upto: int) -> Saved | None:
    """The newest whole version up to one, or None."""
    found = await snapshots.latest(upto)
    if found is None:
        return None
    header = msgspec.msgpack.decode(found.header, type=Header)
    packed = Weights(header.arrays, found.arrays[0])
    # Copied: the arrays of a snapshot are views of its file's bytes.
    arrays = {name: np.array(packed[name]) for name in packed.names()}
    return Saved(header, ServerState.from_wire(header.state, arrays))


async def down_at(
    storage: Storage, algorithm: Algorithm, shards: int, version: int
) -> Weights | None:
    """What went down of a version, put together; None where a shard has not kept it.

    Args:
        storage: of the run, only read.
        algorithm: of the run.
        shards: how many there are.
        version: which.
    """
    pieces: list[Weights] = []
    for index in range(shards):
        found = await load(Snapshots(storage, folder_of(index), 0), version)
        if found is None or found.header.version != version:
            return None
        pieces.append(down_of(algorithm, found.state))
    return joined(pieces)
