"""System signals of a node: whom each is for, and who answers where nobody is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.events import Custom
from actors.receptionist import RECEPTIONIST_UID
from actors.signals import (
    GUARDIAN_UID,
    NODE_UID,
    AnySignal,
    Cause,
    Dial,
    Inspect,
    Inspected,
    MomentCame,
    NodeDown,
    NodeReady,
    NodeUp,
    Quarantine,
    RefParts,
    Reported,
    Spawn,
    Stop,
    Stopped,
    Unwatch,
    Watch,
)
from transports import NodeId

if TYPE_CHECKING:
    from actors.cell import Cell
    from actors.system import ActorSystem

#: Actors that are gone of which a node remembers why, for those who watch them too late.
_REMEMBERED = 10_000
#: Seconds that a watched actor of which this node knows nothing has to be made: actors of a graph
#: have references before they are, and some start before others.
MADE_WITHIN = 1.0
#: Watches that wait for that; more are answered at once.
MOST_EARLY = 10_000


class NodeSignals:
    """Sends what is for others, and gives what is for this node to the part that it concerns.

    Args:
        system: of this node.
    """

    def __init__(self, system: ActorSystem) -> None:
        self._system = system
        #: Of this node's actors that are gone, by uid: why. Whoever watches one too late learns it.
        self._ended: dict[int, tuple[str, Cause]] = {}
        #: By the uid of an actor that is not made yet, and of who watches it already.
        self._early: dict[int, dict[int, Watch]] = {}
        self._waiting = 0

    def send(self, to: RefParts, signal: AnySignal) -> None:
        """Send a system signal to an actor, its guardian or a node."""
        node, _path, uid = to
        if node == self._system.name:
            self._signalled_here(uid, signal, to)
        elif self._system.router.link_to(node) is None:
            self._answer_for_dead(to, signal, f"node {node} is gone")
        else:
            if self._system.watch_signals is not None:
                self._system.watch_signals(node, uid, signal)
            self._system.router.signal(node, uid, signal)

    def received(self, peer: NodeId, uid: int, signal: AnySignal) -> None:
        """A signal came from another node."""
        if self._system.peers.is_dead(peer):
            # Held back until after its end, which told all: that it is up, or that it has started
            # an actor, would be taken for the news of its successor.
            return
        if self._system.watch_signals is not None:
            self._system.watch_signals(peer.name, NODE_UID, signal)
        match signal:
            case Spawn():
                self._system.make_ordered(signal)
            case NodeUp(name, incarnation, address):
                if name != self._system.name:
                    self._system.router.node_up(NodeId(name, incarnation), address)
            case NodeDown(name, incarnation, reason, cause):
                self._system.peers.node_died(NodeId(name, incarnation), reason, cause)
            case Dial(who, wants) if who == self._system.name:
                self._system.router.link_to(wants)
            case Quarantine(name, incarnation, reason):
                self._system.peers.quarantine(
                    NodeId(name, incarnation), f"{peer.name} says that {reason}"
                )
            case MomentCame(moment, seconds) if peer.name == self._system.router.launcher:
                self._system.world.moments.came(moment, seconds)
            case NodeReady() | Dial() | MomentCame():
                if self._system.on_node_signal is not None:
                    self._system.on_node_signal(peer, signal)
            case Reported(kind, fields):
                self._system.events.publish(Custom(source=peer.name, kind=kind, fields=fields))
            case Stopped() if uid == NODE_UID:
                self._gone(signal)
            case Inspected(number, state):
                self._system.debug.answered(number, state)
            case _:
                self._signalled_here(uid, signal, (self._system.name, "?", uid), peer)

    def _signalled_here(
        self, uid: int, signal: AnySignal, to: RefParts, peer: NodeId | None = None
    ) -> None:
        if uid == GUARDIAN_UID:
            self._system.guard(signal)
            return
        if isinstance(signal, Inspected):
            self._system.debug.answered(signal.number, signal.state)
            return
        if uid == RECEPTIONIST_UID:
            self._system.receptionist.signalled(signal)
            return
        cell = self._system.cells.get(uid)
        if cell is not None:
            cell.signal(signal)
        elif isinstance(signal, Watch) and self._may_be_made(uid):
            self._no_longer(uid, signal.watcher[2])
            self._early.setdefault(uid, {})[signal.watcher[2]] = signal
            self._waiting += 1
            self._system.world.clock.call_later(MADE_WITHIN, self._not_made, to, signal)
        elif isinstance(signal, Unwatch):
            self._no_longer(uid, signal.watcher[2])
        else:
            self._answer_for_dead(to, signal, "no such actor", peer)

    def _may_be_made(self, uid: int) -> bool:
        """Whether a supervisor may be about to make an actor that is not here."""
        closed = self._system.closed
        return uid not in self._ended and not closed and self._waiting < MOST_EARLY

    def _not_made(self, to: RefParts, signal: Watch) -> None:
        uid, watcher = to[2], signal.watcher[2]
        if self._early.get(uid, {}).get(watcher) is signal:
            self._no_longer(uid, watcher)
            if not self._system.closed:
                self._answer_for_dead(to, signal, "no such actor")

    def _no_longer(self, uid: int, watcher: int) -> None:
        early = self._early.get(uid)
        if early is not None and early.pop(watcher, None) is not None:
            self._waiting -= 1
            if not early:
                del self._early[uid]

    def made(self, cell: Cell) -> None:
        """An actor of this node is there, which may be watched already."""
        if self._early:
            early = self._early.pop(cell.uid, {})
            self._waiting -= len(early)
            for signal in early.values():
                cell.signal(signal)

    def node_died(self, node: str) -> None:
        """Those of another node watch nobody any more."""
        for uid, early in tuple(self._early.items()):
            for watcher, signal in tuple(early.items()):
                if signal.watcher[0] == node:
                    self._no_longer(uid, watcher)

    def _answer_for_dead(
        self, to: RefParts, signal: AnySignal, why: str, peer: NodeId | None = None
    ) -> None:
        """A signal to an actor that is not there: whoever waits for an answer is told at once."""
        if isinstance(signal, Inspect):
            self.send((signal.asker, "/", NODE_UID), Inspected(signal.number, None))
            return
        if not isinstance(signal, Watch | Stop):
            return
        cause: Cause = "not_found"
        if to[0] == self._system.name:
            why, cause = self._ended.get(to[2], (why, cause))
        else:
            why, cause = self._system.peers.why_dead(to[0]) or (why, cause)
        gone = Stopped(to, why, cause)
        if isinstance(signal, Watch):
            self.send(signal.watcher, gone)
        elif peer is None:
            self._gone(gone)
        else:
            self._system.router.signal(peer.name, NODE_UID, gone)

    def ended(self, uid: int, reason: str, cause: Cause) -> None:
        """An actor of this node is gone, and why."""
        self._ended[uid] = (reason, cause)
        if len(self._ended) > _REMEMBERED:
            del self._ended[next(iter(self._ended))]

    def _gone(self, gone: Stopped) -> None:
        """Whoever has it among its children, or waits for its end, learns that it is gone.

        Who watches it gets an answer of his own: his question may be on its way, and find what a
        supervisor has made in its place.
        """
        for cell in tuple(self._system.cells.values()):
            if cell.is_parent_of(gone.actor[2]):
                cell.signal(gone)
        self._system.guard(gone)

    def __repr__(self) -> str:
        return f"<NodeSignals of {self._system.name}, {len(self._ended)} ends remembered>"
