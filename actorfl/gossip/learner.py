"""What a node of gossip learning does with its model: pure but for the draws that it is given."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from actorfl.algorithms.gossip import Gossip
from actorfl.errors import ActorflError
from actorfl.gossip.sends import Coordinates, Indices, Partitioned, SubSampled
from actorfl.gossip.tokens import granted, reaction
from actorfl.layout import Vector

#: Bytes of an age in a message.
_AGE: Final = 8
_FLOATS: Final = np.dtype("<f4")

_Age = Annotated[float, msgspec.Meta(ge=0.0)]


class BadParcel(ActorflError, ValueError):  # noqa: N818  (it is what came)
    """A message that is none of a model like this node's."""


class Parcel(msgspec.Struct, frozen=True, array_like=True):
    """What of a model is in a message.

    Attributes:
        values: float32, little-endian: the coordinates of the part in order, then the biases. Of a
            whole model all coordinates in the order of its layout.
        age: of the part, in examples.
        part: which, from 0.
        total: age of the model, where its parts have ages of their own.
        places: one bit for each coordinate that is no bias, set where it is among the values; empty
            where the part has all.
    """

    values: bytes
    age: _Age
    part: Annotated[int, msgspec.Meta(ge=0)] = 0
    total: _Age | None = None
    places: bytes = b""

    @property
    def size(self) -> int:
        """Bytes of what is learned in it: values, places and ages."""
        ages = _AGE if self.total is None else 2 * _AGE
        return len(self.values) + len(self.places) + ages


@dataclass
class Learned:
    """All that a node has learned, and may do.

    Attributes:
        weights: the model, float32; replaced, never written to.
        ages: float64, examples that each part has seen, and last those of the model.
        tokens: balance of each part, 0 to C.
        order: parts in the order in which it sends of its own accord.
        next: place in it.
    """

    weights: Vector
    ages: NDArray[np.float64]
    tokens: list[int] = field(default_factory=list)
    order: list[int] = field(default_factory=list)
    next: int = 0

    @classmethod
    def begun(cls, weights: Vector, parts: int) -> Learned:
        """Before anything is learned: all ages are 0."""
        return cls(weights, np.zeros(parts + 1), [0] * parts)


