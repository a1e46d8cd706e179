"""What a node of gossip learning makes durable now and then."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from actorfl.gossip.learner import Learned
from actorfl.layout import Layout
from actors import Snapshots


@dataclass(frozen=True)
class Saved:
    """What a node goes on from.

    Attributes:
        layout: of its model.
        learned: model, ages and tokens.
        time: seconds since the run began.
        round: evaluations that were due.
        sent: messages sent in all.
        content: bytes of what is learned in them.
        merged: models merged in all.
        refused: messages that it could make nothing of.
    """

    layout: Layout
    learned: Learned
    time: float = 0.0
    round: int = 0
    sent: int = 0
    content: int = 0
    merged: int = 0
    refused: int = 0


class _Header(msgspec.Struct, frozen=True, array_like=True):
    identity: str
    layout: Layout
    ages: list[float]
    tokens: list[int]
    order: list[int]
    next: int
    time: float
    round: int
    sent: int
    content: int
    merged: int
    refused: int


async def save(snapshots: Snapshots, counter: int, identity: str, saved: Saved) -> None:
    """Make it durable.

    Args:
        snapshots: of the node.
        counter: higher than that of all saves before.
        identity: of the run.
        saved: what is kept.

    Raises:
        StorageError: the storage refused.
    """
    learned = saved.learned
    header = _Header(
        identity, saved.layout, learned.ages.tolist(), list(learned.tokens), list(learned.order),
        learned.next, saved.time, saved.round, saved.sent, saved.content, saved.merged,
        saved.refused,
    )  # fmt: skip
    weights = learned.weights.astype("<f4", copy=False).tobytes()
    await snapshots.save(counter, msgspec.msgpack.encode(header), [weights])


async def load(snapshots: Snapshots, identity: str) -> tuple[int, Saved] | None:
    """The counter and what is kept of the newest save that is whole, or None.

    Raises:
        ValueError: it belongs to another run.
    """
    found = await snapshots.latest()
    if found is None:
        return None
    header = msgspec.msgpack.decode(found.header, type=_Header)
    if header.identity != identity:
        raise ValueError(f"the snapshots here belong to another run ({header.identity})")
    weights = np.frombuffer(found.arrays[0], "<f4").astype(np.float32)
    header.layout.check(weights)
    learned = Learned(weights, np.array(header.ages), header.tokens, header.order, header.next)
    saved = Saved(
        header.layout, learned, header.time, header.round, header.sent, header.content,
        header.merged, header.refused,
    )  # fmt: skip
    return found.counter, saved
