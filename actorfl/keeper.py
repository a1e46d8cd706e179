"""The root: keeps the model durable, has it evaluated, writes the metrics; no torch."""

from __future__ import annotations

import json
import logging
import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from actorfl import checkpoint, measures, modelfile
from actorfl.algorithm import Advance, Closed, ServerState, advance, begun
from actorfl.checkpoint import FlowHeader, Header, PendingRow
from actorfl.collecting import Collector, names_of_terms
from actorfl.errors import BeyondHelp
from actorfl.flow import Flow
from actorfl.grid import Grid
from actorfl.layout import Layout, Vector
from actorfl.mean import Mean
from actorfl.merging import Merged
from actorfl.numerics import Numerics
from actorfl.plan import PlanText
from actorfl.protocol import (
    Build,
    Done,
    Evaluate,
    Evaluated,
    Finished,
    Gone,
    Idle,
    Initial,
    Row,
    Stamp,
    WhoIsGone,
    unpack,
)
from actorfl.records import Record, with_evaluation
from actorfl.roster import Phase
from actorfl.terms import Array
from actorfl.until import Progress, check_measured
from actorfl.window import Window
from actors import ActorRef, Message, Snapshots
from actors.crashpoints import crash_point
from actors.snapshot import KEPT
from transports import LandingPool, Transfer, Weights

_log = logging.getLogger("actorfl.aggregator")

#: Seconds between two questions who is gone, of a run that goes on without them.
RETRY = 0.25
#: Seconds until the end is told again, should the word have been lost.
_TELL_AGAIN = 1.0


class _TellAgain(Message[None]):
    pass


class _LookAround(Message[None]):
    pass


