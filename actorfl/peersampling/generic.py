"""The framework of peer sampling, of which other protocols are points."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Sequence
from typing import Literal

from actorfl.peersampling.descriptor import Descriptor, Entry, best
from actorfl.peersampling.sampler import Sampler

Selected = Literal["rand", "tail"]
Exchanged = Literal["push", "pushpull"]


class GenericSampler(Sampler):
    """Jelasity et al. 2007, figure 1: whom a node asks, which way words go, and what is forgotten.

    A cycle: a peer is sent a fresh descriptor of the sender and size/2 - 1 others, drawn from all
    but the ``healing`` oldest, and answers alike (``pushpull``) or not at all (``push``). Of what a
    node has then, each of the others once, it drops the ``healing`` oldest, then ``swap`` of those
    that it sent, then drawn ones, until ``size`` are left.

    Deviation: a peer that was selected as ``tail`` and does not answer is dropped, as is a
    descriptor that is 4 ``size`` periods old; the paper has a dead tail asked for ever.

    Args:
        me, size, view, contacts, draw: as in ``Sampler``; the size is at least 2.
        select: "rand", any of the view; "tail", its oldest.
        exchange: "push" or "pushpull".
        healing: H, 0 to size/2.
        swap: S, 0 to size/2 - H.
    """

    def __init__(
        self,
        me: Descriptor,
        *,
        size: int,
        select: Selected,
        exchange: Exchanged,
        healing: int,
        swap: int,
        view: Iterable[Descriptor] = (),
        contacts: Iterable[Descriptor] = (),
        draw: random.Random,
    ) -> None:
        super().__init__(me, size=size, view=view, contacts=contacts, draw=draw)
        self._tail = select == "tail"
        self._pulls = exchange == "pushpull"
        self._healing = healing
        self._swap = swap
        self._oldest = 4 * size

    def _select(self) -> Entry | None:
        if not self._view:
            return None
        return self._first(self._view, 1)[0] if self._tail else self._draw.choice(self._view)

    def _send(self, to: Entry) -> tuple[Entry, ...]:
        return self._head(self.size // 2 - 1)

    def _wants(self) -> int:
        return self.size // 2 if self._pulls else 0

    def _answer(self, sender: Descriptor, wants: int) -> tuple[Entry, ...]:
        return self._head(min(wants, self.size // 2) - 1)

    def _head(self, count: int) -> tuple[Entry, ...]:
        """Some of the view, drawn, the oldest ones only where the others do not suffice."""
        oldest = self._first(self._view, self._healing)
        others = _without(self._view, oldest)
        self._draw.shuffle(others)
        return tuple([*others, *oldest][: max(0, count)])

    def _merge(self, received: list[Entry], sent: Sequence[Entry], now: float) -> None:
        merged = best([*self._view, *received])
        old = self._first(merged, min(self._healing, len(merged) - self.size))
        merged = _without(merged, old)
        names = {one.name for one in sent}
        given = [one for one in merged if one.name in names]
        merged = _without(merged, given[: max(0, min(self._swap, len(merged) - self.size))])
        self._view = _without(merged, self._drawn(merged, len(merged) - self.size))

    def _unanswered(self, peer: Entry) -> None:
        if self._tail:
            self._view = [
                one for one in self._view if one.name != peer.name or one.said > peer.said
            ]

    @staticmethod
    def _first(entries: Sequence[Entry], count: int) -> list[Entry]:
        """So many of the oldest; none where the count is below 1."""
        return sorted(entries, key=lambda one: one.said)[: max(0, count)]


def _without(entries: Sequence[Entry], dropped: Collection[Entry]) -> list[Entry]:
    names = {one.name for one in dropped}
    return [one for one in entries if one.name not in names]
