"""Peers without a connection: after too long they count as dead."""

from __future__ import annotations

from collections.abc import Callable

from transports import Clock, NodeId, Timer


class Absence:
    """Counts for how long each peer has had no connection.

    Only a connection's end counts: a peer that is connected and silent may be computing.

    Args:
        clock: of the node.
        limit: seconds until ``on_lost`` is called; None for never.
        on_lost: called with the peer and a sentence.
    """

    def __init__(
        self, clock: Clock, limit: float | None, on_lost: Callable[[NodeId, str], None]
    ) -> None:
        self._clock = clock
        self._limit = limit
        self._on_lost = on_lost
        self._since: dict[NodeId, Timer] = {}

    def gone(self, peer: NodeId) -> None:
        """Its connection has ended; it tries to come back."""
        if self._limit is not None and peer not in self._since:
            self._since[peer] = self._clock.call_later(self._limit, self._lost, peer)

    def back(self, peer: NodeId) -> None:
        """It is connected again, or known to be dead."""
        timer = self._since.pop(peer, None)
        if timer is not None:
            timer.cancel()

    def end(self) -> None:
        """Nobody cares any more."""
        for peer in tuple(self._since):
            self.back(peer)

    def _lost(self, peer: NodeId) -> None:
        del self._since[peer]
        self._on_lost(peer, f"unreachable: there was no connection to it for {self._limit:g} s")

    def __repr__(self) -> str:
        return f"<Absence of {', '.join(str(peer) for peer in self._since) or 'nobody'}>"
