"""Which protocol a sampler follows, as a value that travels."""

from __future__ import annotations

import random
from abc import abstractmethod
from collections.abc import Iterable
from typing import NotRequired, TypeAlias, TypedDict, Unpack, get_args

import msgspec

from actorfl.peersampling.cyclon import CyclonSampler
from actorfl.peersampling.descriptor import VIEW_MAX, Descriptor
from actorfl.peersampling.generic import Exchanged, GenericSampler, Selected
from actorfl.peersampling.newscast import NewscastSampler
from actorfl.peersampling.sampler import Sampler
from actorfl.peersampling.uniform import UniformSampler
from actorfl.ranges import check_count, check_word


class Known(TypedDict):
    """What a node begins with: descriptors that it knows, whom it may ask, and chance."""

    view: NotRequired[Iterable[Descriptor]]
    contacts: NotRequired[Iterable[Descriptor]]
    draw: random.Random


class _Protocol(msgspec.Struct, frozen=True, tag=True):
    @abstractmethod
    def begin(self, me: Descriptor, **known: Unpack[Known]) -> Sampler:
        """One node's part in it; see ``Sampler``."""


class NewscastProtocol(_Protocol, frozen=True):
    """Peers put their views together and keep the freshest: a node that is gone is forgotten soon.

    See ``NewscastSampler``. After 60 cycles of 1,000 nodes with views of 20 a node stands in 20 +-
    9.4 views; 10 cycles after the half of them has died less than 1 % of what is known is dead.

    Args:
        view: nodes that each one knows, at most; 1 to 256.

    Raises:
        WrongType: the view is no whole number.
        WrongValue: it is out of range.
    """

    view: int = 20

    def __post_init__(self) -> None:
        check_count(self, "view", 1, VIEW_MAX)

    def begin(self, me: Descriptor, **known: Unpack[Known]) -> Sampler:
        """One node's part in it."""
        return NewscastSampler(me, size=self.view, **known)


class CyclonProtocol(_Protocol, frozen=True):
    """Peers swap a part of their views: each node stands in about as many views as any other.

    See ``CyclonSampler``. After 60 cycles of 1,000 nodes with views of 20 a node stands in 20 +-
    2.3 views; who is gone is forgotten after some 40 cycles.

    Args:
        view: nodes that each one knows, at most; 1 to 256.
        shuffle: how many are swapped at a time; 1 to ``view``.

    Raises:
        WrongType: one of them is no whole number.
        WrongValue: one of them is out of range.
    """

    view: int = 20
    shuffle: int = 8

    def __post_init__(self) -> None:
        check_count(self, "view", 1, VIEW_MAX)
        check_count(self, "shuffle", 1, self.view)

    def begin(self, me: Descriptor, **known: Unpack[Known]) -> Sampler:
        """One node's part in it."""
        return CyclonSampler(me, size=self.view, shuffle=self.shuffle, **known)


class GenericProtocol(_Protocol, frozen=True):
    """The framework of Jelasity et al. 2007, for whoever studies peer sampling itself.

    See ``GenericSampler``. "Healer" is healing=view/2, swap=0; "swapper" the other way round;
    "blind" has neither.

    Args:
        view: nodes that each one knows, at most; 2 to 256.
        select: whom a node asks: "rand", any of its view, or "tail", the oldest.
        exchange: "pushpull", both say what they know, or "push", one of them.
        healing: of what is too much the oldest that go, 0 to ``view`` / 2.
        swap: of what is too much those that were sent which go, 0 to ``view`` / 2 - ``healing``.

    Raises:
        WrongType: a count is no whole number.
        WrongValue: one of them is out of range, or a word is none of these.
    """

    view: int = 20
    select: Selected = "rand"
    exchange: Exchanged = "pushpull"
    healing: int = 0
    swap: int = 0

    def __post_init__(self) -> None:
        check_count(self, "view", 2, VIEW_MAX)
        check_word(self, "select", get_args(Selected))
        check_word(self, "exchange", get_args(Exchanged))
        check_count(self, "healing", 0, self.view // 2)
        check_count(self, "swap", 0, self.view // 2 - self.healing)

    def begin(self, me: Descriptor, **known: Unpack[Known]) -> Sampler:
        """One node's part in it."""
        return GenericSampler(
            me, size=self.view, select=self.select, exchange=self.exchange, healing=self.healing,
            swap=self.swap, **known,
        )  # fmt: skip


class UniformProtocol(_Protocol, frozen=True):
    """A membership is asked for a sample in each cycle, in which each node has the same chance.

    See ``UniformSampler``; its contacts are ``Membership`` actors.

    Args:
        view: nodes of a sample, at most; 1 to 256.

    Raises:
        WrongType: the view is no whole number.
        WrongValue: it is out of range.
    """

    view: int = 20

    def __post_init__(self) -> None:
        check_count(self, "view", 1, VIEW_MAX)

    def begin(self, me: Descriptor, **known: Unpack[Known]) -> Sampler:
        """One node's part in it."""
        contacts = tuple(known.get("contacts", ()))
        asked = {one.name for one in contacts}  # they are no nodes
        first = [one for one in known.get("view", ()) if one.name not in asked]
        return UniformSampler(me, size=self.view, view=first, contacts=contacts, draw=known["draw"])


SamplingProtocol: TypeAlias = NewscastProtocol | CyclonProtocol | GenericProtocol | UniformProtocol
