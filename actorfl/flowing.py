"""Aggregating without a barrier: each update, or each buffer of them, moves the model."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from typing import Any

from actorfl import measures
from actorfl.algorithm import Closed
from actorfl.bufferfile import BUFFER, BufferFile, Part
from actorfl.checkpoint import FlowHeader, PendingRow
from actorfl.flow import Flow
from actorfl.grid import check_total
from actorfl.keeper import Keeper, number
from actorfl.merging import Refused as Refusal
from actorfl.plan import PlanText
from actorfl.protocol import Ack, Put, Stamp, Wait
from actorfl.relative import relative
from actorfl.roster import Phase
from actorfl.terms import Contribution, Terms
from actorfl.traffic import Traffic
from actorfl.window import Window
from actors import ActorRef
from actors.crashpoints import crash_point

_log = logging.getLogger("actorfl.aggregator")


@dataclass(frozen=True)
class _Held:
    """A part that is added, and not merged yet.

    Attributes:
        label: under which it is added; a buffer may hold several parts of one worker.
        part: the part, whose arrays are its own.
        asker: who is to be told when it is durable; None: was told.
    """

    label: str
    part: Part
    asker: ActorRef | None


class Flowing(Keeper):
    """Takes parts as they come and moves the model with each, or with each full buffer.

    A part is acknowledged when it is durable: with the version that it made or, while a buffer
    fills, in a file of its own. So each (worker, clock) is merged exactly once, whatever is killed;
    in which order they come, and so which bits come out, is a matter of time.
    """

    def __init__(self, plan: PlanText, monitor: ActorRef) -> None:
        super().__init__(plan, monitor)
        self._everybody = frozenset(self._plan.roster)
        self._held: list[_Held] = []
        # What came while an evaluation kept what is held from being merged; one of a worker.
        self._queue: deque[tuple[Part, int, ActorRef]] = deque()
        self._buffer: BufferFile | None = None

    @property
    def _additive(self) -> bool:
        return isinstance(self._rounds, Flow)

    # -- parts -------------------------------------------------------------------------------------

    async def _take(self, flow: Flow, message: Put) -> None:
        """Add a part, or refuse it, or put it behind what is to be merged before."""
        worker = message.worker
        if flow.phase is Phase.CLOSING:
            flow.arrived.add(worker)
            self._note(message)
            self._tell(message.me, Ack(message.stamp))
            return
        try:
            if worker in self._plan.below and message.header is None:
                self._note(message)  # whose parts it refused, and why
                own = Contribution(worker, message.stamp.clock)
                raise Refusal("no-examples", [own], "nobody below it has a part in it")
            part = Part.of(message, self._terms(message))
        except Refusal as refusal:
            await self._turn_down(flow, worker, message.stamp, message.me, refusal)
            return
        self._note(message)
        if self._full():
            flow.arrived.add(worker)
            self._queue.append((part, message.incarnation, message.me))
            self._tell(message.me, Wait(message.stamp))
        else:
            await self._add(flow, part, message.incarnation, message.me)

    def _fit(self, flow: Flow) -> None:
        """Who joined meanwhile may weigh more than all that the grid was made for."""
        assert self._merger is not None
        if self._most(flow) <= self._made_for:
            return
        self._begin_sums(self._most(flow))
        try:
            for held in self._held:
                self._merger.fold(self._labelled(held.part, held.label))
        except Refusal as refusal:
            self._add_again(refusal)

    async def _add(self, flow: Flow, part: Part, incarnation: int, me: ActorRef) -> None:
        """Add a part; while a buffer fills, make it durable and acknowledge it."""
        worker, stamp = part.worker, part.stamp(self._plan.identity)
        self._fit(flow)
        try:
            self._merge(worker, self._labelled(part, self._label(part)))
        except Refusal as refusal:
            await self._turn_down(flow, worker, stamp, me, refusal)
            return
        self._witness(
            "merged", worker, incarnation, clock=part.clock, staleness=flow.clock - part.version
        )
        asker: ActorRef | None = me
        if self._buffer is not None:
            await self._buffer.save(part)
            self._witness("ends", worker, clock=part.clock)
            self._tell(me, Ack(stamp))
            flow.settled([worker])
            asker = None
        self._held.append(_Held(self._label(part), part, asker))

    async def _turn_down(
        self, flow: Flow, worker: str, stamp: Stamp, me: ActorRef, refusal: Refusal
    ) -> None:
        """Refuse a part: its clock is over, which must be durable before the worker hears of it."""
        flow.passed(worker, stamp.clock)
        flow.ended(worker)
        self._pass_time()
        if any(held.asker is None and held.part.worker == worker for held in self._held):
            self._refused_after.add((worker, stamp.clock))
        await self._save(finished=False)
        self._witness("ends", worker, clock=stamp.clock)
        self._refuse(worker, stamp, me, refusal)

    def _label(self, part: Part) -> str:
        return part.worker if self._buffer is None else f"{part.worker}@{part.clock}"

    def _labelled(self, part: Part, label: str) -> Terms:
        """The terms of a part, as a contribution to the open version."""
        terms = part.terms()
        terms.contributions = frozenset({Contribution(label, self._rounds.clock)})
        return terms

    def _add_again(self, refusal: Refusal) -> None:
        """Add what is held once more, on a wider grid."""
        assert self._merger is not None
        assert self._grid is not None
        wider = self._grid.wider()
        if wider is None:
            raise refusal
        self._grid = wider
        self._merger.restart(wider, self._rounds.clock)
        for held in self._held:
            self._merger.fold(self._labelled(held.part, held.label))

    # -- versions ----------------------------------------------------------------------------------

    async def _open_flow(self, flow: Flow) -> None:
        """The checkpoint is durable: go on from it."""
        self._opened = self.clock.now()
        self._expose()
        self._begin_sums(self._most(flow))
        if self._plan.sync.buffer > 1 and self._buffer is None:
            snapshots = self.snapshots(BUFFER, keep=self._plan.sync.buffer + 1)
            self._buffer = BufferFile(snapshots, self._kept)
            await self._refill(flow, self._buffer)
        for worker, clock in flow.clocks.items():
            self._witness("restored", worker, clock=clock)
        await self._have_evaluated(flow)
        self._choose(flow)
        flow.phase = Phase.OPEN
        if not self._final:
            for name in flow.open(flow.clock):
                self._go(name)
        await self._flow(flow)

    async def _refill(self, flow: Flow, buffer: BufferFile) -> None:
        """Take up the parts that were acknowledged, and are in no version yet."""
        for part in await buffer.load():
            self._pass_refused(flow, part.worker)
            if part.clock != flow.clock_of(part.worker):
                continue  # the one before it was torn by a power cut, and both are made again
            label = self._label(part)
            try:
                self._merge(part.worker, self._labelled(part, label))
            except Refusal as refusal:  # it was taken once, on the same model
                raise ValueError(f"a part that was kept cannot be added: {refusal}") from refusal
            flow.took(part.worker, part.clock)
            flow.ended(part.worker)
            self._held.append(_Held(label, part, None))
        for worker in flow.roster:
            self._pass_refused(flow, worker)
        # After a part that was torn they are computed again, and may be taken then.
        self._refused_after = {of for of in self._refused_after if of[1] < flow.clock_of(of[0])}

    def _pass_refused(self, flow: Flow, worker: str) -> None:
        """Let the clocks of a worker be over whose parts were refused, up to one that was not."""
        while (worker, flow.clock_of(worker)) in self._refused_after:
            flow.ended(worker)

    def _flow_header(self, flow: Flow) -> FlowHeader:
        """All but the parts of the buffer, which are taken up from their own files."""
        clocks, updates = dict(flow.clocks), flow.updates
        over = [(held.part.worker, held.part.clock) for held in self._held if held.asker is None]
        # Where it goes on from is the first part of a worker in the buffer, so what was refused
        # after that is told, too: else the parts would not seem to follow one another.
        refused = tuple(sorted(self._refused_after)) if over else ()
        for worker, clock in (*over, *refused):
            clocks[worker] = min(clocks[worker], clock)
            updates -= 1
        slowest = None
        if flow.stays or flow.gone:
            slowest = min((clocks[name] for name in flow.members), default=flow.slowest)
        return FlowHeader(clocks, updates, self._window, self._kept, refused, slowest)

    async def _have_evaluated(self, flow: Flow) -> None:
        """Have the newest version evaluated, if a line waits for that."""
        if self._waits_for_evaluation:
            assert self._down is not None
            self._due = (flow.clock, self._down)
            self._evaluating = None
            await self._evaluate()

    def _expected(self, flow: Flow) -> tuple[str, ...]:
        """Whose parts it waits for; sorted."""
        everybody = len(flow.members) == len(flow.roster)
        return self._plan.workers if everybody else tuple(sorted(flow.members))

    def _most(self, flow: Flow) -> int:
        """The greatest weight that what is merged at once can have."""
        most = self._plan.sync.buffer * max(1, *flow.examples.values())
        return check_total("as many updates as are merged at once", most)

    async def _flow(self, flow: Flow) -> None:
        """Merge what is held as soon as that may be, and end when the end is reached."""
        if flow.phase is Phase.CLOSING:
            if self._evaluates and flow.all_evaluated:
                self._judge(measures.added(self._worker_metrics))
                await self._finish()
            elif not self._evaluates and not self._waits_for_evaluation:
                await self._finish()
            return
        # What is in a buffer counts as taken, also where it is what reached the end.
        while self._held and self._full() and (self._buffer is not None or not self._final):
            if self._crosses(flow) and self._waits_for_evaluation:
                return  # its answer comes back here
            await self._merge_held(flow)
            while self._queue and not self._full() and not self._final:
                await self._add(flow, *self._queue.popleft())
        if not self._held and not self._final and self._crosses(flow):
            if self._waits_for_evaluation:
                return
            await self._end_refused(flow)
        if self._final:
            # Less than a round's worth; or one in which all was refused, so that nothing moved.
            if self._window.updates or flow.refused or flow.rounds > self._told:
                if self._waits_for_evaluation:
                    return
                await self._end_round(flow)
                await self._save(finished=False)
                await self._have_evaluated(flow)
            await self._end(flow)
            return
        for name in flow.released():
            self._go(name)

    async def _end_refused(self, flow: Flow) -> None:
        """End a round that a refused part has completed.

        Where nothing of it was taken it counts as a version in which the old model stays, as an
        empty round under a barrier does: else a run to a number of versions would never end.
        """
        if not self._window.updates:
            nobody = Closed(
                flow.clock, flow.clock, self._plan.workers, (), flow.total, len(self._plan.workers)
            )
            if not await self._others_moved(nobody):
                return
            flow.clock += 1
            self._choose(flow)
            self._begin_sums(self._most(flow))
            sentence = f"all updates of round {self._told + 1} were refused: the old model stays"
            self.publish("unmoved", sentence=sentence)
        await self._end_round(flow)
        await self._save(finished=False)
        await self._have_evaluated(flow)

    def _choose(self, flow: Flow) -> None:
        """Let the policy say how far workers may be apart from now on."""
        before, flow.sync = flow.sync, self._plan.sync.now(self._progress, self._metrics)
        if flow.sync is not self._plan.sync and flow.sync != before:
            self.publish("policy", sentence=f"from version {flow.clock} on {flow.sync!r} holds")

    def _full(self) -> bool:
        names = [held.part.worker for held in self._held]
        return self._plan.sync.closes(names, self._everybody, self.clock.now() - self._opened)

    def _settles(self) -> list[str]:
        """Whose clocks are open again when what is held is durable."""
        return [held.part.worker for held in self._held if held.asker is not None]

    @property
    def _evaluates(self) -> bool:
        if isinstance(self._rounds, Flow) and self._rounds.phase is not Phase.CLOSING:
            # Some update of a round's worth was asked for in it or in the one before.
            due = any((self._told + ahead) % self._plan.every == 0 for ahead in (1, 2))
            return self._plan.at == "workers" and due
        return super()._evaluates

    def _crosses(self, flow: Flow) -> bool:
        """Whether a round's worth of updates is complete with what is held."""
        return (flow.updates + len(self._settles())) // len(self._plan.roster) > self._told

    @property
    def _told(self) -> int:
        """Rounds whose line is written, or waits."""
        if self._pending is not None:
            return self._pending.round
        return 0 if self._last is None else self._last[0]

    async def _merge_held(self, flow: Flow) -> None:
        """Move the model by what is held, make the version durable, acknowledge."""
        assert self._merger is not None
        assert self._state is not None
        plan, held = self._plan, self._held
        shares = None
        if plan.sync.shares:
            shares = len(flow.members) if plan.algorithm.uniform else flow.total
        staleness = {each.label: flow.clock - each.part.version for each in held}
        closed = Closed(
            flow.clock, flow.clock, self._expected(flow), tuple(sorted(staleness)),
            flow.total, len(self._expected(flow)), staleness,
        )  # fmt: skip
        if not await self._others_moved(closed, shares):
            return
        merged = self._merger.merged()
        crash_point("aggregator.merged", flow.clock)
        self._witness(
            "closed", workers=tuple(sorted(each.part.worker for each in held)), held=flow.held
        )
        algorithm = plan.algorithm
        view = relative(merged, self._state, algorithm.models, shares, algorithm.gradients)
        step = self._step(view, closed)
        if step.warning:
            self._warnings.setdefault(step.warning)
        self._pass_time()
        window = self._window.rounding(self._rounded)
        for each in held:
            part = each.part
            window = window.plus(
                examples=part.examples, loss=part.loss, staleness=staleness[each.label],
                metrics=part.metrics,
            )  # fmt: skip
        self._window = window
        crosses = self._crosses(flow)
        flow.settled(self._settles())
        flow.clock += 1
        self._held = []
        self._refused_after.clear()
        self._choose(flow)
        if self._buffer is not None:
            self._kept = self._buffer.next
        if crosses:
            await self._end_round(flow)
        await self._save(finished=False)
        self._witness("saved")
        self.publish("version", version=flow.clock, at=self.clock.now())
        for each in held:
            if each.asker is not None:
                self._witness("ends", each.part.worker, clock=each.part.clock)
                self._tell(each.asker, Ack(each.part.stamp(plan.identity)))
        self._expose()
        self._begin_sums(self._most(flow))
        if self._due is None:
            await self._have_evaluated(flow)

    async def _end_round(self, flow: Flow) -> None:
        """Write the line of the round before, and begin that of the one that is complete."""
        rounds = max(flow.rounds, self._told + 1)  # the last one may be a part of a round
        await self._write_row()
        self._due = None
        window, self._window = self._window, Window()
        now = self.clock.now()
        fields: dict[str, Any] = {
            "updates": window.updates,
            "examples": window.examples,
            "train_loss": number(window.loss.value) if window.loss.count else None,
            "rounded": window.rounded,
            "refused": dict(sorted((flow.refused | self._refused_below).items())),
            "dropped": dict(sorted(flow.dropped.items())),
            "messages": self._traffic.messages,
            "bytes": self._traffic.nbytes,
            "seconds": self._elapsed(),
            "version": flow.clock,
            "staleness": round(window.stale / max(1, window.updates), 6),
            "stalest": window.stalest,
        }
        if self._absent_below:
            fields["absent"] = dict(sorted(self._absent_below.items()))
        if len(flow.members) != len(flow.roster):
            fields["members"] = len(flow.members)
        if not window.updates:
            why = "all its updates were refused" if flow.refused else "no update was merged"
            warned = f"round {rounds}: {why}, and the old model stays"
        elif self._warnings:
            warned = next(iter(self._warnings))  # as of a round under a barrier, the first
        else:
            warned = ""
        if warned:
            fields["warning"] = warned
        self._warnings.clear()
        if flow.sync is not self._plan.sync:
            fields["policy"] = repr(flow.sync)
        self._traffic = Traffic()
        self._opened = now
        flow.dropped.clear()
        flow.refused.clear()
        self._refused_below.clear()
        self._absent_below.clear()
        self._evaluated = None
        self._pending = PendingRow(rounds, fields, self._is_due(rounds))
        if self._pending.due and self._plan.at == "workers":
            self._judge(window.metrics)

    async def _end(self, flow: Flow) -> None:
        """The end is reached: the last version is evaluated, if it is to be."""
        told = flow.close()
        self._loss.clear()
        self._worker_metrics.clear()
        if self._evaluates:
            for name in told:
                self._go(name)
            return
        await self._flow(flow)