class Learner:
    """A node's model and its account.

    Args:
        gossip: what merges and what is sent.
        coordinates: of the model; of as many parts as `gossip` has.
        learned: where it begins.
        draw: of all that is random here.
    """

    def __init__(
        self, gossip: Gossip, coordinates: Coordinates, learned: Learned, draw: np.random.Generator
    ) -> None:
        self.learned = learned
        self._gossip = gossip
        self._coordinates = coordinates
        self._draw = draw
        self._parts = gossip.send.parts
        self._whole = self._parts == 1 and not isinstance(gossip.send, SubSampled)
        self._sampled = gossip.send if isinstance(gossip.send, SubSampled) else None
        self._aged = isinstance(gossip.send, Partitioned) and self._parts > 1
        self._seen_finite: Vector | None = None  # the model that was found to be, the last time

    @property
    def finite(self) -> bool:
        """Whether all numbers of the model are; else nobody can learn from it, nor it from data."""
        weights = self.learned.weights
        if weights is not self._seen_finite:  # a model is replaced, never written to
            if not _finite(weights):
                return False
            self._seen_finite = weights
        return True

    @property
    def age(self) -> float:
        """Examples that the model has seen."""
        return float(self.learned.ages[-1])

    def period(self) -> int | None:
        """A period is over: the part to send of its own accord, or None."""
        learned = self.learned
        part = self.following()
        balance, sends = granted(self._gossip.tokens, learned.tokens[part], self._draw.random())
        learned.tokens[part] = balance
        return part if sends else None

    def following(self) -> int:
        """The part whose turn it is: each comes once in a random order, then again in another."""
        learned = self.learned
        if self._parts == 1:
            return 0
        if learned.next >= len(learned.order):
            learned.order = self._draw.permutation(self._parts).tolist()
            learned.next = 0
        learned.next += 1
        return learned.order[learned.next - 1]

    def unsent(self, part: int) -> None:
        """There was nobody to send a part to: its token comes back."""
        tokens = self.learned.tokens
        tokens[part] = min(self._gossip.tokens.capacity, tokens[part] + 1)

    def reaction(self, part: int, useful: bool) -> int:
        """How many times a part that was received is sent on."""
        learned = self.learned
        balance = learned.tokens[part]
        if balance == 0:
            return 0
        learned.tokens[part], messages = reaction(
            self._gossip.tokens, balance, useful, self._draw.random()
        )
        return messages

    def parcel(self, part: int) -> Parcel:
        """A part of the model as it is now."""
        learned, coordinates = self.learned, self._coordinates
        weights, ages = learned.weights, learned.ages
        if self._whole:
            return Parcel(weights.astype(_FLOATS, copy=False).tobytes(), float(ages[-1]))
        places = b""
        if self._sampled is not None:
            chosen = self._sampled.drawn(len(coordinates.weights), self._draw)
            mask = np.zeros(len(coordinates.weights), bool)
            mask[chosen] = True
            places = np.packbits(mask).tobytes()
            where = coordinates.with_biases(coordinates.weights[chosen])
        else:
            where = coordinates.sent[part]
        values = weights.take(where)
        return Parcel(
            values.astype(_FLOATS, copy=False).tobytes(), float(ages[part]), part,
            float(ages[-1]) if self._aged else None, places,
        )  # fmt: skip

    def merge(self, parcel: Parcel) -> bool:
        """Merge what was received into the model.

        Where the own numbers are not all finite, those received take their place, whatever the
        ages: a mean with them would never be finite again.

        Returns:
            Whether it was of use.

        Raises:
            BadParcel: it is none of such a model.
        """
        learned, how = self.learned, self._gossip.merge
        where = self._places_of(parcel)
        values = self._values_of(parcel, where)
        part, ages = parcel.part, learned.ages
        mine, theirs = float(ages[part]), parcel.age
        total = parcel.age if parcel.total is None else parcel.total
        own_total = float(ages[-1])
        useful = self._gossip.useful == "any" or theirs >= mine
        share, share_of_biases = how.weight(mine, theirs), how.weight(own_total, total)
        age, age_of_all = how.age(mine, theirs), how.age(own_total, total)
        finite = self.finite
        weights = learned.weights.copy()
        own = weights if where is None else weights.take(where)
        cut = len(own) if where is None else len(own) - len(self._coordinates.biases)
        if not finite and not _finite(own[:cut]):
            share, age = 1.0, theirs
            age_of_all = total if where is None else age_of_all
        _mix(own[:cut], values[:cut], share)
        if where is not None:
            if not finite and not _finite(own[cut:]):
                share_of_biases, age_of_all = 1.0, total
            _mix(own[cut:], values[cut:], share_of_biases)
            weights[where] = own
        learned.weights = weights
        if finite:  # a mean of finite numbers is, but next to the largest: training will tell
            self._seen_finite = weights
        learned.ages = ages = ages.copy()
        ages[part] = age
        ages[-1] = age_of_all
        return useful

    def check(self, parcel: Parcel) -> None:
        """Refuse what cannot be merged here.

        Raises:
            BadParcel: it is none of such a model.
        """
        self._values_of(parcel, self._places_of(parcel))

    def _places_of(self, parcel: Parcel) -> Indices | None:
        """Which coordinates came, the biases last; None where all did, in their order."""
        if parcel.part >= self._parts:
            raise BadParcel(f"part {parcel.part} of a model that has {self._parts}")
        if (parcel.total is not None) != self._aged or bool(parcel.places) != (
            self._sampled is not None
        ):
            raise BadParcel("it is cut otherwise than the model here")
        ages = parcel.age if parcel.total is None else parcel.age + parcel.total
        if not math.isfinite(ages):
            raise BadParcel("its age is not finite")
        if self._whole:
            return None
        if self._sampled is None:
            return self._coordinates.sent[parcel.part]
        weights = self._coordinates.weights
        if len(parcel.places) != (len(weights) + 7) // 8:
            raise BadParcel(f"{len(parcel.places)} bytes of places of {len(weights)} coordinates")
        mask = np.unpackbits(np.frombuffer(parcel.places, np.uint8), count=len(weights))
        return self._coordinates.with_biases(weights[mask.view(bool)])

    def _values_of(self, parcel: Parcel, where: Indices | None) -> Vector:
        wanted = self._coordinates.size if where is None else len(where)
        if len(parcel.values) != wanted * _FLOATS.itemsize:
            raise BadParcel(f"{len(parcel.values)} bytes where {wanted} numbers are expected")
        values = np.frombuffer(parcel.values, _FLOATS).astype(np.float32, copy=False)
        if not _finite(values):
            raise BadParcel("not all of its numbers are finite")
        return values

    def __repr__(self) -> str:
        return f"<Learner age={self.age:g} tokens={self.learned.tokens}>"


def _finite(values: Vector) -> bool:
    return int(np.count_nonzero(np.isfinite(values))) == values.size  # half of what all() takes


def _mix(mine: Vector, theirs: Vector, share: float) -> None:
    """Write (1 - share) mine + share theirs over mine, in float32; all of theirs at a share of 1.

    A share of 0 leaves it alone.
    """
    if share == 1.0:
        mine[:] = theirs
    elif share != 0.0:
        mine *= np.float32(1.0 - share)
        mine += theirs * np.float32(share)
