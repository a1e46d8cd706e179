"""The children of one actor, in the order of their start, and their end in the reverse order."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from actors.ref import ActorRef
from actors.takennames import TakenNames

if TYPE_CHECKING:
    from actors.system import ActorSystem

_log = logging.getLogger("actors.offspring")

#: Seconds that the end of a child's node may take once its process was killed.
_KILL_LIMIT = 5.0


class Offspring:
    """The living children of one actor.

    Args:
        system: of the node that their parent lives on.
    """

    __slots__ = ("_known", "_leaving", "_system", "names")

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        #: With the seconds that one on another node may take to end; inf where it lives here.
        self._known: dict[int, tuple[ActorRef, float]] = {}
        #: What they are called.
        self.names = TakenNames()
        #: The child whose end is waited for, and what that end resolves.
        self._leaving: tuple[int, asyncio.Future[None]] | None = None

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[ActorRef]:
        return iter([child for child, _ in self._known.values()])

    def __contains__(self, uid: int) -> bool:
        leaving = self._leaving
        return uid in self._known or (leaving is not None and leaving[0] == uid)

    def adopt(self, child: ActorRef, limit: float) -> None:
        """One more; ``limit`` seconds is what it may take to stop where it lives elsewhere."""
        here = child.node == self._system.name
        if child.uid not in self._known:
            self.names.add(child.name)
        self._known[child.uid] = (child, math.inf if here else limit)

    def reorder(self, order: Iterable[int]) -> None:
        """These uids are the order of their start."""
        known = self._known
        self._known = {uid: known[uid] for uid in order if uid in known}
        for uid in known.keys() - self._known.keys():
            self.names.remove(known[uid][0].name)

    def gone(self, uid: int) -> ActorRef | None:
        """It is no child any more; which it was, if it was one."""
        child, _ = self._known.pop(uid, (None, 0.0))
        if child is not None:
            self.names.remove(child.name)
        if self._leaving is not None and self._leaving[0] == uid:
            ended = self._leaving[1]
            if not ended.done():
                ended.set_result(None)
        return child

    async def stop(self) -> None:
        """Stop them in reverse order of their start, one after the other.

        One on this node ends by itself: what it runs is cancelled after its time. One on another
        has its limit; then its process is killed.
        """
        for uid, (child, limit) in reversed(list(self._known.items())):
            if uid not in self._known:
                continue
            ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._leaving = (uid, ended)
            child.stop()
            if not await _in_time(ended, limit):
                why = f"{child.path} did not stop within {limit:g} s"
                _log.warning("%s; its process is killed", why)
                killed = self._system.peers.kill_node(child.node, why)
                if not (killed and await _in_time(ended, _KILL_LIMIT)):
                    _log.error("%s is left, for its process cannot be ended", child.path)
            self._leaving = None
        self._known.clear()
        self.names = TakenNames()

    def __repr__(self) -> str:
        return f"<Offspring {', '.join(child.path for child in self) or 'none'}>"


async def _in_time(ended: asyncio.Future[None], limit: float) -> bool:
    try:
        async with asyncio.timeout(limit if limit < math.inf else None):
            await asyncio.shield(ended)
    except TimeoutError:
        return False
    return True
