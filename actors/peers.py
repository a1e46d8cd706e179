"""The other nodes as this one sees them: connected, out of reach for too long, given up, dead."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from actors.absence import Absence
from actors.errors import UsageError
from actors.events import NodeQuarantined
from actors.signals import NODE_UID, Cause, Quarantine
from transports import NodeId

if TYPE_CHECKING:
    from actors.system import ActorSystem

_log = logging.getLogger("actors.peers")

UNREACHABLE_AFTER: Final = 60.0
"""Seconds without a connection after which a node counts as dead. Twice what libzmq itself waits
before it gives a silent connection up over tcp: a switch that restarts is no death."""


class Peers:
    """Which incarnations of other nodes live, and what follows when one does not.

    Args:
        system: of this node.
        unreachable_after: see ``ActorSystem``.
    """

    def __init__(self, system: ActorSystem, unreachable_after: float | None) -> None:
        if unreachable_after is not None and not unreachable_after > 0:
            msg = f"unreachable_after={unreachable_after!r} is not above 0 s; give None for never"
            raise UsageError(msg)
        self._system = system
        self._absence = Absence(system.world.clock, unreachable_after, self._unreachable)
        self._dead: dict[NodeId, tuple[str, Cause]] = {}
        self._awaited: dict[NodeId, asyncio.Event] = {}
        #: Resolved with the reason when the launcher wants nothing more of this node.
        self.cut_off: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        #: Set once the link to the launcher, or its refusal, is there.
        self.launcher_up = asyncio.Event()
        #: Set by the process manager on a launcher; ends the process of a node that is given up.
        self.end_node: Callable[[NodeId, str, Cause], None] | None = None

    async def until_up(self, peer: NodeId) -> None:
        """Wait until there is a connection to that incarnation, which is known here."""
        link = self._system.router.link_to(peer.name)
        if link is None or link.state != "up":
            try:
                await self._awaited.setdefault(peer, asyncio.Event()).wait()
            finally:
                self._awaited.pop(peer, None)

    def why_dead(self, node: str) -> tuple[str, Cause] | None:
        """Why the last incarnation of a node that died did so; None where none has."""
        dead = [end for peer, end in self._dead.items() if peer.name == node]
        return dead[-1] if dead else None

    def is_dead(self, peer: NodeId) -> bool:
        """Whether that incarnation was declared dead."""
        return peer in self._dead

    def end(self) -> None:
        """This node itself is closed."""
        self._absence.end()
        self.cut_off.cancel()  # without effect where it has its result

    def link_up(self, peer: NodeId) -> None:
        """A link is connected."""
        _log.debug("%s: link to %s is up", self._system.name, peer)
        self._absence.back(peer)
        if peer in self._awaited:
            self._awaited.pop(peer).set()
        if peer.name == self._system.router.launcher:
            self.launcher_up.set()

    def link_down(self, peer: NodeId, reason: str, *, closed: bool) -> None:
        """A link has lost its connection, or has ended for good."""
        _log.debug(
            "%s: link to %s is down: %s (closed: %s)", self._system.name, peer, reason, closed
        )
        if closed and peer.name == self._system.router.launcher:
            self._leave(reason)
        elif not closed and self._system.router.launcher is None and not self._system.closed:
            self._absence.gone(peer)

    def quarantine(self, peer: NodeId, reason: str) -> None:
        """Give up an incarnation that lives: its actors count as dead, and it is ended.

        Args:
            peer: the incarnation.
            reason: why, for people.
        """
        self._lose(peer, reason, "quarantined")

    def _unreachable(self, peer: NodeId, reason: str) -> None:
        self._lose(peer, reason, "unreachable")

    def _lose(self, peer: NodeId, reason: str, cause: Cause) -> None:
        known = self._system.router.directory.get(peer.name)
        if self._system.closed or known is None or known[0] != peer:
            return
        self._system.events.publish(
            NodeQuarantined(node=peer.name, incarnation=peer.incarnation, reason=reason)
        )
        launcher = self._system.router.launcher
        sentence = reason if cause == "unreachable" else f"quarantined: {reason}"
        if self.end_node is not None:
            self.end_node(peer, sentence, cause)
        elif launcher == peer.name:
            self._leave(reason)
        else:
            if launcher is not None:
                order = Quarantine(peer.name, peer.incarnation, reason)
                self._system.router.signal(launcher, NODE_UID, order)
            self.node_died(peer, sentence, cause)

    def kill_node(self, node: str, reason: str) -> bool:
        """Kill the process of a node, one of whose actors does not end; whether that can be."""
        known = self._system.router.directory.get(node)
        if self.end_node is None or known is None:
            return False
        self.end_node(known[0], f"killed: {reason}", "killed")
        return True

    def _leave(self, reason: str) -> None:
        self.launcher_up.set()
        if not self.cut_off.done():
            self.cut_off.set_result(reason)

    def node_died(
        self,
        peer: NodeId,
        reason: str,
        cause: Cause,
        *,
        outside: bool = True,
        lines: str = "",
        emptied: bool = False,
    ) -> None:
        """An incarnation of a node is known to be dead.

        Args:
            peer: the incarnation.
            reason: why, for people.
            cause: why, in a word.
            outside: a signal ended it; False where its own code did (an exit code).
            lines: what its process printed last.
            emptied: its actors had been stopped before, so that no mailbox was lost with it.
        """
        known = self._system.router.directory.get(peer.name)
        if peer in self._dead or (known is not None and known[0] != peer):
            return
        # It may be heard of twice: a node that gives another up knows before its launcher does.
        self._dead[peer] = (reason, cause)
        self._absence.back(peer)
        while len(self._dead) > self._system.world.limits.max_fenced:
            del self._dead[next(iter(self._dead))]
        self._system.router.node_down(peer, reason, emptied=emptied)
        self._system.signals.node_died(peer.name)
        for cell in tuple(self._system.cells.values()):
            cell.node_died(peer.name, reason, cause, outside=outside, lines=lines)
        self._system.stops.all_ended(f"its node died: {reason}", peer.name)
        self._system.receptionist.node_died(peer)

    def __repr__(self) -> str:
        return f"<Peers of {self._system.name}, {len(self._dead)} dead, {self._absence!r}>"