class Keeper(Collector):
    """What the root is beside a collector: model, checkpoints, evaluation, metrics, the end.

    Args:
        plan: what it needs of the run.
        monitor: is told of each line of the metrics and of the end.

    The storage of its node is the run's directory.
    """

    def __init__(self, plan: PlanText, monitor: ActorRef) -> None:
        super().__init__(plan)
        self._monitor = monitor
        self._evaluator: ActorRef | None = None
        self._state: ServerState | None = None
        self._offset = 0
        self._pending: PendingRow | None = None
        self._due: tuple[int, Weights] | None = None
        self._evaluated: dict[str, Mean] | None = None
        self._last: tuple[int, str] | None = None
        self._metrics: dict[str, float | None] = {}
        self._evaluating: tuple[int, Transfer] | None = None
        self._finished: Finished | None = None
        self._updates = 0
        self._made_for = 0
        # When a worker was asked first, had the run never been stopped; None: it is not yet.
        self._began: float | None = None
        self._seconds = 0.0
        self._records: dict[str, Record] = {}
        # How far the run was when its end was last looked for, and whether it was there.
        self._looked_at: tuple[int, int, float, dict[str, Record]] | None = None
        self._reached = False
        self._window = Window()
        self._kept = 0
        # The clock of a run that had ended, and goes on to a later end.
        self._had_ended: int | None = None
        # Clocks that were refused while an earlier part of the same worker waits in the buffer.
        self._refused_after: set[tuple[str, int]] = set()
        # What the line of a round without a barrier warns of, in the order in which it came up.
        self._warnings: dict[str, None] = {}

    # -- what differs ------------------------------------------------------------------------------

    @abstractmethod
    async def _open(self) -> None:
        """The checkpoint is durable: let what is open go down, have its version evaluated."""

    @abstractmethod
    def _flow_header(self, flow: Flow) -> FlowHeader:
        """What of a run without a barrier goes with the newest version."""

    # -- its start ---------------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Take up the newest checkpoint; without one the evaluator has to build the model."""
        crash_point("aggregator.start")
        pool = LandingPool(buffers=self._plan.landing)
        self.system.set_landing_pool(self.ref, pool)
        self._snapshots = self._checkpoints()
        # Whoever had it before may be frozen, and wake up in the middle of an append.
        await self.storage.claim(checkpoint.METRICS)
        if self._plan.outlives:
            self.timers.start("gone", _LookAround(), after=RETRY, every=RETRY)
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
        if self._rounds.gathered:
            await self._open()

    def _checkpoints(self) -> Snapshots:
        """Where its checkpoints lie."""
        return self.snapshots(checkpoint.FOLDER, keep=None if self._plan.record else KEPT)

    def _take_up(self, header: Header, state: ServerState) -> None:
        """Go on from a checkpoint."""
        self._layout = header.layout
        self._state = state
        self._rounds.clock = header.clock
        # Of a run that is resumed elsewhere, others may be combined; they are heard of first.
        roster = frozenset(self._plan.roster)
        self._rounds.examples = {n: count for n, count in header.examples.items() if n in roster}
        self._offset = header.offset
        self._pending = header.pending
        self._last = header.last
        self._metrics = dict(header.metrics)
        self._updates = header.updates
        self._seconds = header.seconds
        self._records = dict(header.records)
        self._had_ended = header.clock if header.finished else None
        self._durations = header.durations
        self._numerics = Numerics(self._numerics.first, header.numerics, header.unpromised)
        if isinstance(self._rounds, Flow) and header.flow is not None:
            self._rounds.clocks.update(header.flow.clocks)
            self._rounds.updates = header.flow.updates
            self._window = header.flow.window
            self._kept = header.flow.kept
            self._refused_after = set(header.flow.refused)
        self._rounds.missed = {n: of for n, of in header.missed.items() if n in roster}
        self._rounds.missed_below = {n: of for n, of in header.missed.items() if n not in roster}
        self._rounds.gone = dict(header.gone)
        self._rounds.enter(header.clock)

    async def _gathered(self) -> None:
        """All members are known: begin, or go on, if the model is there."""
        if self._state is not None:
            await self._begin()

    def look_around(self, message: _LookAround) -> None:
        """Ask who is gone, as often as a worker would have asked for something."""
        self._tell(self._monitor, WhoIsGone(self._plan.identity, self.ref))

    async def gone(self, message: Gone) -> None:
        """Nobody restarts these workers any more: the run goes on without them.

        Raises:
            BeyondHelp: nobody is left.
        """
        rounds = self._rounds
        if message.run != self._plan.identity or rounds.phase is Phase.FINISHED:
            return
        new = [name for name in sorted(message.workers) if rounds.leave(name)]
        if not new:
            return
        for name in new:
            sentence = f"{name} has left the run for good: {message.workers[name]}"
            self._numerics.unpromised.setdefault(name, "it has left the run for good")
            self.publish("left", worker=name, clock=rounds.clock_of(name), sentence=sentence)
        if not rounds.members:
            raise BeyondHelp(f"{sentence}; nobody is left, so the run cannot go on")
        if rounds.phase is not Phase.GATHERING:  # else nothing is durable yet, and it asks again
            await self._save(finished=False)
            await self._look()
        elif rounds.gathered:
            await self._gathered()

    # -- the evaluator -----------------------------------------------------------------------------

    async def idle(self, message: Idle) -> None:
        """The evaluator has nothing to do: give it what is due, unless it is on its way."""
        if message.run != self._plan.identity:
            self._rounds.dropped["foreign"] += 1
            return
        self._evaluator = message.me
        if self._state is None:
            self._tell(message.me, Build(self._plan.identity, self.ref))
        else:
            await self._evaluate()

    async def initial(self, message: Initial) -> None:
        """The initial model is there."""
        try:
            if message.run != self._plan.identity or self._state is not None:
                return
            vector, integers, _ = unpack(message.weights)
            message.layout.check(vector)
            first = begun(self._plan.algorithm, np.array(vector))
            buffers = {name: np.array(array) for name, array in integers.items()}
        finally:
            message.weights.release()
        self._layout = message.layout
        self._state = ServerState(first.weights, buffers, first.vectors, first.scalars)
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
            or self._due is None
            or message.stamp.version != self._due[0]
            or self._evaluated is not None
        ):
            return
        self._judge(message.metrics)
        await self._advance()

    async def _evaluate(self) -> None:
        """Send the open version to be evaluated, if that is due and it is not on its way."""
        if not self._waits_for_evaluation or self._evaluator is None or self._due is None:
            return
        version, down = self._due
        if self._evaluating is not None:
            of, transfer = self._evaluating
            if of == version and not transfer.done.done():
                return
        stamp = Stamp(self._plan.identity, version, version)
        sent = self._tell(self._evaluator, Evaluate(stamp, down, self.ref))
        self._evaluating = None if sent is None else (version, sent)

    @property
    def _waits_for_evaluation(self) -> bool:
        """Whether the line of a closed round waits for the evaluator."""
        pending = self._pending
        return (
            self._plan.at == "central"
            and pending is not None
            and pending.due
            and self._evaluated is None
        )

    # -- the model ---------------------------------------------------------------------------------

    @property
    def _progress(self) -> Progress:
        rounds = self._rounds
        counts = (rounds.clock, rounds.clock, rounds.clock, self._updates)
        if isinstance(rounds, Flow):
            counts = (rounds.rounds, rounds.slowest, rounds.clock, rounds.updates)
        return Progress(*counts, self._seconds, self._records)

    def _go(self, name: str) -> None:
        self._begin_time()
        super()._go(name)

    def _begin_time(self) -> None:
        """Somebody trains from now on; until then workers load, which is no training."""
        if self._began is None:
            self._began = self.clock.now() - self._seconds

    def _pass_time(self) -> None:
        """Look at the clock, for what is about to be made durable: an end by time is no guess."""
        if self._began is not None:
            self._seconds = max(self._seconds, self.clock.now() - self._began)

    def _judge(self, metrics: dict[str, Mean]) -> None:
        """A version has been evaluated: what it says counts, once, for an end by a metric.

        Raises:
            Misfit: the end looks at a metric that is not measured.
        """
        self._evaluated = metrics
        if self._pending is None or self._pending.judged:
            return
        self._pending = msgspec.structs.replace(self._pending, judged=True)
        found = self._measured(metrics)
        check_measured(self._plan.until, found, self._records)
        self._records = with_evaluation(self._records, found)

    def _measured(self, metrics: dict[str, Mean]) -> dict[str, float | None]:
        """What a line tells of an evaluation."""
        found = {name: mean.value for name, mean in metrics.items()}
        if self._plan.at == "workers":
            found |= measures.worst_deciles(self._worker_metrics)
        return {name: number(value) for name, value in sorted(found.items())}

    @property
    def _final(self) -> bool:
        """Whether all rounds are done and only an evaluation is left."""
        if isinstance(self._rounds, Flow):
            return self._plan.until.reached(self._progress)
        # Asked for each worker and part, and different once a round.
        at = (self._rounds.clock, self._updates, self._seconds, self._records)
        if at != self._looked_at:
            self._reached = self._plan.until.reached(self._progress)
            self._looked_at = at
        return self._reached

    @property
    def _evaluates(self) -> bool:
        """Whether the workers evaluate the model that goes down."""
        pending = self._pending
        return self._plan.at == "workers" and pending is not None and pending.due

    def _expose(self) -> None:
        """What goes down, and what comes up, are those of the newest version."""
        assert self._state is not None
        assert self._layout is not None
        self._down = checkpoint.down_of(self._plan.algorithm, self._state)
        extras = unpack(self._down)[2]
        self._names = names_of_terms(self._plan, self._added, self._state, extras)

    @property
    def _added(self) -> Layout:
        """The layout of what is added up here."""
        assert self._layout is not None
        return self._layout

    def _begin_sums(self, total: int) -> None:
        """Begin to add up what comes, of such a total weight at the most."""
        assert self._state is not None
        clock = self._rounds.clock
        self._made_for = total
        self._grid = Grid.of(self._state.weights, self._added, total, self._plan.algorithm.floor)
        if self._merger is None:
            self._merger = self._begin_merging(self._added, self._grid, clock)
        else:
            self._merger.restart(self._grid, clock)

    async def _others_moved(self, closed: Closed, shares: int | None = None) -> bool:
        """Whether whoever else holds a piece of the model has moved it; by default nobody does.

        Args:
            closed: what of it is to close.
            shares: see ``relative``; only where there is no barrier.

        Returns:
            If not, parts of what is open are asked for again, and it stays open.
        """
        return True

    @property
    def _rounded(self) -> int:
        """How many values of what was merged last were rounded to the grid."""
        assert self._merger is not None
        return self._merger.statistics().rounded

    async def _model(self) -> tuple[Vector, Mapping[str, Array]]:
        """The newest version and its integer buffers."""
        assert self._state is not None
        return self._state.weights, self._state.buffers

    def _step(self, merged: Merged, closed: Closed) -> Advance:
        """Move the model."""
        assert self._state is not None
        step = advance(self._plan.algorithm, self._state, merged, closed)
        if not step.moved:  # the line of the round tells people
            self.publish("unmoved", sentence=step.warning)
        self._state = step.state
        return step

    def _is_due(self, rounds: int) -> bool:
        """Whether a version is evaluated: that of every so many rounds, and the last."""
        return self._plan.at != "nowhere" and (rounds % self._plan.every == 0 or self._final)

    async def _write_row(self) -> None:
        """Append the line of the last closed round, at the place the checkpoint knows."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        row: dict[str, Any] = {"round": pending.round, **pending.fields}
        if self._evaluated is not None:
            if self._due is not None and "version" in pending.fields:
                row["version"] = self._due[0]  # a later one, if it was restarted meanwhile
            self._metrics = self._measured(self._evaluated)
            row = {"round": pending.round, **self._metrics, **pending.fields}
        text = json.dumps(row, allow_nan=False)
        line = text.encode() + b"\n"
        await self.storage.append(checkpoint.METRICS, line, self._offset)
        self._offset += len(line)
        self._last = (pending.round, text)
        self._tell(self._monitor, Row(*self._last))

    async def _finish(self) -> None:
        """Write the last line and the final model."""
        assert self._layout is not None
        await self._write_row()
        sha256 = await modelfile.write(self.storage, self._layout, *await self._model())
        await self._save(finished=True)
        self._rounds.phase = Phase.FINISHED
        for worker in self._workers.values():
            self._tell(worker, Done(self._stamp()))
        accuracy = self._metrics.get("accuracy")
        self._finished = Finished(
            self._progress.rounds, sha256, accuracy, self._metrics, self._numerics.unpromised
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
        rounds = self._rounds
        header = Header(
            identity=self._plan.identity,
            clock=rounds.clock,
            layout=self._layout,
            state=self._state.to_wire()[0],
            arrays=(),
            examples=dict(rounds.examples),
            offset=self._offset,
            pending=self._pending,
            last=self._last,
            # Else it would be older than the one that it replaces.
            finished=finished or rounds.clock == self._had_ended,
            metrics=self._metrics,
            numerics=self._numerics.reference,
            unpromised=self._numerics.unpromised,
            updates=self._updates,
            durations=self._durations,
            flow=self._flow_header(rounds) if isinstance(rounds, Flow) else None,
            missed=rounds.missed | rounds.missed_below,
            seconds=self._seconds,
            records=self._records,
            gone=dict(rounds.gone),
        )
        await checkpoint.save(self._snapshots, header, self._state)


def number(value: float) -> float | None:
    """JSON has no NaN; a metric that is none is null."""
    return value if math.isfinite(value) else None
