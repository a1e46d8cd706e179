"""Cyclon: two peers swap some of what they know; who has not been heard of longest is asked."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from actorfl.peersampling.descriptor import Descriptor, Entry
from actorfl.peersampling.sampler import Sampler


class CyclonSampler(Sampler):
    """Cyclon (Voulgaris, Gavidia, van Steen 2005, "enhanced shuffling").

    A cycle: the oldest of the view is taken out of it and sent a fresh descriptor of the sender
    with ``shuffle`` - 1 others; it answers ``shuffle`` of its own. Each puts what it receives where
    there is room, then in the place of what it sent, and drops what it knows already. So each node
    is in about as many views as any other; one that is gone leaves a view when its turn comes.

    Args:
        me, size, view, contacts, draw: as in ``Sampler``.
        shuffle: descriptors sent in one direction, 1 to ``size``.
    """

    _says_itself = False

    def __init__(
        self,
        me: Descriptor,
        *,
        size: int,
        shuffle: int,
        view: Iterable[Descriptor] = (),
        contacts: Iterable[Descriptor] = (),
        draw: random.Random,
    ) -> None:
        super().__init__(me, size=size, view=view, contacts=contacts, draw=draw)
        self._shuffle = shuffle

    def _select(self) -> Entry | None:
        if not self._view:
            return None
        # The first of the oldest: its place in the view was drawn.
        oldest = min(self._view, key=lambda one: one.said)
        self._view.remove(oldest)
        return oldest

    def _send(self, to: Entry) -> tuple[Entry, ...]:
        return self._drawn([one for one in self._view if one.name != to.name], self._shuffle - 1)

    def _wants(self) -> int:
        return self._shuffle

    def _answer(self, sender: Descriptor, wants: int) -> tuple[Entry, ...]:
        some = [one for one in self._view if one.name != sender.name]
        return self._drawn(some, min(wants, self._shuffle))

    def _merge(self, received: list[Entry], sent: Sequence[Entry], now: float) -> None:
        places = {one.name: place for place, one in enumerate(self._view)}
        given = [one.name for one in sent if one.name in places]
        for one in received:
            place = places.get(one.name)
            if place is not None:
                if one.incarnation > self._view[place].incarnation:
                    self._view[place] = one
            elif len(self._view) < self.size:
                places[one.name] = len(self._view)
                self._view.append(one)
            elif given:
                place = places.pop(given.pop())
                places[one.name] = place
                self._view[place] = one
