"""The aggregator of a run: owns the clock and merges what workers put."""

from __future__ import annotations

import logging
from typing import Any

from actorfl import measures
from actorfl.algorithm import Closed
from actorfl.checkpoint import PendingRow
from actorfl.flow import Flow
from actorfl.flowing import Flowing
from actorfl.keeper import number
from actorfl.mean import Mean
from actorfl.merging import Refused as Refusal
from actorfl.plan import PlanText
from actorfl.roster import Phase
from actorfl.rounds import Rounds
from actorfl.traffic import Traffic
from actors import ActorRef
from actors.crashpoints import crash_point

_log = logging.getLogger("actorfl.aggregator")


class Aggregator(Flowing):
    """The centre of a star.

    Before the first ``Go`` of a clock leaves, (clock, model, state of the algorithm, length of the
    metrics file) are durable; the sums and the set of who is in them are not: an aggregator that
    was restarted re-enters its clock empty and the workers put again. It retries nothing: workers
    and the evaluator ask until they are answered. Without a barrier see ``Flowing``.

    Args:
        plan: what it needs of the run.
        monitor: is told of each line of the metrics and of the end.

    The storage of its node is the run's directory.
    """

    def __init__(self, plan: PlanText, monitor: ActorRef) -> None:
        super().__init__(plan, monitor)
        if not self._plan.sync.barrier:
            read = self._plan
            self._rounds = Flow(read.roster, read.sync, last=read.until.last, stays=read.stays)

    def _widen(self, refusal: Refusal, worker: str) -> bool:
        if isinstance(self._rounds, Flow):
            self._add_again(refusal)
            return True
        self._widen_own(refusal, worker)
        return True

    async def _look(self) -> None:
        if isinstance(self._rounds, Flow):
            await self._flow(self._rounds)
        else:
            await super()._look()

    async def _open(self) -> None:
        """The checkpoint is durable: let the clock's ``Go`` leave, have its version evaluated."""
        if isinstance(self._rounds, Flow):
            await self._open_flow(self._rounds)
            return
        self._rounds.enter(self._rounds.clock)
        if not self._rounds.gathered:  # who joins with this clock has not been heard of
            self._rounds.phase = Phase.GATHERING
            return
        self._expose()
        assert self._down is not None
        self._evaluated = None
        self._evaluating = None
        due = self._pending is not None and self._pending.due
        self._due = (self._rounds.clock, self._down) if due else None
        self._loss.clear()
        self._worker_metrics.clear()
        self._refused_below.clear()
        self._absent_below.clear()
        self._opened = self.clock.now()
        if self._final and not (due and self._plan.at == "workers"):
            self._rounds.open(self._rounds.clock, everybody=True)
            self._rounds.phase = Phase.CLOSING
            if due:
                await self._evaluate()
            else:
                await self._finish()
            return
        self._begin_sums(self._rounds.total)
        self._witness("opened")
        # The final model is evaluated by all workers.
        for name in self._rounds.open(self._rounds.clock, everybody=self._final):
            self._go(name)
        await self._evaluate()
        self._await_deadline()

    async def _advance(self) -> None:
        """Close the clock if all its parts are in and the line before it can be written."""
        if isinstance(self._rounds, Flow):
            await self._flow(self._rounds)
            return
        phase = self._rounds.phase
        if phase is Phase.CLOSING and self._evaluates:
            self._judge(measures.added(self._worker_metrics))
        if phase is Phase.OPEN and self._plan.at == "central" and self._evaluated is not None:
            # What was found ends the run: the version is final, whoever still computes on it.
            if self._final:
                self._rounds.phase = Phase.CLOSING
                await self._finish()
            return
        if phase is not Phase.CLOSING or self._waits_for_evaluation:
            return  # the evaluator's answer comes back here
        if self._final:
            await self._finish()
            return
        await self._write_row()
        await self._close(self._rounds)

    async def _close(self, rounds: Rounds) -> None:
        """Merge, make the next clock durable, open it."""
        assert self._merger is not None
        inside = sorted(each.worker for each in self._merger.contributions)
        plain = self._plan.select is None and len(rounds.members) == len(rounds.roster)
        workers = self._plan.workers
        closed = Closed(
            rounds.clock,
            rounds.clock,
            workers if plain else tuple(sorted(rounds.expected)),
            tuple(inside),
            rounds.total,
            len(workers) if plain else len(rounds.members),
        )
        if not await self._others_moved(closed):
            return
        merged = self._merger.merged()
        crash_point("aggregator.merged", rounds.clock)
        self._witness("closed", workers=tuple(inside), held=rounds.held)
        step = self._step(merged, closed)
        self._pass_time()
        rounds.merged()
        if self._plan.missed:
            below = (name for names in self._plan.below.values() for name in names)
            rounds.merged_below(below, frozenset(inside))
        statistics = self._merger.statistics()
        loss = sum(self._loss.values(), Mean())
        fields: dict[str, Any] = {
            "updates": len(inside),
            "examples": statistics.examples,
            "train_loss": number(loss.value) if loss.count else None,
            "rounded": self._rounded,
            "refused": dict(sorted((rounds.refused | self._refused_below).items())),
            "dropped": dict(sorted(rounds.dropped.items())),
            "messages": self._traffic.messages,
            "bytes": self._traffic.nbytes,
            "seconds": self._elapsed(),
        }
        if self._plan.select is not None:
            fields["selected"] = [name for name in rounds.roster if name in rounds.expected]
        absent = self._of_workers(rounds.absent()) | self._absent_below
        if absent:
            fields["absent"] = absent
        changed = {"joined": rounds.joined(), "left": rounds.left()}
        fields |= {key: names for key, names in changed.items() if names}
        if step.warning:
            fields["warning"] = step.warning
        self._traffic = Traffic()
        rounds.dropped.clear()
        rounds.clock += 1
        self._updates += len(inside) + len(rounds.refused | self._refused_below)
        self._pending = PendingRow(rounds.clock, fields, self._is_due(rounds.clock))
        await self._save(finished=False)
        self._witness("saved")
        self.publish("version", version=rounds.clock, at=self.clock.now())
        await self._open()
