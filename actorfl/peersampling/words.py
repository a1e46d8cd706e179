"""What samplers tell each other, and the actors that they work for.

``Exchange -> Answer``, ``Gone``: tells, at most once, between nodes. ``PresentView``, ``PickPeers``
and ``Waits -> Join`` stay within one.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from actorfl.peersampling.descriptor import INCARNATION_MAX, VIEW_MAX, Address, Descriptor
from actors import ActorRef, Message

# What comes from other nodes is bounded where it is decoded.
_Name: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_Group: TypeAlias = Annotated[str, msgspec.Meta(max_length=128)]
_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
_Some: TypeAlias = Annotated[tuple[Descriptor, ...], msgspec.Meta(max_length=VIEW_MAX + 1)]


class Exchange(Message[None]):
    """Sampler to sampler: this is what I know.

    Attributes:
        group: of the network; what comes from another one is dropped.
        number: of the exchange, of the sender's choice.
        sender: itself.
        descriptors: what it says; in most protocols itself is the first.
        wants: descriptors that it takes back.
    """

    group: _Group
    number: _Count
    sender: Descriptor
    descriptors: _Some
    wants: Annotated[int, msgspec.Meta(ge=0, le=VIEW_MAX + 1)]


class Answer(Message[None]):
    """Sampler to the sender of an ``Exchange``: and this is what I know."""

    group: _Group
    number: _Count
    descriptors: _Some


class Gone(Message[None]):
    """Sampler to sampler: I leave; forget me."""

    group: _Group
    name: _Name
    incarnation: Annotated[int, msgspec.Meta(ge=0, le=INCARNATION_MAX)]


class Waits(Message[None]):
    """Sampler to the actor that it works for: I take part as soon as you tell me ``Join``.

    Attributes:
        names: of the nodes that it would ask or know first.
        me: itself.
    """

    names: Annotated[tuple[str, ...], msgspec.Meta(max_length=2 * VIEW_MAX)]
    me: ActorRef


class Join(Message[None]):
    """To a sampler that waits: take part.

    Attributes:
        away: of those nodes that it would ask or know first, the ones that are not there.
    """

    away: Annotated[tuple[_Name, ...], msgspec.Meta(max_length=2 * VIEW_MAX)] = ()


class Leave(Message[None]):
    """To a sampler: say that you leave, and take part no more."""


class Neighbour(msgspec.Struct, frozen=True, array_like=True):
    """A peer.

    Attributes:
        name: of its node.
        ref: the actor that its sampler works for.
    """

    name: str
    ref: ActorRef


class PresentView(Message[None]):
    """Sampler to the actor that it works for: whom I know now.

    Attributes:
        names: of the nodes, none twice, not its own; empty where it knows nobody.
        addresses: of the actors that their samplers work for, in the same order, each of which
            ``system.ref`` makes a reference of.
        alone: whether nobody has been heard for some time, or nobody is known.
        sampler: itself, of one that waited to be told ``Join``.
    """

    names: Annotated[tuple[str, ...], msgspec.Meta(max_length=VIEW_MAX)]
    addresses: Annotated[tuple[Address, ...], msgspec.Meta(max_length=VIEW_MAX)]
    alone: bool
    sampler: Address | None = None


class PickPeers(Message[tuple[Neighbour, ...]]):
    """To a sampler: give me some peers, drawn from the present view.

    Attributes:
        count: how many, none twice; all where there are no more, none where nobody is known.
    """

    count: Annotated[int, msgspec.Meta(ge=1, le=VIEW_MAX)] = 1
