"""What the launcher's receptionist knows: which actors are registered, and which nodes care."""

from __future__ import annotations

from typing import Final

from actors.signals import RefParts

MAX_KEYS: Final = 1_000
"""Keys with actors: names made up by mistake (one per request, say) end here."""

MAX_ACTORS: Final = 1_000
"""Actors under one key: a listing of so many takes some 70 KB, and travels with each change."""


class Services:
    """Pure state: each change gives the names of the keys whose listings it has changed."""

    def __init__(self) -> None:
        self._actors: dict[str, dict[int, RefParts]] = {}
        self._names: dict[int, dict[str, None]] = {}
        self._followers: dict[str, dict[str, None]] = {}

    def refuses(self, name: str, actor: RefParts) -> str:
        """Why an actor cannot be registered under that name; "" where it can."""
        actors = self._actors.get(name, {})
        if actor[2] in actors:
            return ""
        if name not in self._actors and len(self._actors) >= MAX_KEYS:
            return f"there are {MAX_KEYS} keys already; use one key for actors of one kind"
        if len(actors) >= MAX_ACTORS:
            return f"{MAX_ACTORS} actors are already; register one that knows the others"
        return ""

    def register(self, name: str, actor: RefParts) -> list[str]:
        """An actor is registered, unless it is already."""
        actors = self._actors.setdefault(name, {})
        if actors.get(actor[2]) == actor:
            return []
        actors[actor[2]] = actor
        self._names.setdefault(actor[2], {})[name] = None
        return [name]

    def knows(self, uid: int) -> bool:
        """Whether that actor is registered under any name."""
        return uid in self._names

    def deregister(self, name: str, actor: RefParts) -> list[str]:
        """An actor is not registered under that name any more."""
        return [name] if self._take(name, actor[2]) else []

    def gone(self, uid: int) -> list[str]:
        """An actor is no more."""
        names = list(self._names.get(uid, ()))
        for name in names:
            self._take(name, uid)
        return names

    def node_died(self, node: str) -> list[str]:
        """All actors of that node are no more, and it follows nothing."""
        for name in tuple(self._followers):
            self._followers[name].pop(node, None)
            if not self._followers[name]:
                del self._followers[name]
        changed: dict[str, None] = {}
        for name, actors in tuple(self._actors.items()):
            for uid in [uid for uid, parts in actors.items() if parts[0] == node]:
                self._take(name, uid)
                changed[name] = None
        return list(changed)

    def follow(self, name: str, node: str) -> list[RefParts]:
        """A node wants to hear of that key from now on; how it stands."""
        self._followers.setdefault(name, {})[node] = None
        return self.listing(name)

    def unfollow(self, name: str, node: str) -> None:
        """A node does not want to hear of that key any more."""
        followers = self._followers.get(name, {})
        followers.pop(node, None)
        if not followers:
            self._followers.pop(name, None)

    def followers(self, name: str) -> tuple[str, ...]:
        """The nodes that hear of that key."""
        return tuple(self._followers.get(name, ()))

    def listing(self, name: str) -> list[RefParts]:
        """Who is registered under that name, in the order of registration."""
        return list(self._actors.get(name, {}).values())

    def _take(self, name: str, uid: int) -> bool:
        actors = self._actors.get(name, {})
        if actors.pop(uid, None) is None:
            return False
        if not actors:
            del self._actors[name]
        names = self._names[uid]
        del names[name]
        if not names:
            del self._names[uid]
        return True

    def __repr__(self) -> str:
        return f"<Services {len(self._actors)} keys, {len(self._names)} actors>"
