"""What nodes send each other arrives once, whoever dies on the way: two pure state machines.

A sender keeps what it sent until the receiver says that a save of it is durable that was made after
it had received that. What is sent is known by (sender, tag), so what comes again is not received
again. Of what was received a receiver remembers the tags, until the sender says that nothing of
that time will ever be sent again. The measure of that time is an *epoch*: how many saves of the
sender were durable when it sent. A sender that is restarted is back in the epoch of its last save,
so what it sends again has the epoch that it had.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeAlias, TypeVar

T = TypeVar("T")

Tag: TypeAlias = int | str


@dataclass(frozen=True, slots=True)
class Kept(Generic[T]):
    """Something that was sent and is not known to be safe at its receiver.

    Attributes:
        to: the receiver.
        tag: of the sender's choice.
        epoch: saves of the sender before it was sent.
        content: what was sent.
    """

    to: str
    tag: Tag
    epoch: int
    content: T


class Outbox(Generic[T]):
    """What a node has sent.

    Args:
        kept: what was kept by the save that the node goes on from, in the order of sending.
        epoch: saves that are durable.

    Attributes:
        epoch: see above.
    """

    def __init__(self, kept: Iterable[Kept[T]] = (), epoch: int = 0) -> None:
        self.epoch = epoch
        self._kept: OrderedDict[tuple[str, Tag], Kept[T]] = OrderedDict(
            ((one.to, one.tag), one) for one in kept
        )
        self._held: OrderedDict[tuple[str, Tag], Kept[T]] = OrderedDict()

    def put(self, to: str, tag: Tag, content: T) -> Kept[T] | None:
        """Keep what is sent now; None where something is kept under this receiver and tag."""
        if (to, tag) in self._kept or (to, tag) in self._held:
            return None
        one = self._kept[to, tag] = Kept(to, tag, self.epoch, content)
        return one

    def hold(self, to: str, tag: Tag, content: T) -> Kept[T] | None:
        """Keep what is sent once a save with it is durable; None as for ``put``."""
        if (to, tag) in self._kept or (to, tag) in self._held:
            return None
        one = self._held[to, tag] = Kept(to, tag, self.epoch, content)
        return one

    def get(self, to: str, tag: Tag) -> Kept[T] | None:
        """What is kept under a receiver and a tag."""
        return self._kept.get((to, tag))

    def for_(self, to: str) -> list[Kept[T]]:
        """What is kept for a receiver, in the order of sending."""
        return [one for one in self._kept.values() if one.to == to]

    def floor(self, to: str) -> int:
        """No more is ever sent to a receiver that belongs to an epoch below this one."""
        return min((one.epoch for one in self._kept.values() if one.to == to), default=self.epoch)

    def taken(self, to: str, tags: Iterable[Tag]) -> None:
        """The receiver has these safe."""
        for tag in tags:
            self._kept.pop((to, tag), None)

    def saved(self, to_save: Iterable[Kept[T]] = ()) -> list[Kept[T]]:
        """A save of the sender is durable.

        Args:
            to_save: what ``to_save`` gave for it.

        Returns:
            What was held and may be sent now.
        """
        self.epoch += 1
        free = [one for one in to_save if self._held.pop((one.to, one.tag), None) is not None]
        self._kept.update(((one.to, one.tag), one) for one in free)
        return free

    @property
    def kept(self) -> tuple[Kept[T], ...]:
        """All that was sent and is kept, in the order of sending."""
        return tuple(self._kept.values())

    def to_save(self) -> tuple[Kept[T], ...]:
        """What a save made now has to keep: what was sent, and what is held for it."""
        return (*self._kept.values(), *self._held.values())

    def waiting(self, to: str) -> int:
        """How much is kept or held for a receiver."""
        return sum(one.to == to for one in self.to_save())

    def __repr__(self) -> str:
        return f"<Outbox epoch={self.epoch} kept={len(self._kept)}>"


@dataclass
class Known:
    """What a node remembers of one sender.

    Attributes:
        floor: what has an epoch below this one has been taken, or is nobody's any more.
        received: epochs of what was received since then, by tag.
    """

    floor: int = 0
    received: dict[Tag, int] = field(default_factory=dict)


State: TypeAlias = Literal["missing", "here", "taken"]
"""Of something that was sent: not here; here, and lost if the receiver dies; safe."""


class Inbox(Generic[T]):
    """What has come to a node.

    Args:
        known: what the save that the node goes on from knows of each sender.
    """

    def __init__(self, known: Mapping[str, Known] | None = None) -> None:
        self._safe = {name: Known(one.floor, dict(one.received)) for name, one in _items(known)}
        self._since: dict[str, dict[Tag, int]] = {}
        self._here: OrderedDict[tuple[str, Tag], tuple[int, T]] = OrderedDict()

    def arrived(self, sender: str, tag: Tag, epoch: int, content: T) -> bool:
        """Something has come; whether it is news."""
        if self.state(sender, tag, epoch) != "missing":
            return False
        self._here[sender, tag] = (epoch, content)
        return True

    def state(self, sender: str, tag: Tag, epoch: int) -> State:
        """Where something is that was sent."""
        known = self._safe.get(sender)
        if known is not None and (epoch < known.floor or tag in known.received):
            return "taken"
        if (sender, tag) in self._here or tag in self._since.get(sender, ()):
            return "here"
        return "missing"

    def receive(self, tag: Tag, sender: str | None = None) -> tuple[str, T] | None:
        """Take out what came first under a tag, of one sender or of any; None if nothing has."""
        keys = list(self._here) if sender is None else [(sender, tag)]
        for of, known in keys:
            if known == tag and (of, known) in self._here:
                epoch, content = self._here.pop((of, known))
                self._since.setdefault(of, {})[tag] = epoch
                return of, content
        return None

    def first(self) -> tuple[str, Tag, T] | None:
        """Take out what came first, whoever's and under whatever tag; None if nothing has."""
        for of, tag in self._here:
            epoch, content = self._here.pop((of, tag))
            self._since.setdefault(of, {})[tag] = epoch
            return of, tag, content
        return None

    def forget(self, sender: str, floor: int) -> None:
        """The sender says that nothing of an epoch below this one is ever sent again."""
        known = self._safe.setdefault(sender, Known())
        if floor > known.floor:
            known.floor = floor
            known.received = {t: epoch for t, epoch in known.received.items() if epoch >= floor}
            for of, tag in [key for key in self._here if key[0] == sender]:
                if self._here[of, tag][0] < floor:  # a copy of what was taken long ago
                    del self._here[of, tag]

    def waiting(self, sender: str) -> int:
        """How many things of a sender are here and were not received."""
        return sum(of == sender for of, _ in self._here)

    def to_save(self) -> dict[str, Known]:
        """What a save made now has to know of each sender."""
        names = self._safe.keys() | self._since.keys()
        found = {}
        for name in sorted(names):
            known = self._safe.get(name, Known())
            received = {**known.received, **self._since.get(name, {})}
            found[name] = Known(known.floor, received)
        return found

    def saved(self, saved: Mapping[str, Known]) -> dict[str, Collection[Tag]]:
        """What ``to_save`` gave is durable; what became safe by it, by sender."""
        news: dict[str, Collection[Tag]] = {}
        for name, known in saved.items():
            since = self._since.get(name, {})
            tags = [tag for tag in since if tag in known.received]
            own = self._safe.setdefault(name, Known())
            for tag in tags:
                epoch = since.pop(tag)
                if epoch >= own.floor:
                    own.received[tag] = epoch
            if tags:
                news[name] = tags
        return news

    def __repr__(self) -> str:
        since = sum(map(len, self._since.values()))
        return f"<Inbox here={len(self._here)} received={since}>"


def _items(known: Mapping[str, Known] | None) -> Iterable[tuple[str, Known]]:
    return () if known is None else known.items()
