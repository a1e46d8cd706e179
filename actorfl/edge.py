"""An aggregator between the root and the workers: to the one above it, it is like a worker."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from actorfl import checkpoint
from actorfl.algorithm import Closed, Ctx, ServerState, advance, begun, sent_up
from actorfl.collecting import Collector, names_of_terms
from actorfl.errors import Misfit
from actorfl.grid import Grid
from actorfl.layout import Layout
from actorfl.mean import Mean
from actorfl.merging import Merger
from actorfl.merging import Refused as Refusal
from actorfl.plan import PlanText
from actorfl.protocol import Ack, Done, Go, Put, Ready, Refused, Stamp, Wait, Widen, unpack
from actorfl.relative import differences
from actorfl.roster import Phase
from actorfl.rounds import Rounds
from actorfl.stepping import KEPT, Stepping
from actorfl.terms import Sum, Terms
from actorfl.traffic import Traffic
from actorfl.witness import Kind
from actorfl.worker import RETRY
from actors import ActorRef, Message
from actors.crashpoints import crash_point
from transports import LandingPool, LinkFull, Transfer, Weights

_log = logging.getLogger("actorfl.aggregator")


class _Retry(Message[None]):
    pass


class Edge(Collector):
    """Hands each clock of the aggregator above on, adds up the parts, puts the sum.

    It keeps nothing: one that was restarted opens the clock that it is told of, and those below put
    again. So sums that are made of other sums are the root's own, bit for bit. Where the algorithm
    looks at each model by itself, it forwards them whole.

    Where its level has several rounds in one clock of the level above, or another algorithm, or
    the root does not wait for all, it begins with the model from above, takes these rounds by
    itself, and puts one update of its own, as a worker does. Those below count these rounds as
    their clocks. Where gradients are sent it does not move the model: its update is their mean.

    Args:
        name: its name.
        plan: what it needs of the run.
        above: whom it works for.
    """

    def __init__(self, name: str, plan: PlanText, above: ActorRef) -> None:
        super().__init__(plan)
        self._name = name
        self._above = above
        self._steps: Stepping[Put] = Stepping()
        self._transfer: tuple[int, Transfer] | None = None
        # The clock and version above, what came down in it, and in the last of its own rounds.
        self._clock = 0
        self._version = 0
        self._widened = -1
        self._additive_above = False
        self._start: ServerState | None = None
        self._extras: Mapping[str, Any] = {}
        self._state: ServerState | None = None
        self._round = 0
        self._moved = False
        self._behind = 0  # examples of the most parts that one of its own rounds had
        self._trains = True
        self._has_evaluated = False
        self._too_narrow: Widen | None = None
        self._again: set[str] = set()  # whose part did not fit the grid
        self._incarnation = 0
        self._told: Mapping[str, int] = {}  # whose parts are missing at the root, since when

    async def on_start(self) -> None:
        """Wait for those below; only then ask above."""
        crash_point("edge.start")
        # Grows with each restart of the process and, within one, of the actor.
        self._incarnation = (self.system.generation << 20) | self.restarts
        # Beside the parts of those below, the model from above lands here.
        pool = LandingPool(buffers=self._plan.landing + 1)
        self.system.set_landing_pool(self.ref, pool)
        self.timers.start("retry", _Retry(), after=RETRY, every=RETRY)

    @property
    def _final(self) -> bool:
        return not self._trains

    @property
    def _evaluates(self) -> bool:
        return self._has_evaluated

    def _witness(
        self,
        kind: Kind,
        worker: str = "",
        incarnation: int = 0,
        workers: tuple[str, ...] = (),
        *,
        clock: int | None = None,
        staleness: int = 0,
        held: int = 0,
    ) -> None:
        """What is judged is the root, in whose model a part is or is not."""

    async def _gathered(self) -> None:
        self._ask()

    # -- above -------------------------------------------------------------------------------------

    async def go(self, message: Go) -> None:
        """Open the clock, or put again what was added up for it."""
        stamp, widened, weights = message.stamp, message.grid.widened, message.weights
        try:
            if stamp.run != self._plan.identity or message.layout is None:
                return
            at_work = self._rounds.phase is Phase.OPEN and stamp.clock == self._clock
            if at_work and (widened == self._widened or self._sends_updates):
                self._widened = widened
                return
            if not self._rounds.gathered:
                return  # those below are heard of first; the one above is asked again then
            again = self._steps.go(stamp.clock, self._key(stamp.version, widened))
            if again is not None:
                self._put(again)
                return
            # Its own memory: the buffer that it landed in is for the next one.
            down = Weights.of({name: np.array(weights[name]) for name in weights.names()})
        finally:
            weights.release()
        anew = at_work and stamp.version == self._version  # the same, on a wider grid
        self._clock, self._version, self._widened = stamp.clock, stamp.version, widened
        self._layout = message.layout
        self._told = message.since if isinstance(message.since, dict) else {}
        self._trains, self._has_evaluated = message.train, message.evaluate
        self._additive_above = message.additive
        model, integers, self._extras = unpack(down)
        self._start = ServerState(model, integers)
        self._too_narrow = None
        self._round = 0
        self._moved = False
        self._behind = 0
        if self._sends_updates:
            first = begun(self._plan.algorithm, model)
            self._state = replace(first, buffers=integers)
            self._down = checkpoint.down_of(self._plan.algorithm, self._state)
            self._begin_round()
        else:
            self._down, self._grid = down, message.grid
            self._open(stamp.clock, anew=anew)

    def _begin_merging(self, layout: Layout, grid: Grid, clock: int) -> Merger:
        """With what is kept of its clocks, where these are the models of all below it."""
        kept = 0 if self._sends_updates else KEPT + 1
        return self._plan.merger(layout, grid, clock, kept)

    def _since(self, name: str) -> int | dict[str, int]:
        if self._plan.missed and name not in self._plan.below:
            # What it knows itself it forgets, and what became of its sums it is not told.
            return self._told.get(name, self._rounds.clock)
        return super()._since(name)

    @property
    def _missed(self) -> Mapping[str, int]:
        return self._told

    @property
    def _sends_updates(self) -> bool:
        return self._plan.above is not None

    @property
    def _sends_gradients(self) -> bool:
        """Whether its updates are gradients, which those above move the model by."""
        return self._plan.above is not None and bool(self._plan.above.gradients)

    @property
    def _inner(self) -> int:
        """Its own rounds in the open clock of the level above."""
        return self._plan.sync.inner if self._trains else 1

    def _begin_round(self) -> None:
        """Open one of its own rounds."""
        assert self._state is not None
        assert self._layout is not None
        self._has_evaluated = self._has_evaluated and self._round == 0
        self._grid = Grid.of(
            self._state.weights, self._layout, self._rounds.total, self._plan.algorithm.floor
        )
        self._open(self._clock * self._plan.sync.inner + self._round, anew=False)

    def _open(self, clock: int, *, anew: bool) -> None:
        assert self._layout is not None
        assert self._grid is not None
        assert self._down is not None
        model, _, extras = unpack(self._down)
        self._names = names_of_terms(self._plan, self._layout, ServerState(model), extras)
        if self._merger is None:
            self._merger = self._begin_merging(self._layout, self._grid, clock)
        else:
            self._merger.restart(self._grid, clock)
        if not anew:
            self._opened = self.clock.now()
            if self._round == 0:
                self._loss.clear()
                self._worker_metrics.clear()
                self._refused_below.clear()
                self._absent_below.clear()
        # On a wider grid: who is in already, who did not fit, and who adds up on the narrower one.
        here = self._rounds.arrived | self._again | self._plan.below.keys() if anew else set()
        self._again = set()
        told = set(self._rounds.open(clock)) | (here & self._workers.keys())
        for name in sorted(told):
            self._go(name)
        self._await_deadline()

    def _widen(self, refusal: Refusal, worker: str) -> bool:
        """Have the grid widened, above if that is where it comes from."""
        if self._sends_updates:
            self._widen_own(refusal, worker)
            return True
        assert self._grid is not None
        if self._grid.wider() is None:
            raise refusal
        if self._too_narrow is None:
            stamp = Stamp(self._plan.identity, self._clock, self._version)
            self._too_narrow = Widen(
                stamp, self._name, self._incarnation, self._grid.widened, str(refusal)
            )
            self._say_too_narrow()
        if worker:
            self._again.add(worker)
        return False

    async def _advance(self) -> None:
        """All parts are in: put their sum, or go on with the next of its own rounds."""
        assert self._merger is not None
        assert isinstance(self._rounds, Rounds)
        rounds = self._rounds
        crash_point("edge.merged", rounds.clock)
        rounds.merged()
        if self._sends_updates and self._trains:
            self._close(rounds)
            self._refused_below.update(self._refused(rounds))
            self._absent_below.update(self._absent(rounds))
            self._round += 1
            if self._round < self._inner:
                self._begin_round()
                return
        header, weights = None, None
        if self._trains:
            terms = self._update() if self._sends_updates else self._sums()
            if terms is not None:
                header, arrays = terms.to_wire()
                weights = Weights.of(arrays)
        put = Put(
            Stamp(self._plan.identity, self._clock, self._version),
            self._name,
            self._incarnation,
            {},
            sum(self._loss.values(), Mean()),
            header,
            weights,
            self.ref,
            {name: of for name, of in sorted(self._worker_metrics.items()) if of},
            self._refused(rounds) | self._refused_below,
            self._absent(rounds) | self._absent_below,
            self._traffic,
        )
        self._traffic = Traffic()
        self._steps.computed(put, self._clock, self._key(self._version, self._widened))
        self._put(put)

    def _refused(self, rounds: Rounds) -> dict[str, str]:
        """The workers below whose part was refused in the open clock, and why."""
        return self._of_workers(rounds.refused)

    def _absent(self, rounds: Rounds) -> dict[str, str]:
        """The workers below that are not in the open clock, and why."""
        return self._of_workers(rounds.absent())

    def _sums(self) -> Terms | None:
        """The sums of the parts from below, or these parts whole; None: there are none."""
        assert self._merger is not None
        return self._merger.partial() if self._merger.contributions else None

    def _close(self, rounds: Rounds) -> None:
        """Move the model by one of its own rounds."""
        assert self._merger is not None
        assert self._state is not None
        if self._sends_gradients:
            merged = self._merger.merged()
            self._moved, self._behind = bool(merged), merged.examples
            self._state = replace(self._state, buffers={**self._state.buffers, **merged.integers})
            return
        inside = tuple(sorted(each.worker for each in self._merger.contributions))
        workers = self._plan.workers
        closed = Closed(rounds.clock, rounds.clock, workers, inside, rounds.total, len(workers))
        merged = self._merger.merged()
        step = advance(self._plan.algorithm, self._state, merged, closed)
        self._moved = self._moved or step.moved
        self._behind = max(self._behind, merged.examples)
        if step.moved and step.warning:  # the root's line tells of the root's own
            self.publish("warning", sentence=f"{self._name}, {step.warning}")
        self._state = step.state
        self._down = checkpoint.down_of(self._plan.algorithm, self._state)

    def _update(self) -> Terms | None:
        """An update as of a worker, made of its own rounds; None: nobody took part in them."""
        assert self._state is not None
        assert self._start is not None
        assert self._layout is not None
        assert self._plan.above is not None
        moved, self._moved = self._moved, False
        behind, self._behind = self._behind, 0
        if not moved:
            return None
        start, above = self._start.weights, self._plan.above
        if self._sends_gradients:
            return self._stated(self._mean_gradients(), behind)
        ctx = Ctx(
            self._layout, self._name, self._clock, start, self._state.weights,
            {"model": start, **self._extras}, {}, behind, self._inner, self._plan.lr,
        )  # fmt: skip
        terms, mine = sent_up(above, ctx, {})
        if mine:
            raise Misfit(
                f"{type(above).__name__} keeps a state at whoever sends updates, and an aggregator "
                "keeps none; use it at the innermost level"
            )
        if self._additive_above:
            terms = differences(terms, above.models, start, self._layout)
        return self._stated(terms, behind)

    def _mean_gradients(self) -> Terms:
        """As of a worker that has the examples of all whose parts are in it."""
        assert self._merger is not None
        merged = self._merger.merged()
        terms = Terms()
        for name, total in merged.sums.items():
            own = name in self._plan.algorithm.gradients
            terms.sums[name] = Sum(total.mean(), merged.examples if own else total.weight)
        terms.counts, terms.means = dict(merged.counts), dict(merged.means)
        return terms

    def _stated(self, terms: Terms, examples: int) -> Terms:
        """Terms as its own contribution, with the examples that are behind it."""
        assert self._layout is not None
        assert self._state is not None
        return terms.stated(
            worker=self._name, clock=self._clock, examples=examples,
            layout=self._layout, integers=self._state.buffers,
        )  # fmt: skip

    def ack(self, message: Ack) -> None:
        """The sum is in: on to the next clock."""
        self._settled(message.stamp)

    def refused(self, message: Refused) -> None:
        """The sum is not taken: the clock goes on without it."""
        self._settled(message.stamp)

    def _settled(self, stamp: Stamp) -> None:
        if stamp.run == self._plan.identity and self._steps.settled(stamp.clock):
            self._ask()

    def wait(self, message: Wait) -> None:
        """The others are not ready yet; the retry asks again."""
        if message.stamp.run == self._plan.identity:
            self._steps.told(message.stamp.clock)

    def done(self, message: Done) -> None:
        """The run is over."""
        if message.stamp.run != self._plan.identity:
            return
        self.timers.cancel("retry")
        self._rounds.phase = Phase.FINISHED
        for worker in self._workers.values():
            self._tell(worker, Done(self._stamp()))

    def retry(self, message: _Retry) -> None:
        """Say again what was not answered; never while a sum is on its way."""
        if self._too_narrow is not None:
            # Whoever was restarted above does not know me yet, or its wider grid was lost.
            self._ask()
            self._say_too_narrow()
        elif self._steps.putting is not None and not self._steps.held:
            self._put(self._steps.putting)
        elif self._rounds.gathered:
            self._ask()

    def _ask(self) -> None:
        opened = self._rounds.phase is Phase.OPEN
        clock = self._clock if opened else self._steps.clock
        with contextlib.suppress(LinkFull):  # then the next time
            self._above.tell(
                Ready(
                    Stamp(self._plan.identity, clock, 0),
                    self._name,
                    self._incarnation,
                    self._rounds.total,
                    self.ref,
                    self._numerics.reference,
                    self._widened if opened else -1,
                    self._numerics.unpromised,
                )
            )

    def _key(self, version: int, widened: int) -> int:
        """One number for what a part is made from: a sum is of a version and of a grid."""
        return version * 16 + (0 if self._sends_updates else widened)

    def _say_too_narrow(self) -> None:
        if self._too_narrow is not None:
            self._tell(self._above, self._too_narrow)

    def _put(self, put: Put) -> None:
        """Send a sum, unless it is on its way already."""
        if self._transfer is not None:
            clock, transfer = self._transfer
            if clock == put.stamp.clock and not transfer.done.done():
                return
        sent = self._tell(self._above, put)
        self._transfer = None if sent is None else (put.stamp.clock, sent)
