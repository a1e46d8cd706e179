"""The aggregator: owns the clock, merges what workers put, keeps the model durable; no torch."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from actorfl import checkpoint, measures, modelfile
from actorfl.algorithm import Closed, Ctx, ServerState, advance
from actorfl.checkpoint import Header, PendingRow
from actorfl.errors import Misfit
from actorfl.grid import Grid
from actorfl.layout import Layout
from actorfl.mean import Mean
from actorfl.merging import Merger
from actorfl.merging import Refused as Refusal
from actorfl.numerics import Numerics
from actorfl.plan import Plan, PlanText
from actorfl.protocol import (
    Ack,
    Build,
    Done,
    Evaluate,
    Evaluated,
    Finished,
    Go,
    Idle,
    Initial,
    Put,
    Ready,
    Refused,
    Row,
    Stamp,
    Wait,
    unpack,
)
from actorfl.rounds import Answer, Phase, Rounds, Verdict
from actorfl.terms import Contribution, Sum, Terms, TermsError
from actorfl.until import Progress
from actorfl.witness import Kind, witness
from actors import Actor, ActorRef, Message, Snapshots
from actors.crashpoints import crash_point
from actors.snapshot import KEPT
from transports import LandingPool, LinkFull, Transfer, Weights

_log = logging.getLogger("actorfl.aggregator")

#: Seconds until the end is told again, should the word have been lost.
_TELL_AGAIN = 1.0


class _TellAgain(Message[None]):
    pass


class Aggregator(Actor):
    """The centre of a star.

    Before the first ``Go`` of a clock leaves, (clock, model, state of the algorithm, length of the
    metrics file) are durable; the sums and the set of who is in them are not: an aggregator that
    was restarted re-enters its clock empty and the workers put again. It retries nothing: workers
    and the evaluator ask until they are answered.

    Args:
        plan: what it needs of the run.
        monitor: is told of each line of the metrics and of the end.

    The storage of its node is the run's directory.
    """

    def __init__(self, plan: PlanText, monitor: ActorRef) -> None:
        self._plan = Plan.read(plan)
        self._monitor = monitor
        self._evaluator: ActorRef | None = None
        self._rounds = Rounds(self._plan.roster, self._plan.sync)
        self._workers: dict[str, ActorRef] = {}
        self._layout: Layout | None = None
        self._state: ServerState | None = None
        self._merger: Merger | None = None
        self._grid: Grid | None = None
        self._down: Weights | None = None
        self._names: frozenset[str] | None = None
        self._offset = 0
        self._pending: PendingRow | None = None
        self._evaluated: dict[str, Mean] | None = None
        self._last: tuple[int, str] | None = None
        self._metrics: dict[str, float | None] = {}
        self._loss: dict[str, Mean] = {}
        self._worker_metrics: dict[str, dict[str, Mean]] = {}
        self._going: dict[str, tuple[int, int, Transfer]] = {}
        self._evaluating: tuple[int, Transfer] | None = None
        self._finished: Finished | None = None
        self._numerics = Numerics(self._plan.roster[0])
        self._bytes = 0
        self._opened = 0.0

    async def on_start(self) -> None:
        """Take up the newest checkpoint; without one the evaluator has to build the model."""
        crash_point("aggregator.start")
        pool = LandingPool(buffers=self._plan.landing)
        self.system.set_landing_pool(self.ref, pool)
        self._snapshots = self._checkpoints()
        # Whoever had it before may be frozen, and wake up in the middle of an append.
        await self.storage.claim(checkpoint.METRICS)
        found = await checkpoint.load(self._snapshots)
        if found is None:
            return
        header = found.header
        if header.identity != self._plan.identity:
            msg = f"the snapshots here belong to another run ({header.identity})"
            raise ValueError(msg)
        self._take_up(header, found.state)
        _log.info("restored at clock %d", header.clock)
        if self._last is not None:
            self._tell(self._monitor, Row(*self._last))
        await self._open()

    def _checkpoints(self) -> Snapshots:
        """Where its checkpoints lie."""
        return self.snapshots(checkpoint.FOLDER, keep=None if self._plan.record else KEPT)

    def _take_up(self, header: Header, state: ServerState) -> None:
        """Go on from a checkpoint."""
        self._layout = header.layout
        self._state = state
        self._rounds.clock = header.clock
        self._rounds.examples = dict(header.examples)
        self._offset = header.offset
        self._pending = header.pending
        self._last = header.last
        self._metrics = dict(header.metrics)
        self._numerics = Numerics(self._plan.roster[0], header.numerics, header.unpromised)

    # -- the evaluator -----------------------------------------------------------------------------

    def idle(self, message: Idle) -> None:
        """The evaluator has nothing to do: give it what is due, unless it is on its way."""
        if message.run != self._plan.identity:
            self._rounds.dropped["foreign"] += 1
            return
        self._evaluator = message.me
        if self._state is None:
            self._tell(message.me, Build(self._plan.identity, self.ref))
        else:
            self._evaluate()

    async def initial(self, message: Initial) -> None:
        """The initial model is there."""
        try:
            if message.run != self._plan.identity or self._state is not None:
                return
            vector, integers, _ = unpack(message.weights)
            message.layout.check(vector)
            begun = self._plan.algorithm.begin(np.array(vector))
            buffers = {name: np.array(array) for name, array in integers.items()}
        finally:
            message.weights.release()
        self._layout = message.layout
        self._state = ServerState(begun.weights, buffers, begun.vectors, begun.scalars)
        if self._rounds.gathered:
            await self._begin()

    async def _begin(self) -> None:
        """Model and roster are complete: clock 0 becomes durable and opens."""
        await self._save(finished=False)
        await self._open()

    async def evaluated(self, message: Evaluated) -> None:
        """A version has been evaluated."""
        if (
            message.stamp.run != self._plan.identity
            or self._pending is None
            or message.stamp.version != self._pending.round
            or self._evaluated is not None
        ):
            return
        self._evaluated = message.metrics
        await self._advance()

    def _evaluate(self) -> None:
        """Send the open version to be evaluated, if that is due and it is not on its way."""
        pending, version = self._pending, self._rounds.clock
        if (
            self._plan.at != "central"
            or pending is None
            or not pending.due
            or self._evaluated is not None
            or self._evaluator is None
            or self._down is None
        ):
            return
        if self._evaluating is not None:
            of, transfer = self._evaluating
            if of == version and not transfer.done.done():
                return
        sent = self._tell(self._evaluator, Evaluate(self._stamp(), self._down, self.ref))
        self._evaluating = None if sent is None else (version, sent)

    # -- the workers -------------------------------------------------------------------------------

    async def ready(self, message: Ready) -> None:
        """A worker waits for a clock."""
        if message.stamp.run != self._plan.identity:
            self._rounds.dropped["foreign"] += 1
            return
        self._witness("heard", message.worker, message.incarnation)
        answer = self._rounds.ready(message.worker, message.incarnation, message.examples)
        if answer in (Answer.UNKNOWN, Answer.FENCED):
            return
        self._workers[message.worker] = message.me
        self._compare(message)
        if answer is Answer.GO:
            self._go(message.worker)
        elif answer is Answer.DONE:
            self._tell(message.me, Done(self._stamp()))
        else:
            self._tell(message.me, Wait(self._stamp()))
            if answer is Answer.GATHER and self._rounds.gathered and self._state is not None:
                await self._begin()

    def _compare(self, message: Ready) -> None:
        """Say, or under ``strict`` refuse, that a worker computes otherwise than the first."""
        if message.fingerprint is None:
            return
        for sentence in self._numerics.heard(message.worker, message.fingerprint):
            if self._plan.strict:
                raise Misfit(f"the run is strict, but {sentence}")
            self.publish("warning", sentence=f"the same bits are not promised: {sentence}")

    async def put(self, message: Put) -> None:
        """A worker's part of a clock: checked, added exactly, acknowledged; or refused by name."""
        weights = message.weights
        try:
            if message.stamp.run != self._plan.identity:
                self._rounds.dropped["foreign"] += 1
                return
            self._witness("heard", message.worker, message.incarnation)
            verdict = self._rounds.put(
                message.worker, message.incarnation, message.stamp.clock, message.stamp.version
            )
            if verdict in (Verdict.UNKNOWN, Verdict.FENCED):
                return
            self._workers[message.worker] = message.me
            if verdict is Verdict.AGAIN:
                self._tell(message.me, Ack(message.stamp))
            elif verdict is Verdict.EARLY:
                if self._rounds.phase is Phase.OPEN:
                    self._go(message.worker)
            else:
                self._fold(message)
        finally:
            if weights is not None:
                weights.release()
        if self._rounds.complete():
            self._rounds.phase = Phase.CLOSING
            await self._advance()

    def _fold(self, message: Put) -> None:
        worker = message.worker
        if message.weights is not None:
            self._bytes += message.weights.nbytes
        if self._final:
            self._rounds.arrived.add(worker)
        else:
            try:
                self._merge(worker, self._terms(message))
                # The open clock's version is the newest one under every policy there is.
                staleness = self._rounds.clock - message.stamp.version
                self._witness("merged", worker, message.incarnation, staleness=staleness)
            except Refusal as refusal:
                self._refuse(message, refusal)
                return
        self._loss[worker] = message.loss
        self._worker_metrics[worker] = message.metrics
        self._tell(message.me, Ack(message.stamp))

    def _terms(self, message: Put) -> Terms:
        """What was put, if it is this worker's own part and no more than it announced.

        Else a wrong part could keep out the right ones of others, whoever came first.
        """
        worker = message.worker
        own = Contribution(worker, message.stamp.clock)
        if message.header is None or message.weights is None:
            raise Refusal("keys", [own], "it holds no terms")
        arrays = {name: message.weights[name] for name in message.weights.names()}
        try:
            terms = Terms.from_wire(message.header, arrays)
        except TermsError as error:
            raise Refusal("keys", [own], str(error)) from None
        if terms.contributions != {own}:
            states = ", ".join(
                f"{c.worker} in round {c.clock + 1}" for c in message.header.contributions[:3]
            )
            raise Refusal("keys", [own], f"it states to be the part of {states}")
        if self._names is not None and terms.sums.keys() != self._names:
            raise Refusal(
                "keys", [own], f"its terms are {sorted(terms.sums)}, not {sorted(self._names)}"
            )
        announced = self._rounds.examples[worker]
        weights = [term.weight for term in terms.sums.values()]
        if terms.examples > announced or max(weights, default=0) > max(1, announced):
            most = max(terms.examples, *weights, 0)
            raise Refusal("weight", [own], f"it weighs {most}, but announced {announced} examples")
        if not all(isinstance(term, Sum) for term in terms.sums.values()):
            raise Refusal("dtype", [own], "a worker's own update is float32, not a sum on a grid")
        return terms

    def _merge(self, worker: str, terms: Terms) -> None:
        """Add terms; an overflow begins the clock anew on a wider grid.

        The grid that a clock ends on is the narrowest that fits all its updates, so it does not
        depend on the order in which they came.
        """
        assert self._merger is not None
        assert self._grid is not None
        while True:
            crash_point("aggregator.merge", self._rounds.clock)
            try:
                self._merger.fold(terms)
            except Refusal as refusal:
                wider = self._grid.wider() if refusal.wants_wider_grid else None
                if wider is None:
                    raise
                _log.info("clock %d begins anew on a wider grid: %s", self._rounds.clock, refusal)
                self._grid = wider
                self._merger.restart(wider, self._rounds.clock)
                self._witness("opened")
                again = self._rounds.arrived - {worker}
                self._rounds.arrived.clear()
                for name in sorted(again):
                    self._go(name)
            else:
                self._rounds.arrived.add(worker)
                return

    def _refuse(self, message: Put, refusal: Refusal) -> None:
        sentence = str(refusal)
        self._rounds.refused[message.worker] = refusal.reason
        self._worker_metrics[message.worker] = message.metrics
        self.publish(
            "refused", worker=message.worker, clock=self._rounds.clock, reason=refusal.reason,
            sentence=sentence,
        )  # fmt: skip
        self._tell(message.me, Refused(message.stamp, refusal.reason, sentence))

    def _go(self, name: str) -> None:
        """Send the open clock to a worker, unless it is on its way there already."""
        assert self._down is not None
        assert self._grid is not None
        going = self._going.get(name)
        incarnation = self._rounds.incarnations.get(name, -1)
        if going is not None:
            clock, to, transfer = going
            if (clock, to) == (self._rounds.clock, incarnation) and not transfer.done.done():
                return
        worker = self._workers[name]
        final = self._final
        pending = self._pending
        transfer_now = self._tell(
            worker,
            Go(
                self._stamp(),
                not final,
                self._plan.at == "workers" and pending is not None and pending.due,
                self._grid,
                self._down,
            ),
        )
        if transfer_now is not None:
            self._bytes += self._down.nbytes
            self._going[name] = (self._rounds.clock, incarnation, transfer_now)

    def _tell(self, to: ActorRef, message: Message[None]) -> Transfer | None:
        """Tell, or leave it where the link is full: whoever waits for an answer asks again."""
        try:
            return to.send(message)
        except LinkFull as full:
            _log.debug("%s is not told to %s now: %s", type(message).__name__, to.path, full)
            return None

    def _witness(
        self,
        kind: Kind,
        worker: str = "",
        incarnation: int = 0,
        workers: tuple[str, ...] = (),
        *,
        staleness: int = 0,
        held: int = 0,
    ) -> None:
        by = (self.system.generation << 20) | self.restarts
        clock = self._rounds.clock
        witness(kind, by, clock, worker, incarnation, workers, staleness, held)

    def _stamp(self) -> Stamp:
        return Stamp(self._plan.identity, self._rounds.clock, self._rounds.clock)

    # -- the clock ---------------------------------------------------------------------------------

    @property
    def _final(self) -> bool:
        """Whether all rounds are done and only an evaluation is left."""
        return self._plan.until.reached(Progress(self._rounds.clock))

    async def _open(self) -> None:
        """The checkpoint is durable: let the clock's ``Go`` leave, have its version evaluated."""
        assert self._state is not None
        assert self._layout is not None
        self._down = checkpoint.down_of(self._plan.algorithm, self._state)
        self._evaluated = None
        self._evaluating = None
        due = self._pending is not None and self._pending.due
        central = due and self._plan.at == "central"
        self._loss.clear()
        self._worker_metrics.clear()
        self._opened = self.clock.now()
        if self._final and not (due and self._plan.at == "workers"):
            self._rounds.open(self._rounds.clock)
            self._rounds.phase = Phase.CLOSING
            if central:
                self._evaluate()
            else:
                await self._finish()
            return
        self._names = _names_of_terms(self._plan, self._layout, self._state, unpack(self._down)[2])
        total = self._rounds.total
        self._grid = Grid.of(self._state.weights, self._layout, total, self._plan.algorithm.floor)
        if self._merger is None:
            self._merger = self._begin_merging(self._layout, self._grid, self._rounds.clock)
        else:
            self._merger.restart(self._grid, self._rounds.clock)
        self._witness("opened")
        for name in self._rounds.open(self._rounds.clock):
            self._go(name)
        self._evaluate()

    def _begin_merging(self, layout: Layout, grid: Grid, clock: int) -> Merger:
        """The accumulator of its clocks; this is the first of them."""
        return self._plan.merger(layout, grid, clock)

    async def _advance(self) -> None:
        """Close the clock if all its parts are in and the line before it can be written."""
        if self._rounds.phase is not Phase.CLOSING:
            return
        pending = self._pending
        if pending is not None and pending.due:
            if self._plan.at == "workers":
                self._evaluated = measures.added(self._worker_metrics)
            if self._evaluated is None:
                return  # the evaluator still works; its answer comes back here
        if self._final:
            await self._finish()
            return
        await self._write_row()
        await self._close()

    async def _close(self) -> None:
        """Merge, make the next clock durable, open it."""
        assert self._merger is not None
        assert self._state is not None
        rounds = self._rounds
        merged = self._merger.merged()
        crash_point("aggregator.merged", rounds.clock)
        inside = sorted(each.worker for each in self._merger.contributions)
        self._witness("closed", workers=tuple(inside), held=rounds.held)
        closed = Closed(
            rounds.clock,
            rounds.clock,
            tuple(sorted(self._plan.roster)),
            tuple(sorted(rounds.arrived)),
            rounds.total,
        )
        step = advance(self._plan.algorithm, self._state, merged, closed)
        if not step.moved:  # the line of the round tells people
            self.publish("unmoved", sentence=step.warning)
        statistics = self._merger.statistics()
        self._state = step.state
        loss = sum(self._loss.values(), Mean())
        fields: dict[str, Any] = {
            "updates": len(rounds.arrived),
            "examples": statistics.examples,
            "train_loss": _number(loss.value) if loss.count else None,
            "rounded": statistics.rounded,
            "refused": dict(sorted(rounds.refused.items())),
            "dropped": dict(sorted(rounds.dropped.items())),
            "bytes": self._bytes,
            "seconds": round(self.clock.now() - self._opened, 6),
        }
        if not step.moved:
            fields["warning"] = step.warning
        self._bytes = 0
        rounds.dropped.clear()
        rounds.clock += 1
        due = self._plan.at != "nowhere" and (rounds.clock % self._plan.every == 0 or self._final)
        self._pending = PendingRow(rounds.clock, fields, due)
        await self._save(finished=False)
        self._witness("saved")
        self.publish("version", version=rounds.clock, at=self.clock.now())
        await self._open()

    async def _write_row(self) -> None:
        """Append the line of the last closed round, at the place the checkpoint knows."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        row: dict[str, Any] = {"round": pending.round, **pending.fields}
        if self._evaluated is not None:
            found = {name: mean.value for name, mean in self._evaluated.items()}
            if self._plan.at == "workers":
                found |= measures.worst_deciles(self._worker_metrics)
            self._metrics = {name: _number(value) for name, value in sorted(found.items())}
            row = {"round": pending.round, **self._metrics, **pending.fields}
        text = json.dumps(row, allow_nan=False)
        line = text.encode() + b"\n"
        await self.storage.append(checkpoint.METRICS, line, self._offset)
        self._offset += len(line)
        self._last = (pending.round, text)
        self._tell(self._monitor, Row(*self._last))

    async def _finish(self) -> None:
        """Write the last line and the final model."""
        assert self._state is not None
        assert self._layout is not None
        await self._write_row()
        sha256 = await modelfile.write(
            self.storage, self._layout, self._state.weights, self._state.buffers
        )
        await self._save(finished=True)
        self._rounds.phase = Phase.FINISHED
        for worker in self._workers.values():
            self._tell(worker, Done(self._stamp()))
        accuracy = self._metrics.get("accuracy")
        self._finished = Finished(
            self._rounds.clock, sha256, accuracy, self._metrics, self._numerics.unpromised
        )
        self._tell(self._monitor, self._finished)
        # The one message that nobody asks for: the run would never end without it.
        self.timers.start("finished", _TellAgain(), after=_TELL_AGAIN, every=_TELL_AGAIN)

    def tell_again(self, message: _TellAgain) -> None:
        """The launcher has not ended the run yet."""
        if self._finished is not None:
            self._tell(self._monitor, self._finished)

    async def _save(self, *, finished: bool) -> None:
        assert self._state is not None
        assert self._layout is not None
        header = Header(
            identity=self._plan.identity,
            clock=self._rounds.clock,
            layout=self._layout,
            state=self._state.to_wire()[0],
            arrays=(),
            examples=dict(self._rounds.examples),
            offset=self._offset,
            pending=self._pending,
            last=self._last,
            finished=finished,
            metrics=self._metrics,
            numerics=self._numerics.reference,
            unpromised=self._numerics.unpromised,
        )
        await checkpoint.save(self._snapshots, header, self._state)


def _names_of_terms(
    plan: Plan, layout: Layout, state: ServerState, extras: Mapping[str, Any]
) -> frozenset[str] | None:
    """Which sums go up, from the algorithm itself: a step in which nothing was learned.

    So the names do not depend on who puts first. None where the algorithm cannot tell without a
    worker's state; then those of the first part hold, and all others must have the same.
    """
    weights = state.weights
    ctx = Ctx(
        layout, plan.roster[0], 0, weights, weights, {"model": weights, **extras}, {}, 1, 1, plan.lr
    )
    try:
        with np.errstate(all="ignore"):
            terms, _ = plan.algorithm.up(ctx, {})
    except Exception as error:  # noqa: BLE001  (user code, run without what it may count on)
        _log.debug("%s does not tell its terms: %r", type(plan.algorithm).__name__, error)
        return None
    return frozenset(terms.sums)


def _number(value: float) -> float | None:
    """JSON has no NaN; a metric that is none is null."""
    return value if math.isfinite(value) else None
