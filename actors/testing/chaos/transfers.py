"""What became of each message with arrays: passed on, told as lost, or in a range of its sender."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from actors.events import DeadLetter, Event, Unacknowledged
from actors.item import ASK, TELL, Item
from actors.router import Router
from actors.system import ActorSystem
from transports import Link, NodeId, Transfer

_Pair = tuple[NodeId, NodeId]
_MOST: Final = 5
"""Sentences: where one transfer is unaccounted for, mostly many are."""


@dataclass
class _Sent:
    transfer: Transfer
    item: Item


@dataclass
class Transfers:
    """What is seen of the bulk lanes of one play."""

    _sent: dict[_Pair, list[_Sent]] = field(default_factory=lambda: defaultdict(list))
    _arrived: dict[_Pair, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    _ranges: dict[_Pair, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    #: Items that were dead letters, or of which an asker was told; held, so that ids stay theirs.
    _told: dict[int, Item] = field(default_factory=dict)
    _dead: set[int] = field(default_factory=set)
    _entry: Any = None

    def sent(self, call: Callable[..., Transfer], link: Link[Item], item: Item, *args: Any,
             **named: Any) -> Transfer:  # fmt: skip
        """Goes around ``Link.transfer``."""
        transfer = call(link, item, *args, **named)
        if not link.local:
            self._sent[link._node, link.peer].append(_Sent(transfer, item))  # noqa: SLF001
        return transfer

    def arrived(self, node: NodeId, peer: NodeId, number: int) -> None:
        """A transfer of a peer was passed on to the actors of a node."""
        self._arrived[peer, node][number] += 1

    def never_left(self, call: Callable[..., None], router: Router, link: Link[Item], item: Item,
                   reason: str) -> None:  # fmt: skip
        """Goes around ``Router._never_left``."""
        self._told[id(item)] = item
        call(router, link, item, reason)

    def dead_letter(self, call: Callable[..., None], system: ActorSystem, to: str, entry: Any,
                    reason: str) -> None:  # fmt: skip
        """Goes around ``ActorSystem.dead_letter``."""
        self._entry = entry
        try:
            call(system, to, entry, reason)
        finally:
            self._entry = None

    def published(self, node: NodeId, event: Event) -> None:
        """A node tells of something."""
        if isinstance(event, Unacknowledged):
            if event.lane == "bulk" and not event.taken:
                peer = NodeId(event.node, event.incarnation)
                self._ranges[node, peer].append((event.first, event.last))
        elif isinstance(event, DeadLetter):
            self._dead.add(id(self._entry))

    def unaccounted(self, gone: Collection[NodeId]) -> list[str]:
        """A sentence for each transfer of which nobody knows what became.

        Args:
            gone: nodes that crashed: what they had sent they can tell nobody.
        """
        found: list[str] = []
        for pair in {*self._sent, *self._arrived}:
            found.extend(self._of(pair, pair[0] in gone))
        return sorted(found)[:_MOST]

    def _of(self, pair: _Pair, gone: bool) -> Iterator[str]:
        node, peer = pair
        arrived = self._arrived.get(pair, Counter())
        known = {each.transfer.number for each in self._sent.get(pair, ())}
        for number, times in arrived.items():
            if number not in known:
                yield f"{peer} had transfer {number} of {node}, which never began it"
            elif times > 1:
                yield f"{peer} had transfer {number} of {node} {times} times"
        if gone:
            return
        for each in self._sent.get(pair, ()):
            number, done = each.transfer.number, each.transfer.done
            came = number in arrived
            acknowledged = done.done() and not done.cancelled() and done.exception() is None
            if acknowledged and not came:
                yield f"{peer} acknowledged transfer {number} of {node} and had not passed it on"
            if acknowledged or self._in_range(pair, number):
                continue
            told = f"transfer {number} of {node} to {peer}"
            if came:
                yield f"{told} was passed on, and {node} knows neither that nor tells it in a range"
            elif not self._is_told(each.item):
                yield f"{told} is not delivered, no dead letter, and in no range of what was lost"

    def _in_range(self, pair: _Pair, number: int) -> bool:
        return any(first <= number <= last for first, last in self._ranges.get(pair, ()))

    def _is_told(self, item: Item) -> bool:
        if id(item) not in self._told:
            return False
        # The asker that waits for a reply is refused; anything else is a dead letter besides.
        return item.kind not in (TELL, ASK) or id(item) in self._dead
