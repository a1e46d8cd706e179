"""What nodes without a centre tell each other, and the gatherer that looks on.

``Letter -> Standing``, ``Offer -> Standing``, and ``Letter -> Note`` where a letter goes back
anyway; ``Report -> Reported``, ``Show -> Shown``. All are tells; senders repeat what is not
answered, and what comes twice changes nothing.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec

from actorfl.fingerprint import Fingerprint
from actorfl.layout import Layout
from actorfl.mean import Mean
from actorfl.terms import MAX_TERMS
from actorfl.traffic import Traffic
from actors import ActorRef, Message
from transports import Weights

MOST_KEPT: Final = 64
"""Letters that a node keeps for one neighbour: some rounds of a fast node before a slow one, and no
more models than a machine holds."""

MOST_TOLD: Final = 256
"""Rounds that one report tells of."""

LONGEST_TAG: Final = 128
"""Characters of a tag: a few words. A sender's tags are remembered by its neighbours."""

# What comes from other nodes is bounded where it is decoded.
_Name: TypeAlias = Annotated[str, msgspec.Meta(max_length=64)]
_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
_Word: TypeAlias = Annotated[str, msgspec.Meta(max_length=LONGEST_TAG)]
_Tag: TypeAlias = int | _Word
_Metrics: TypeAlias = Annotated[dict[str, Mean], msgspec.Meta(max_length=MAX_TERMS)]


class Letter(Message[None]):
    """Node to neighbour: a model under a tag.

    Attributes:
        run: identity of the run; another run's messages are dropped.
        sender: its name.
        tag: of the sender's choice.
        epoch: saves of the sender before it was sent, see ``delivery``.
        floor: epochs below this one are over for the receiver.
        weights: the model, see ``protocol.pack``.
        me: where to answer.
    """

    run: str
    sender: _Name
    tag: _Tag
    epoch: _Count
    floor: _Count
    weights: Weights
    me: ActorRef


class Note(Message[None]):
    """Node to neighbour: a letter that says, too, which of the neighbour's letters are safe here.

    Attributes:
        letter fields: as those of ``Letter``.
        taken: tags of what is safe here.
    """

    run: str
    sender: _Name
    tag: _Tag
    epoch: _Count
    floor: _Count
    weights: Weights
    me: ActorRef
    taken: Annotated[tuple[_Tag, ...], msgspec.Meta(max_length=MOST_KEPT)]


class Offer(Message[None]):
    """Node to neighbour: these I keep for you; which of them do you lack?

    Attributes:
        run: identity of the run.
        sender: its name.
        kept: (tag, epoch) of each.
        floor: see ``Letter``.
        me: where to answer.
    """

    run: str
    sender: _Name
    kept: Annotated[tuple[tuple[_Tag, _Count], ...], msgspec.Meta(max_length=MOST_KEPT)]
    floor: _Count
    me: ActorRef


class Standing(Message[None]):
    """Neighbour to sender: where your letters are.

    Attributes:
        run: identity of the run.
        name: whose word it is.
        taken: tags of what is safe here.
        missing: tags of what is not here.
    """

    run: str
    name: _Name
    taken: Annotated[tuple[_Tag, ...], msgspec.Meta(max_length=MOST_KEPT)]
    missing: Annotated[tuple[_Tag, ...], msgspec.Meta(max_length=MOST_KEPT)] = ()


class Told(msgspec.Struct, frozen=True, array_like=True):
    """A round of a node that is saved.

    Attributes:
        round: from 0.
        loss: mean training loss in it.
        metrics: of the model that it ended with, where that was evaluated.
        traffic: the letters that it sent its neighbours in it, each once.
    """

    round: _Count
    loss: Mean
    metrics: _Metrics
    traffic: Traffic = msgspec.field(default_factory=Traffic)


class Report(Message[None]):
    """Node to gatherer: what I have saved.

    Attributes:
        run: identity of the run.
        name: of the node.
        rounds: rounds that are saved.
        told: those of them whose lines may not be written yet, the oldest first.
        final: metrics of the final model; None while the program runs.
        fingerprint: what decides the bits of its fits.
        me: where to answer.
    """

    run: str
    name: _Name
    rounds: _Count
    told: Annotated[tuple[Told, ...], msgspec.Meta(max_length=MOST_TOLD)]
    final: _Metrics | None
    fingerprint: Fingerprint
    me: ActorRef


class Reported(Message[None]):
    """Gatherer to node: the lines of rounds below this one are written."""

    run: str
    rounds: _Count


class Show(Message[None]):
    """Gatherer to node: send me your final model."""

    run: str
    me: ActorRef


class Shown(Message[None]):
    """Node to gatherer: my final model."""

    run: str
    name: _Name
    layout: Layout
    weights: Weights


def check_tag(tag: object) -> str | None:
    """Why something is no tag; None where it is one."""
    if isinstance(tag, bool) or not isinstance(tag, int | str):
        return f"a whole number or text, not a {type(tag).__name__}"
    if isinstance(tag, int):
        return None if -(2**63) <= tag < 2**63 else "a number of 64 bits"
    return None if len(tag) <= LONGEST_TAG else f"at most {LONGEST_TAG} characters long"
