"""What nodes of gossip learning tell each other, and the gatherer that looks on.

All are tells, and at most once: what is lost is not said again, but by `Progress`, whose line is
not written before it came or its time is over. What came to a gatherer that died before it wrote
the line is not said again either: others have lost as much then, and the next line is not far.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from actorfl.fingerprint import Fingerprint
from actorfl.gossip.learner import Parcel
from actorfl.mean import Mean
from actorfl.terms import MAX_TERMS
from actors import ActorRef, Message
from transports import Weights

# What comes from other nodes is bounded where it is decoded.
_Name: TypeAlias = Annotated[str, msgspec.Meta(max_length=64)]
_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]
_Time: TypeAlias = Annotated[float, msgspec.Meta(ge=0.0, le=1e12)]
_Metrics: TypeAlias = Annotated[dict[str, Mean], msgspec.Meta(max_length=MAX_TERMS)]


class Push(Message[None]):
    """Node to peer: a part of my model.

    Attributes:
        run: identity of the run; another run's messages are dropped.
        sender: its name.
        parcel: the part.
        time: seconds since the run began, as far as the sender knows.
        answer: whether it was asked for, so that nothing is to come back.
        me: where to answer, of a sender that not all know; None: it is a neighbour.
    """

    run: str
    sender: _Name
    parcel: Parcel
    time: _Time
    answer: bool = False
    me: ActorRef | None = None


class LargePush(Message[None]):
    """The same of a model that does not fit into a small message.

    Attributes:
        run, sender, parcel, time, answer, me: as those of ``Push``; the parcel has no values.
        values: its values, as bytes under the name "values".
    """

    run: str
    sender: _Name
    parcel: Parcel
    time: _Time
    values: Weights
    answer: bool = False
    me: ActorRef | None = None


class Pull(Message[None]):
    """Node to peer: send me a part of yours; attributes as those of ``Push``."""

    run: str
    sender: _Name
    time: _Time
    me: ActorRef | None = None


class Shares(Message[None]):
    """Node to neighbour: what my algorithm sends you.

    Attributes:
        run: identity of the run; another run's messages are dropped.
        sender: its name.
        time: seconds since the run began, as far as the sender knows.
        content: arrays and scalars by name, see ``parcel.packed``.
    """

    run: str
    sender: _Name
    time: _Time
    content: Weights


class Here(Message[None]):
    """Node to neighbours: I am there, from now on or still.

    Attributes:
        run: identity of the run.
        sender: its name.
        time: seconds since the run began, as far as the sender knows.
        answer: whether it answers another's word, so that none is to come back.
        me: as in ``Push``.
    """

    run: str
    sender: _Name
    time: _Time
    answer: bool = False
    me: ActorRef | None = None


class Progress(Message[None]):
    """Node to gatherer: where I am.

    Attributes:
        run: identity of the run.
        name: of the node.
        round: evaluations whose time has come; the metrics are of the last one.
        time: seconds since the run began, as far as the node knows.
        metrics: of its model then; empty where it was not evaluated.
        age: examples that its model has seen.
        sent: messages that it has sent in all.
        content: bytes of what is learned in them.
        merged: models, or parts, that it has received and merged in all.
        refused: messages that it could make nothing of.
        final: whether the run is over for it.
        fingerprint: what decides the bits of its fits.
        me: where to answer.
        start: tells its incarnations apart.
        since: ``sent``, ``content`` and ``merged`` that this one began with, from its save.
    """

    run: str
    name: _Name
    round: _Count
    time: _Time
    metrics: _Metrics
    age: _Time
    sent: _Count
    content: _Count
    merged: _Count
    refused: _Count
    final: bool
    fingerprint: Fingerprint
    me: ActorRef
    start: _Count = 0
    since: tuple[_Count, _Count, _Count] = (0, 0, 0)


class Left(Message[None]):
    """Gatherer to nodes: these are of the run no more; nobody starts them again.

    Attributes:
        run: identity of the run.
        names: all of them so far.
    """

    run: str
    names: Annotated[tuple[_Name, ...], msgspec.Meta(max_length=1 << 20)]


class Noted(Message[None]):
    """Gatherer to node: that came.

    Attributes:
        run: identity of the run.
        round, final: of the progress that came.
        begun: whether the run has begun: all nodes are there, or were.
        time: seconds since the run began, as far as the gatherer knows.
    """

    run: str
    round: _Count
    time: _Time
    final: bool
    begun: bool
