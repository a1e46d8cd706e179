"""Which actor a uid is of, as far as a node has heard: messages carry no more than the uid."""

from __future__ import annotations

from typing import Final

_MOST: Final = 10_000
"""Paths that a node remembers; the one that it heard of first is forgotten."""


class KnownPaths:
    """Paths of actors by uid, for what people are told."""

    def __init__(self) -> None:
        self._paths: dict[int, str] = {}

    def note(self, uid: int, path: str) -> None:
        """This is its path."""
        self._paths[uid] = path
        if len(self._paths) > _MOST:
            del self._paths[next(iter(self._paths))]

    def name(self, uid: int, node: str) -> str:
        """The path of an actor of that node where it is known, else its uid."""
        return self._paths.get(uid) or nameless(uid, node)

    def __repr__(self) -> str:
        return f"<KnownPaths {len(self._paths)}>"


def nameless(uid: int, node: str) -> str:
    """How an actor is called whose path is not known."""
    return f"uid {uid:x} on {node}"
