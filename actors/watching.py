"""Whom one actor watches, and whose end it is still to be told of: once for each watch. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from actors.ref import ActorRef


class Watching:
    """What is watched, by uid; an end waits in the mailbox between ``gone`` and ``told``."""

    __slots__ = ("_alive", "_untold")

    def __init__(self) -> None:
        self._alive: dict[int, ActorRef] = {}
        self._untold: set[int] = set()

    def __iter__(self) -> Iterator[ActorRef]:
        return iter(list(self._alive.values()))

    def __contains__(self, uid: int) -> bool:
        return uid in self._alive

    def watch(self, ref: ActorRef) -> bool:
        """Watch one; whether it has to be told so.

        It has not where it was told before, or the news of its end waits already: that answers
        this watch, too. A second one might reach what its supervisor has put in its place.
        """
        if ref.uid in self._untold or ref.uid in self._alive:
            return False
        self._alive[ref.uid] = ref
        return True

    def unwatch(self, uid: int) -> bool:
        """No longer; whether it has to be told so. What waits to be told is not told any more."""
        self._untold.discard(uid)
        return self._alive.pop(uid, None) is not None

    def gone(self, uid: int) -> ActorRef | None:
        """One is gone: whose end is to be told now, None where nobody asked for it."""
        ref = self._alive.pop(uid, None)
        if ref is not None:
            self._untold.add(uid)
        return ref

    def told(self, uid: int) -> bool:
        """The news of an end is next; whether it is still wanted."""
        wanted = uid in self._untold
        self._untold.discard(uid)
        return wanted

    def again(self, uid: int) -> None:
        """It was put aside, to be told once more."""
        self._untold.add(uid)

    def clear(self) -> None:
        """The watcher itself is gone."""
        self._alive.clear()
        self._untold.clear()

    def __repr__(self) -> str:
        return f"<Watching {len(self._alive)}, {len(self._untold)} ends to be told>"
