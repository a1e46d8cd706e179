"""Whom one actor watches, and whose end it is still to be told of: once for each watch. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from actors.ref import ActorRef

AGAIN_AFTER = 0.1
"""Seconds within which an actor is told twice at most that the same one is gone: a handler that
watches again at once would otherwise turn in a circle until that one is back."""

_TWICE = 2
#: Seconds by which a timer may come early.
_EARLY = 2e-3


class Watching:
    """What is watched, by uid; an end waits in the mailbox between ``gone`` and ``told``."""

    __slots__ = ("_alive", "_lately", "_untold")

    def __init__(self) -> None:
        self._alive: dict[int, ActorRef] = {}
        self._untold: set[int] = set()
        #: Of the latest ends: when each was told first, and how often since; the earliest first.
        self._lately: dict[int, tuple[float, int]] = {}

    def __iter__(self) -> Iterator[ActorRef]:
        return iter(list(self._alive.values()))

    def __contains__(self, uid: int) -> bool:
        return uid in self._alive

    def watch(self, ref: ActorRef, now: float) -> float | None:
        """Watch one; in how many seconds it has to be told so, None for never.

        It has not where it was told before, or the news of its end waits already: that answers
        this watch, too. A second one might reach what its supervisor has put in its place.
        """
        if ref.uid in self._untold or ref.uid in self._alive:
            return None
        self._alive[ref.uid] = ref
        self._forget(now)
        first, times = self._lately.get(ref.uid, (now, 0))
        return 0.0 if times < _TWICE else first + AGAIN_AFTER - now

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

    def told(self, uid: int, now: float) -> bool:
        """The news of an end is next; whether it is still wanted."""
        if uid not in self._untold:
            return False
        self._untold.discard(uid)
        self._forget(now)
        first, times = self._lately.get(uid, (now, 0))
        self._lately[uid] = first, times + 1
        return True

    def _forget(self, now: float) -> None:
        for uid, (first, _) in tuple(self._lately.items()):
            if first + AGAIN_AFTER > now + _EARLY:
                break
            del self._lately[uid]

    def again(self, uid: int) -> None:
        """It was put aside, to be told once more."""
        self._untold.add(uid)

    def clear(self) -> None:
        """The watcher itself is gone."""
        self._alive.clear()
        self._untold.clear()
        self._lately.clear()

    def __repr__(self) -> str:
        return f"<Watching {len(self._alive)}, {len(self._untold)} ends to be told>"
