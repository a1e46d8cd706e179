"""What the shards of a parameter server are told and answer, beside what ``protocol`` has.

A worker asks the root as ever (``Ready``), and is told by ``Fetch`` which version to compute from;
the root has each shard send its slice of it (``Give -> Slice``). The worker sends each shard its
slice of what goes up (``Slip -> Landed``) and then tells the root that all have one (``Reported``).
The root names in ``Close`` whose slices are to move the model; each shard makes the next version
durable and answers, and when all have the root makes it the open one. A shard that was restarted
says so to the root (``Unopened``), which tells it the version to go on from (``Open``).
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from actorfl.algorithm import Closed
from actorfl.grid import Grid
from actorfl.layout import MAX_PARTS, Layout, Shape
from actorfl.merging import Reason
from actorfl.protocol import Put, Stamp
from actorfl.terms import TermsHeader
from actorfl.topology import SHARDS_MAX, WORKERS_MAX
from actorfl.traffic import Traffic
from actors import ActorRef, Message
from transports import Weights

_Name: TypeAlias = Annotated[str, msgspec.Meta(max_length=64)]
_Index: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=SHARDS_MAX)]
_Shapes: TypeAlias = Annotated[tuple[tuple[str, Shape], ...], msgspec.Meta(max_length=MAX_PARTS)]
_Sentence: TypeAlias = Annotated[str, msgspec.Meta(max_length=4096)]


class Opened(msgspec.Struct, frozen=True, array_like=True):
    """What a shard answers to ``Open``.

    Attributes:
        version: the newest that it has, of those that are not newer than it was asked for; -1 if
            there is none. It goes on from that if it is the one it was asked for.
        tops: the largest magnitude in each of its parts.
    """

    version: int
    tops: tuple[float, ...] = ()


class Open(Message[Opened]):
    """Root to shard: go on from this version; what you have of later ones never came to be.

    Attributes:
        stamp: of the version.
        by: incarnation of the root; an older one is heeded no more.
        layout: of the shard's piece of the model, with that piece as the first version; None:
            the shard has it.
        weights: see ``layout``.
    """

    stamp: Stamp
    by: int
    layout: Layout | None = None
    weights: Weights | None = None


class Named(msgspec.Struct, frozen=True, array_like=True):
    """A worker's part, of which each shard has a slice.

    Attributes:
        worker: its name.
        incarnation: that sent it.
        clock: of the worker.
        version: that it was made from.
        header: of its terms; the shapes are those of the slices, which say them.
    """

    worker: _Name
    incarnation: int
    clock: int
    version: int
    header: TermsHeader


class Moved(msgspec.Struct, frozen=True, array_like=True):
    """What a shard answers to ``Close``.

    Attributes:
        moved: whether the next version is durable.
        opened: whether it is at the version that was to be closed; else tell it with ``Open``.
        lacks: workers whose named parts it has not.
        reason: why one of the parts is refused, a ``Reason``, or nothing.
        worker: whose part that is.
        what: the reason for people.
        tops: the largest magnitude in each of its parts, of the next version.
        rounded: values that were rounded to the grid.
        traffic: of slices that it has sent and received since it told last.
    """

    moved: bool
    opened: bool = True
    lacks: Annotated[tuple[_Name, ...], msgspec.Meta(max_length=WORKERS_MAX)] = ()
    reason: Reason | None = None
    worker: _Name = ""
    what: str = ""
    tops: tuple[float, ...] = ()
    rounded: int = 0
    traffic: Traffic = msgspec.field(default_factory=Traffic)


class Close(Message[Moved]):
    """Root to shard: move the model by these parts, and make the next version durable.

    Asked again the shard begins from the same version again.

    Attributes:
        stamp: of the version that is closed.
        by: see ``Open``.
        parts: what is merged.
        grid: of the shard's parts.
        closed: for the algorithm.
        relative: whether there is no barrier, see ``relative``.
        shares: see ``relative``.
    """

    stamp: Stamp
    by: int
    parts: Annotated[tuple[Named, ...], msgspec.Meta(max_length=WORKERS_MAX)]
    grid: Grid
    closed: Closed
    relative: bool = False
    shares: int | None = None


class Give(Message[None]):
    """Root to shard: send your slice of this version to a worker.

    Attributes:
        stamp: of the version, with the worker's clock.
        by: see ``Open``.
        worker: its name.
        to: the worker.
        me: the root, to be told if the shard is not open.
    """

    stamp: Stamp
    by: int
    worker: _Name
    to: ActorRef
    me: ActorRef


class Unopened(Message[None]):
    """Shard to root: I was restarted, and do not know from which version to go on.

    Attributes:
        run: identity of the run.
        shard: its index.
    """

    run: str
    shard: _Index


class Whole(Message[Weights | None]):
    """Root to shard: your piece of the version that is open; None if it is not open there."""

    stamp: Stamp
    by: int


class Fetch(Message[None]):
    """Root to worker: compute this clock, from what the shards send of the version.

    Attributes:
        stamp: clock and version.
        by: incarnation of the root: what is sent for another one may be of another model.
        train: as in ``Go``, as are all that follow.
        evaluate: see there.
        grid: see there; it has no parts.
        additive: see there.
        since: see there.
    """

    stamp: Stamp
    by: int
    train: bool
    evaluate: bool
    grid: Grid
    additive: bool
    since: int | None


class Slice(Message[None]):
    """Shard to worker: its slice of a version.

    Attributes:
        stamp: of the version.
        by: see ``Fetch``.
        shard: index of the shard.
        weights: the slice, see ``protocol.pack``.
    """

    stamp: Stamp
    by: int
    shard: _Index
    weights: Weights


class Slip(Message[None]):
    """Worker to shard: the slice of my part.

    Attributes:
        stamp: of the ``Fetch`` that it answers.
        worker: its name.
        incarnation: of the worker.
        shapes: (name, shape) of what the slice consists of.
        weights: the slices of the arrays of its terms.
        me: where to answer.
        root: to be told if the shard is not open.
    """

    stamp: Stamp
    worker: _Name
    incarnation: int
    shapes: _Shapes
    weights: Weights
    me: ActorRef
    root: ActorRef


class Landed(Message[None]):
    """Shard to worker: I have your slice, or refuse it.

    Attributes:
        stamp: of the slip.
        incarnation: of the worker.
        shard: index of the shard.
        reason: why it is refused; None: it is not.
        what: the reason for people.
    """

    stamp: Stamp
    incarnation: int
    shard: _Index
    reason: Reason | None = None
    what: _Sentence = ""


class Reported(Message[None]):
    """Worker to root: all shards have their slice of my part, or one refuses it.

    Attributes:
        put: the part, without arrays; the shapes of its terms are left out.
        reason: why a shard refuses its slice; None: none does.
        what: the reason for people.
    """

    put: Put
    reason: Reason | None = None
    what: _Sentence = ""
