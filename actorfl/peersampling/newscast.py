"""Newscast: two peers put their views together, and both keep the freshest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from actorfl.peersampling.descriptor import Descriptor, Entry, best
from actorfl.peersampling.sampler import Sampler

OLDEST: Final = 40
"""Periods after which a node is forgotten although there is room for it: in a network that is no
larger than a view nothing fresher would ever push out what is said of a node that is gone. Where a
fifth of all words is lost, and each takes a period, what is said of those that live is younger."""


class NewscastSampler(Sampler):
    """Newscast (Jelasity, Kowalczyk, van Steen 2003), with ages instead of timestamps.

    A cycle: a random peer of the view is sent the whole view and a fresh descriptor of the sender,
    and answers alike; both keep the ``size`` freshest of what they have then. What is said of a
    node that is gone is out of all views in O(log n) cycles; a few nodes are in many views.

    Ages are compared by whole periods, and drawn among equals. Compared to the last digit they
    would make the views of neighbours more alike (clustering .34 instead of .28).
    """

    _oldest = OLDEST

    def _select(self) -> Entry | None:
        return self._draw.choice(self._view) if self._view else None

    def _send(self, to: Entry) -> tuple[Entry, ...]:
        return tuple(self._view)

    def _answer(self, sender: Descriptor, wants: int) -> tuple[Entry, ...]:
        return tuple(self._view)

    def _merge(self, received: list[Entry], sent: Sequence[Entry], now: float) -> None:
        merged = best([*self._view, *received])
        if len(merged) > self.size:
            draw = self._draw.random
            merged.sort(key=lambda one: (now - one.said) // 1 + draw())
        self._view = merged[: self.size]
