"""What all protocols of peer sampling have in common: a pure state machine, events in, words out.

It is driven by ``cycle`` once a period, ``requested`` and ``answered`` for what comes in. Whatever
gets lost on the way is lost: no word is repeated, and the next cycle says more than the last.

Time is that of the node's own clock, in periods, from 0 on; it never goes back.
"""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from actorfl.peersampling.descriptor import INCARNATION_MAX, Descriptor, Entry, heard

CONTACT_EVERY: Final = 20
"""Cycles between two words to a contact, on average. Where a partition outlasts the views, these
are all that heals it; more of them would pull the views towards the contacts."""

PATIENCE: Final = 4
"""Periods that an answer is waited for: a way there and one back, each of a period and more."""

SILENT: Final = 10
"""Cycles in which nobody is heard, until a node that had peers counts as alone. About 1.6 words a
cycle arrive where each fifth is lost, so that chance needs a million cycles for it."""

NEVER_HEARD: Final = 3
"""Cycles until a node counts as alone that has heard nobody yet."""


@dataclass(frozen=True, slots=True)
class Request:
    """A word to a peer.

    Attributes:
        to: whom.
        number: of the exchange, to be given back with the answer.
        descriptors: what is said, the own one first.
        wants: descriptors that may come back; 0: no answer.
    """

    to: Entry
    number: int
    descriptors: tuple[Descriptor, ...]
    wants: int


@dataclass(frozen=True, slots=True)
class _Pending:
    to: Entry
    sent: tuple[Entry, ...]
    at: float
    #: Whether it is of the view, and no contact, which may be dead for long.
    known: bool


