"""Putting a version together from what the shards send of it: pure, whatever order it comes in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from actorfl.protocol import pack, unpack
from actorfl.sharding import Fetch, Slice
from transports import Weights

#: Versions of which slices are kept, so that what is asked for again while slices of an earlier
#: version still come does not begin anew; each holds a model at the most.
_KEPT = 2


class Key(NamedTuple):
    """Which version it is: of two roots the same number may be another model.

    Attributes:
        by: incarnation of the root.
        version: of the model.
    """

    by: int
    version: int


class Complete(NamedTuple):
    """A version of which all slices are there.

    Attributes:
        fetch: what it is for.
        weights: the model, see ``protocol.pack``.
    """

    fetch: Fetch
    weights: Weights


class Slices:
    """What has come of the newest versions.

    Args:
        shards: how many slices make a version, at least 1.
    """

    def __init__(self, shards: int) -> None:
        self._shards = shards
        self._asked: dict[Key, Fetch] = {}
        self._came: dict[Key, dict[int, Weights]] = {}

    @property
    def waiting(self) -> bool:
        """Whether a version is to be computed from, and not all of it has come."""
        return bool(self._asked)

    def fetch(self, message: Fetch) -> Complete | None:
        """The root says which version is to be computed from; what that completes."""
        key = Key(message.by, message.stamp.version)
        self._asked[key] = message
        return self._complete(key)

    def slice(self, message: Slice) -> Complete | None:
        """A shard sends a slice; what that completes."""
        key = Key(message.by, message.stamp.version)
        weights = own(message.weights)
        if message.shard >= self._shards:
            return None
        self._came.setdefault(key, {})[message.shard] = weights
        return self._complete(key)

    def forget(self) -> None:
        """Nothing that is here will be computed from."""
        self._asked.clear()
        self._came.clear()

    def _complete(self, key: Key) -> Complete | None:
        slices, fetch = self._came.get(key, {}), self._asked.get(key)
        if fetch is None or len(slices) < self._shards:
            newest = sorted(self._asked.keys() | self._came.keys())[-_KEPT:]
            for old in (self._asked.keys() | self._came.keys()) - set(newest):
                self._asked.pop(old, None)
                self._came.pop(old, None)
            return None
        weights = joined([slices[index] for index in range(self._shards)])
        self.forget()
        return Complete(fetch, weights)

    def __repr__(self) -> str:
        came = {f"{key.by:#x}/{key.version}": sorted(each) for key, each in self._came.items()}
        return f"<Slices of {self._shards} asked={len(self._asked)} came={came}>"


def joined(slices: Sequence[Weights]) -> Weights:
    """The model, from its pieces in the order of the shards; memory of its own."""
    found = [unpack(each) for each in slices]
    integers = {name: array for _, each, _ in found for name, array in each.items()}
    extras: Mapping[str, npt.NDArray[np.generic]] = {
        name: np.concatenate([down[name] for _, _, down in found]) for name in found[0][2]
    }
    return pack(np.concatenate([vector for vector, _, _ in found]), integers, extras)


def own(landed: Weights) -> Weights:
    """A copy of what landed, whose memory goes back.

    Few transfers land at a time, so a slice must not keep its memory until the others have come:
    those may wait for that very memory.
    """
    copy = Weights.of({name: landed[name] for name in landed.names()})
    landed.release()
    return copy
