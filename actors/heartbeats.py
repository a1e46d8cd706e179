"""A launcher's heartbeats: who of its processes still answers, and what becomes of who does not."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

from actors.events import NodeAnswers, NodeStuck
from actors.faults.tally import Tally
from actors.liveness import INTERVAL, STUCK, Liveness
from actors.managed import Managed
from actors.signals import AnySignal, Failed, Restart, Spawn, Started, Stopped
from actors.spawner import Child
from actors.system import ActorSystem
from transports import NodeId, Timer

_log = logging.getLogger("actors.processes")

#: Seconds by which the launcher's own timer may come late on a busy machine.
_LATE = 0.1


class Heartbeats:
    """Asks the processes of one launcher whether they still answer.

    Args:
        system: the launcher's own.
        processes: those that are declared, by the names of their nodes.
        tally: is told of the faults that a heartbeat's answer counts.
        stuck_after: seconds of silence after which one that lives is killed; None for never.
    """

    def __init__(
        self,
        system: ActorSystem,
        processes: Mapping[str, Managed],
        tally: Tally,
        stuck_after: float | None,
    ) -> None:
        self._system = system
        self._processes = processes
        self._tally = tally
        self._stuck_after = stuck_after
        self._beat: Timer | None = None
        self._next_beat = 0.0
        system.router.on_heartbeat = self._heard
        system.watch_signals = self._ordered

    def begin(self) -> None:
        """Ask all after a heartbeat's time, and so on until it is stopped."""
        world = self._system.world
        self._next_beat = world.clock.now() + world.heartbeat
        self._beat = world.clock.call_later(world.heartbeat, self._beats)

    def stop(self) -> None:
        """Ask no more."""
        if self._beat is not None:
            self._beat.cancel()

    def _beats(self) -> None:
        """Ask all, and see who has been silent for too long."""
        now = self._system.world.clock.now()
        # A launcher that was held up, or frozen itself, has heard nobody in that time.
        late = now - self._next_beat
        self.begin()
        for process in self._processes.values():
            if process.liveness is None or process.child is None or not process.child.alive:
                continue
            if late > _LATE:
                process.liveness.excuse(late, now)
            if process.starts_actors(now):
                process.liveness.excuse(math.inf, now)
            self._system.router.heartbeat(process.name)
            self._look_at(process, process.child, process.liveness, now)

    def _look_at(self, process: Managed, child: Child, liveness: Liveness, now: float) -> None:
        silent = liveness.silent(now)
        assert process.node is not None
        # Of more seldom questions as many answers are missed before it is called so.
        if silent > STUCK * (self._system.world.heartbeat / INTERVAL) and not liveness.stuck:
            liveness.stuck = True
            self._system.events.publish(
                NodeStuck(
                    node=process.name,
                    incarnation=process.node.incarnation,
                    pid=child.pid,
                    seconds=round(silent, 3),
                    phi=round(liveness.phi(now), 3),
                )
            )
        if self._stuck_after is not None and silent > self._stuck_after:
            _log.warning("%s has not answered for %.1f s; it is killed", process.name, silent)
            process.liveness = None
            process.verdict = (f"killed: it had not answered for {silent:.1f} s", "killed")
            child.kill()

    def _heard(self, peer: NodeId, faults: bytes) -> None:
        process = self._processes.get(peer.name)
        if process is None or process.node != peer or process.liveness is None:
            return
        self._tally.told(peer, faults)
        process.liveness.heard(self._system.world.clock.now())
        if process.liveness.stuck:
            process.liveness.stuck = False
            assert process.child is not None
            self._system.events.publish(
                NodeAnswers(node=peer.name, incarnation=peer.incarnation, pid=process.child.pid)
            )

    def _ordered(self, node: str, uid: int, signal: AnySignal) -> None:
        process = self._processes.get(node)
        if process is None:
            return
        match signal:
            case Spawn() | Restart():
                process.awaited[uid] = self._system.world.clock.now()
            case Started(actor) | Failed(actor, _) | Stopped(actor, _):
                process.awaited.pop(actor[2], None)

    def __repr__(self) -> str:
        return f"<Heartbeats of {len(self._processes)} processes>"
