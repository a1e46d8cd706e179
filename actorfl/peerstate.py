"""What a node without a centre makes durable: its model, its state, and what it sent and knows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np

from actorfl.algorithm import Scalar, check_travels
from actorfl.delivery import Kept, Known, Tag
from actorfl.flatmodel import Model
from actorfl.layout import Layout
from actorfl.letters import Told
from actorfl.mean import Mean
from actorfl.protocol import pack, unpack
from actorfl.terms import Array
from actorfl.traffic import Traffic
from actors import Snapshots
from transports import TensorSpec, Weights


@dataclass(frozen=True)
class Saved:
    """What a node goes on from.

    Attributes:
        rounds: rounds that are done.
        weights: its model.
        state: what else its program keeps.
        saves: how many there were, with this one.
        kept: what it sent and keeps.
        known: what it knows of its neighbours' letters.
        told: rounds whose lines may not be written: as many as the node is ahead of the slowest,
            each of some 30 bytes and its metrics.
        final: metrics of the final model; None while its program runs.
        loss: mean training loss of the round that is under way.
        traffic: what it sent in that round.
    """

    rounds: int
    weights: Model
    state: Mapping[str, Array | Scalar] = field(default_factory=dict)
    saves: int = 0
    kept: tuple[Kept[Weights], ...] = ()
    known: Mapping[str, Known] = field(default_factory=dict)
    told: tuple[Told, ...] = ()
    final: Mapping[str, Mean] | None = None
    loss: Mean = field(default_factory=Mean)
    traffic: Traffic = field(default_factory=Traffic)


class _Header(msgspec.Struct, frozen=True, array_like=True):
    """All of it but the arrays: ``model/...``, ``state/<name>`` and ``kept/<place>/...``.

    What goes to several neighbours is kept once; ``places`` says where that of each letter lies,
    without it each lies at its own place.
    """

    identity: str
    rounds: int
    saves: int
    layout: Layout
    arrays: tuple[TensorSpec, ...]
    scalars: dict[str, Scalar]
    kept: tuple[tuple[str, Tag, int], ...]
    known: tuple[tuple[str, int, tuple[tuple[Tag, int], ...]], ...]
    told: tuple[Told, ...]
    final: dict[str, Mean] | None
    loss: Mean = Mean()
    places: tuple[int, ...] | None = None
    traffic: Traffic = msgspec.field(default_factory=Traffic)


async def save(snapshots: Snapshots, identity: str, saved: Saved) -> None:
    """Make it durable; its counter is the number of the save.

    Raises:
        StorageError: the storage refused.
        ValueError: something in the state does not travel.
    """
    check_travels(saved.state)
    arrays = _named("model", pack(saved.weights.vector, saved.weights.buffers))
    scalars: dict[str, Scalar] = {}
    for name, value in saved.state.items():
        if isinstance(value, np.ndarray):
            arrays[f"state/{name}"] = value
        else:
            scalars[name] = value
    contents: dict[int, int] = {}  # where each lies, by its id: none is freed meanwhile
    for one in saved.kept:
        if id(one.content) not in contents:
            contents[id(one.content)] = place = len(contents)
            arrays.update(_named(f"kept/{place}", one.content))
    packed = Weights.of(arrays)
    header = _Header(
        identity,
        saved.rounds,
        saved.saves,
        saved.weights.layout,
        packed.layout,
        scalars,
        tuple((one.to, one.tag, one.epoch) for one in saved.kept),
        tuple((name, one.floor, tuple(one.received.items())) for name, one in saved.known.items()),
        saved.told,
        None if saved.final is None else dict(saved.final),
        saved.loss,
        tuple(contents[id(one.content)] for one in saved.kept),
        saved.traffic,
    )
    await snapshots.save(saved.saves, msgspec.msgpack.encode(header), [packed.buffer])


async def load(snapshots: Snapshots, identity: str) -> Saved | None:
    """The newest save that is whole, or None.

    Raises:
        ValueError: it belongs to another run.
    """
    found = await snapshots.latest()
    if found is None:
        return None
    header = msgspec.msgpack.decode(found.header, type=_Header)
    if header.identity != identity:
        raise ValueError(f"the snapshots here belong to another run ({header.identity})")
    packed = Weights(header.arrays, found.arrays[0])
    # Copied: the arrays of a snapshot are views of its file's bytes.
    arrays = {name: np.array(packed[name]) for name in packed.names()}
    vector, integers, _ = unpack(_taken("model", arrays))
    places = range(len(header.kept)) if header.places is None else header.places
    contents = {place: _taken(f"kept/{place}", arrays) for place in sorted(set(places))}
    return Saved(
        header.rounds,
        Model(header.layout, vector, integers),
        {**_below("state", arrays), **header.scalars},
        header.saves,
        tuple(
            Kept(to, tag, epoch, contents[place])
            for place, (to, tag, epoch) in zip(places, header.kept, strict=True)
        ),
        {name: Known(floor, dict(received)) for name, floor, received in header.known},
        header.told,
        header.final,
        header.loss,
        header.traffic,
    )


def _named(prefix: str, weights: Weights) -> dict[str, Array]:
    return {f"{prefix}/{name}": weights[name] for name in weights.names()}


def _below(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    start = f"{prefix}/"
    return {name.removeprefix(start): a for name, a in arrays.items() if name.startswith(start)}


def _taken(prefix: str, arrays: Mapping[str, Array]) -> Weights:
    return Weights.of(_below(prefix, arrays))


def tags_of(kept: Iterable[Kept[Weights]]) -> tuple[tuple[Tag, int], ...]:
    """(tag, epoch) of each."""
    return tuple((one.tag, one.epoch) for one in kept)
