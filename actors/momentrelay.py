"""A launcher's relay of moments: what one process sees come, the others are told."""

from __future__ import annotations

from collections.abc import Mapping

from actors.faults.moment import Moment
from actors.faults.plan import FaultPlan
from actors.managed import Managed
from actors.signals import NODE_UID, MomentCame
from actors.system import ActorSystem
from transports import NodeId


class MomentRelay:
    """Tells the processes of one launcher which moments of its fault plan have come.

    Args:
        system: the launcher's own.
        processes: those that are declared, by the names of their nodes.
        faults: the plan.
    """

    def __init__(
        self, system: ActorSystem, processes: Mapping[str, Managed], faults: FaultPlan | None
    ) -> None:
        self._system = system
        self._processes = processes
        self._faults = faults

    def came(self, peer: NodeId, moment: Moment, seconds: float) -> None:
        """One that a node saw come, so many seconds after the start: the others are told."""
        # Of the plan's alone: a peer must not fill the memory with others.
        if not self._faults or moment not in self._faults.moments:
            return
        if not self._system.world.moments.came(moment, seconds):
            return
        for name, process in self._processes.items():
            if process.liveness is not None and name != peer.name:
                self._system.router.signal(name, NODE_UID, MomentCame(moment, seconds))

    def tell(self, peer: NodeId) -> None:
        """A node that is up is told which moments came before it."""
        world = self._system.world
        for moment, seconds in () if world.counts_shared else world.moments.all().items():
            self._system.router.signal(peer.name, NODE_UID, MomentCame(moment, seconds))

    def __repr__(self) -> str:
        return f"<MomentRelay to {len(self._processes)} processes>"
