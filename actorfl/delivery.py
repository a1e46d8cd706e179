"""What nodes send each other arrives once, whoever dies on the way: three pure state machines.

A sender keeps what it sent until the receiver says that a save of it is durable that was made after
it had received that. What is sent is known by (sender, tag), so what comes again is not received
again. Of what was received a receiver remembers the tags, until the sender says that nothing of
that time will ever be sent again. The measure of that time is an *epoch*: how many saves of the
sender were durable when it sent. A sender that is restarted is back in the epoch of its last save,
so what it sends again has the epoch that it had.
"""

from __future__ import annotations

from asyncio import Future
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, Literal, TypeAlias, TypeVar

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
        self._kept: OrderedDict[tuple[str, Tag], Kept[T]] = OrderedDict()
        self._held: OrderedDict[tuple[str, Tag], Kept[T]] = OrderedDict()
        # The same by receiver: a node of a thousand neighbours asks of each what is kept for it.
        self._for: dict[str, dict[Tag, Kept[T]]] = {}
        self._waiting: Counter[str] = Counter()
        for one in kept:
            self._waiting[one.to] += 1
            self._keep(one)

    def put(self, to: str, tag: Tag, content: T) -> Kept[T] | None:
        """Keep what is sent now; None where something is kept under this receiver and tag."""
        if (to, tag) in self._kept or (to, tag) in self._held:
            return None
        one = Kept(to, tag, self.epoch, content)
        self._waiting[to] += 1
        self._keep(one)
        return one

    def _keep(self, one: Kept[T]) -> None:
        self._kept[one.to, one.tag] = one
        self._for.setdefault(one.to, {})[one.tag] = one

    def hold(self, to: str, tag: Tag, content: T) -> Kept[T] | None:
        """Keep what is sent once a save with it is durable; None as for ``put``."""
        if (to, tag) in self._kept or (to, tag) in self._held:
            return None
        one = self._held[to, tag] = Kept(to, tag, self.epoch, content)
        self._waiting[to] += 1
        return one

    def get(self, to: str, tag: Tag) -> Kept[T] | None:
        """What is kept under a receiver and a tag."""
        return self._kept.get((to, tag))

    def for_(self, to: str) -> list[Kept[T]]:
        """What is kept for a receiver, in the order of sending."""
        return list(self._for.get(to, {}).values())

    def floor(self, to: str) -> int:
        """No more is ever sent to a receiver that belongs to an epoch below this one."""
        return min((one.epoch for one in self._for.get(to, {}).values()), default=self.epoch)

    def taken(self, to: str, tags: Iterable[Tag]) -> None:
        """The receiver has these safe."""
        for tag in tags:
            if self._kept.pop((to, tag), None) is not None:
                del self._for[to][tag]
                self._waiting[to] -= 1

    def saved(self, to_save: Iterable[Kept[T]] = ()) -> list[Kept[T]]:
        """A save of the sender is durable.

        Args:
            to_save: what ``to_save`` gave for it.

        Returns:
            What was held and may be sent now.
        """
        self.epoch += 1
        free = [one for one in to_save if self._held.pop((one.to, one.tag), None) is not None]
        for one in free:
            self._keep(one)
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
        return self._waiting[to]

    def __repr__(self) -> str:
        return f"<Outbox epoch={self.epoch} kept={len(self._kept)}>"


@dataclass(slots=True)
class _Way:
    """Of something that was sent: its transfer, and looks of its sender.

    Attributes:
        done: of the transfer.
        left: looks before it left.
        length: looks that the way took, at least 1.
        due: the look at which it is asked after; None where it was not seen to have come.
    """

    done: Future[None]
    left: int
    length: int = 1
    due: int | None = None


class Ways:
    """When a sender asks after what it sent: as often as it looks, unless the way is long.

    Nothing is asked while something is under way, and then not more often than it took: on a link
    that takes seconds for a letter, questions of every look would be in the way of all letters.
    """

    #: Looks. What a cut held up for hours says nothing of the way.
    LONGEST: Final = 40

    def __init__(self) -> None:
        self._looks = 0
        self._ways: dict[tuple[str, Tag], _Way] = {}

    def leaves(self, to: str, tag: Tag, done: Future[None]) -> None:
        """Something is sent; its transfer ends when the receiver has passed it on, or fails."""
        self._ways[to, tag] = _Way(done, self._looks)

    def under_way(self, to: str, tag: Tag) -> bool:
        """Whether something was sent and did not come yet."""
        way = self._ways.get((to, tag))
        return way is not None and not way.done.done()

    def forget(self, to: str, tags: Iterable[Tag]) -> None:
        """These are safe."""
        for tag in tags:
            self._ways.pop((to, tag), None)

    def look(self) -> None:
        """The sender looks again."""
        self._looks += 1

    def is_due(self, to: str, tag: Tag) -> bool:
        """Whether the sender asks after something at this look; once for each look."""
        way = self._ways.get((to, tag))
        if way is None:
            return True
        if not way.done.done():
            return False
        if way.due is None:
            way.due = self._looks
            if not way.done.cancelled() and way.done.exception() is None:
                way.length = max(1, min(self._looks - way.left, self.LONGEST))
                if way.length > 1:  # it has just come
                    way.due += way.length
        if self._looks < way.due:
            return False
        way.due = self._looks + way.length
        return True

    def __repr__(self) -> str:
        return f"<Ways looks={self._looks} sent={len(self._ways)}>"


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
        self._waiting: Counter[str] = Counter()  # of those here, by sender

    def arrived(self, sender: str, tag: Tag, epoch: int, content: T) -> bool:
        """Something has come; whether it is news."""
        if self.state(sender, tag, epoch) != "missing":
            return False
        self._here[sender, tag] = (epoch, content)
        self._waiting[sender] += 1
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
                return of, self._take(of, tag)
        return None

    def first(self) -> tuple[str, Tag, T] | None:
        """Take out what came first, whoever's and under whatever tag; None if nothing has."""
        for of, tag in self._here:
            return of, tag, self._take(of, tag)
        return None

    def _take(self, of: str, tag: Tag) -> T:
        epoch, content = self._here.pop((of, tag))
        self._waiting[of] -= 1
        self._since.setdefault(of, {})[tag] = epoch
        return content

    def forget(self, sender: str, floor: int) -> None:
        """The sender says that nothing of an epoch below this one is ever sent again."""
        known = self._safe.setdefault(sender, Known())
        if floor > known.floor:
            known.floor = floor
            known.received = {t: epoch for t, epoch in known.received.items() if epoch >= floor}
            if not self._waiting[sender]:
                return
            for of, tag in [key for key in self._here if key[0] == sender]:
                if self._here[of, tag][0] < floor:  # a copy of what was taken long ago
                    del self._here[of, tag]
                    self._waiting[of] -= 1

    def waiting(self, sender: str) -> int:
        """How many things of a sender are here and were not received."""
        return self._waiting[sender]

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
