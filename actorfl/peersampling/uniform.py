"""Uniform samples of all who are there, drawn where all of them are known."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Final

from actorfl.peersampling.descriptor import Descriptor, Entry, heard
from actorfl.peersampling.sampler import Sampler

MISSED: Final = 5
"""Periods without a word of a member until it counts as gone. Where a fifth of all words is lost,
one of 3,000 is taken for gone that lives, until its next word."""

MEMBERS_MAX: Final = 65_536
"""Members: as many as the largest topology has. One more would be one that makes names up."""


class UniformSampler(Sampler):
    """Asks a membership for a new sample in each cycle; without an answer it keeps the last one.

    Args:
        me, size, view, draw: as in ``Sampler``.
        contacts: the memberships; more than one where each of them knows everybody.
    """

    _says_itself = False

    @property
    def peers(self) -> tuple[Entry, ...]:
        """Its sample; whom it asks is no node."""
        return self.view

    def _select(self) -> Entry | None:
        return None  # its contacts are asked, in each cycle

    def _send(self, to: Entry) -> tuple[Entry, ...]:
        return ()

    def _wants(self) -> int:
        return self.size

    def _answer(self, sender: Descriptor, wants: int) -> tuple[Entry, ...]:
        return ()

    def requested(
        self, sender: Descriptor, descriptors: Sequence[Descriptor], wants: int, now: float
    ) -> tuple[Descriptor, ...]:
        """Nobody asks it; whoever does is told nothing."""
        return ()

    def _merge(self, received: list[Entry], sent: Sequence[Entry], now: float) -> None:
        if received:  # a membership that knows nobody yet says nothing of who is there
            known = {one.name: one for one in received}
            self._view = list(known.values())[: self.size]


class Members:
    """Who is there: whoever has said so lately.

    Args:
        draw: what is drawn comes from it.
    """

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self._entries: list[Entry] = []
        self._places: dict[str, int] = {}

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All that are there."""
        return tuple(self._entries)

    def requested(self, sender: Descriptor, wants: int, now: float) -> tuple[Descriptor, ...]:
        """A member says that it is there, and wants to know others.

        Args:
            sender: who.
            wants: how many.
            now: the time, in periods.

        Returns:
            A sample of the others, each with the same chance, none twice; all of them where there
            are no more.
        """
        place = self._places.get(sender.name)
        said = heard(sender, now)
        if place is None:
            if len(self._entries) >= MEMBERS_MAX:
                return ()
            self._places[sender.name] = len(self._entries)
            self._entries.append(said)
        elif said.beats(self._entries[place]):
            self._entries[place] = said
        # One more than wanted, for the one who asks may be among them.
        count = min(wants + 1, len(self._entries))
        drawn = self._draw.sample(self._entries, count)
        return tuple(one.told(now) for one in drawn if one.name != sender.name)[:wants]

    def left(self, name: str, incarnation: int) -> None:
        """A member says that it leaves."""
        place = self._places.get(name)
        if place is not None and self._entries[place].incarnation <= incarnation:
            self._entries = [one for one in self._entries if one.name != name]
            self._count()

    def cycle(self, now: float) -> None:
        """Forget those who have said nothing for too long."""
        kept = [one for one in self._entries if now - one.said <= MISSED]
        if len(kept) < len(self._entries):
            self._entries = kept
            self._count()

    def _count(self) -> None:
        self._places = {one.name: place for place, one in enumerate(self._entries)}

    def __repr__(self) -> str:
        return f"<Members {len(self._entries)}>"


def membership(descriptors: Iterable[Descriptor], draw: random.Random, now: float = 0.0) -> Members:
    """The membership of some nodes, which all have just said that they are there."""
    members = Members(draw)
    for one in descriptors:
        members.requested(one, 0, now)
    return members
