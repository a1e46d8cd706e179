"""Those who wait until an actor is gone."""

from __future__ import annotations

import asyncio

from actors.ref import ActorRef


class Stops:
    """Who waits for the end of which actor of which node; each wait ends with a reason."""

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[str, list[asyncio.Future[str]]]] = {}

    def wait_for(self, ref: ActorRef) -> asyncio.Future[str]:
        """What the end of that actor resolves, with the reason."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(ref.uid, (ref.node, []))[1].append(future)
        return future

    def ended(self, uid: int, reason: str) -> None:
        """That actor is gone."""
        _, waiting = self._waiting.pop(uid, ("", []))
        for future in waiting:
            if not future.done():
                future.set_result(reason)

    def all_ended(self, reason: str, node: str | None = None) -> None:
        """All actors are gone, or those of one node."""
        for uid, (where, _) in tuple(self._waiting.items()):
            if node in (None, where):
                self.ended(uid, reason)

    def __len__(self) -> int:
        return len(self._waiting)

    def __repr__(self) -> str:
        return f"<Stops of {len(self)} actors waited for>"
