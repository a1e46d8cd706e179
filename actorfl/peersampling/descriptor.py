"""What one node says of another: its name, where it is, and how old that word is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, TypeAlias

import msgspec

VIEW_MAX: Final = 256
"""Descriptors in a view: with both references each takes some 150 bytes of a message, and a message
of so many stays well below what the control lane takes."""

AGE_MAX: Final = 1e6
"""Periods: no descriptor is kept as long, and what says more comes from no sampler."""

INCARNATION_MAX: Final = 1_000_000_000
"""Times that a node may have come back."""

# What comes from other nodes is bounded where it is decoded.
_Name: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_Age: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=AGE_MAX)]
_Path: TypeAlias = Annotated[str, msgspec.Meta(max_length=512)]
_Incarnation: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=INCARNATION_MAX)]

Address: TypeAlias = tuple[_Name, _Path, int]
"""Node, path and uid of an actor, from which ``system.ref`` makes a reference. A view goes to and
fro all the time, and few of the actors in it are ever told anything."""


class Descriptor(msgspec.Struct, frozen=True, array_like=True):
    """A node as others are told of it.

    Attributes:
        name: of the node.
        age: periods since the node said this itself, 0 to a million.
        incarnation: grows when a node comes back at another address, so that what is said of the
            old one no longer counts.
        sampler: its sampler; None where nothing is sent.
        owner: the actor that the sampler works for; None where that is not known.
    """

    name: _Name
    age: _Age = 0.0
    incarnation: _Incarnation = 0
    sampler: Address | None = None
    owner: Address | None = None


class Entry(msgspec.Struct, frozen=True):
    """A node as one that has heard of it keeps it.

    Nodes tell each other ages, and each turns them into times of a clock of its own, so no two
    clocks need to agree, and it does not matter when in a period a node has its turn. An age that
    grows by one in each turn does not do: what hops from a node just before its turn to one just
    after it never ages, and soon nothing does.

    Attributes:
        said: when the node said this itself, on the keeper's clock, in periods; what was said
            before that clock began is below 0.
        name, incarnation, sampler, owner: as in ``Descriptor``.
    """

    name: str
    said: float
    incarnation: int
    sampler: Address | None
    owner: Address | None

    def told(self, now: float) -> Descriptor:
        """As it is told others now."""
        age = min(max(0.0, now - self.said), AGE_MAX)
        return Descriptor(self.name, age, self.incarnation, self.sampler, self.owner)

    def beats(self, other: Entry) -> bool:
        """Whether it is the better word on the same node: of a later life, or said later."""
        if self.incarnation != other.incarnation:
            return self.incarnation > other.incarnation
        return self.said > other.said


def heard(descriptor: Descriptor, now: float) -> Entry:
    """What was told, as it is kept."""
    return Entry(
        descriptor.name, now - descriptor.age, descriptor.incarnation, descriptor.sampler,
        descriptor.owner,
    )  # fmt: skip


def best(entries: Iterable[Entry]) -> list[Entry]:
    """One entry of each node, its best, in the order in which the nodes first stand."""
    found: dict[str, Entry] = {}
    for one in entries:
        known = found.get(one.name)
        if known is None or one.beats(known):
            found[one.name] = one
    return list(found.values())