class Sampler(ABC):
    """One node's part in a protocol.

    Args:
        me: the node itself.
        size: descriptors in the view, at most.
        view: whom it knows at first; no more than ``size`` are taken, and not itself.
        contacts: whom it asks when it knows nobody, and rarely at any other time, so that two parts
            of a network that have forgotten each other find together again.
        draw: what is drawn comes from it.
    """

    def __init__(
        self,
        me: Descriptor,
        *,
        size: int,
        view: Iterable[Descriptor] = (),
        contacts: Iterable[Descriptor] = (),
        draw: random.Random,
    ) -> None:
        self.me = me
        self.size = size
        self._draw = draw
        self._contacts = [heard(one, 0.0) for one in contacts if one.name != me.name]
        first = {one.name: heard(one, 0.0) for one in view if one.name != me.name}
        self._view = list(first.values())[:size]
        self._pending: dict[int, _Pending] = {}
        self._number = 0
        #: Periods that a word is on its way, as the last answer has shown.
        self._transit = 0.0
        self._cycles = 0
        #: Cycles since anybody was heard.
        self._silent = 0
        self._heard = False

    # -- looking -------------------------------------------------------------------------------

    @property
    def view(self) -> tuple[Entry, ...]:
        """Whom it knows: no two of one node, not itself, and no more than ``size``."""
        return tuple(self._view)

    @property
    def peers(self) -> tuple[Entry, ...]:
        """Its view, and whom it has asked and taken out of it meanwhile; ``size`` at most."""
        known = {one.name: one for one in self._view}
        for pending in self._pending.values():
            if pending.known:
                known.setdefault(pending.to.name, pending.to)
        return tuple(known.values())[: self.size]

    @property
    def contacts(self) -> tuple[Entry, ...]:
        """Whom it asks where it knows nobody."""
        return tuple(self._contacts)

    @property
    def alone(self) -> bool:
        """Whether it knows nobody, or has heard nobody for so long that it may as well not."""
        return not self.peers or self._silent >= (SILENT if self._heard else NEVER_HEARD)

    @property
    def silent(self) -> int:
        """Cycles since anybody was heard."""
        return self._silent

    # -- events --------------------------------------------------------------------------------

    def cycle(self, now: float) -> list[Request]:
        """A period is over: what is said now, and to whom."""
        self._cycles += 1
        self._silent += 1
        for number, pending in list(self._pending.items()):
            if now - pending.at < PATIENCE:
                break
            del self._pending[number]
            self._unanswered(pending.to)
        if self._oldest < math.inf:
            self._view = [one for one in self._view if now - one.said <= self._oldest]
        peer = self._select()
        if peer is None:
            contact = self._contact()
            return [] if contact is None else [self._request(contact, now)]
        requests = [self._request(peer, now, known=True)]
        if self._contacts and self._draw.random() * CONTACT_EVERY < 1.0:
            contact = self._contact()
            if contact is not None and contact.name != peer.name:
                requests.append(self._request(contact, now))
        return requests

    def requested(
        self, sender: Descriptor, descriptors: Sequence[Descriptor], wants: int, now: float
    ) -> tuple[Descriptor, ...]:
        """A peer says what it knows.

        Args:
            sender: who.
            descriptors: what it says.
            wants: descriptors that it takes back.
            now: the time.

        Returns:
            What is answered; without meaning where ``wants`` is 0.
        """
        self._hear()
        sent = self._answer(sender, wants)
        answer = tuple(one.told(now) for one in sent)
        if self._says_itself:
            answer = (self.me, *answer)
        self._merge(self._others(descriptors, now), sent, now)
        return answer[:wants]

    def answered(self, number: int, descriptors: Sequence[Descriptor], now: float) -> None:
        """A peer answers; what comes twice, or too late, changes nothing."""
        pending = self._pending.pop(number, None)
        if pending is not None:
            self._hear()
            self._transit = max(0.0, now - pending.at) / 2
            self._merge(self._others(descriptors, now), pending.sent, now)

    def left(self, name: str, incarnation: int) -> None:
        """A node says that it leaves."""

        def goes(one: Entry) -> bool:
            return one.name == name and one.incarnation <= incarnation

        self._view = [one for one in self._view if not goes(one)]
        self._pending = {
            number: pending for number, pending in self._pending.items() if not goes(pending.to)
        }

    # -- what protocols say --------------------------------------------------------------------

    #: Whether an answer begins with a descriptor of the one that gives it.
    _says_itself = True
    #: Periods after which what was said of a node is forgotten, and not believed any more.
    _oldest = math.inf

    @abstractmethod
    def _select(self) -> Entry | None:
        """Whom to say something; None where nobody is known."""

    @abstractmethod
    def _send(self, to: Entry) -> tuple[Entry, ...]:
        """What of the view is said to a peer."""

    @abstractmethod
    def _answer(self, sender: Descriptor, wants: int) -> tuple[Entry, ...]:
        """What of the view is answered."""

    @abstractmethod
    def _merge(self, received: list[Entry], sent: Sequence[Entry], now: float) -> None:
        """Take in what a peer said, to which `sent` was said."""

    def _wants(self) -> int:
        """Descriptors that a peer may answer."""
        return self.size + 1

    def _unanswered(self, peer: Entry) -> None:  # noqa: B027  (not all protocols care)
        """A peer has not answered in time; it may be gone, or a word got lost."""

    # -- for protocols -------------------------------------------------------------------------

    def _request(self, to: Entry, now: float, *, known: bool = False) -> Request:
        sent = self._send(to)
        wants = self._wants()
        self._number += 1
        if wants:
            self._pending[self._number] = _Pending(to, sent, now, known)
        return Request(to, self._number, (self.me, *(one.told(now) for one in sent)), wants)

    def _contact(self) -> Entry | None:
        return self._draw.choice(self._contacts) if self._contacts else None

    def _hear(self) -> None:
        self._silent = 0
        self._heard = True

    def _others(self, descriptors: Iterable[Descriptor], now: float) -> list[Entry]:
        """All but itself; what is said of an earlier life of its own makes this one a later one."""
        others = []
        left = now - self._transit
        for one in descriptors:
            if one.name != self.me.name:
                # Forgotten once, it would come back from one who has not had its turn yet.
                if now - left + one.age <= self._oldest:
                    others.append(heard(one, left))
            elif one.sampler != self.me.sampler and one.incarnation >= self.me.incarnation:
                later, me = min(one.incarnation + 1, INCARNATION_MAX), self.me
                self.me = Descriptor(me.name, 0.0, later, me.sampler, me.owner)
        return others

    def _drawn(self, entries: Sequence[Entry], count: int) -> tuple[Entry, ...]:
        """So many of them, or all, in a drawn order."""
        return tuple(self._draw.sample(entries, max(0, min(count, len(entries)))))

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} of {self.me.name} knows {len(self._view)} of at most "
            f"{self.size}, cycle {self._cycles}, silent for {self._silent}>"
        )
