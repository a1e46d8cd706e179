"""An aggregator between the root and the workers: to the one above it, it is like a worker."""

from __future__ import annotations

import contextlib
import logging

import numpy as np

from actorfl.algorithm import ServerState
from actorfl.collecting import Collector, names_of_terms
from actorfl.mean import Mean
from actorfl.merging import Refused as Refusal
from actorfl.plan import PlanText
from actorfl.protocol import Ack, Done, Go, Put, Ready, Refused, Stamp, Wait, Widen, unpack
from actorfl.roster import Phase
from actorfl.rounds import Rounds
from actorfl.stepping import Stepping
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
    again. So sums that are made of other sums are the root's own, bit for bit.

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
        self._version = 0
        self._trains = True
        self._has_evaluated = False
        self._too_narrow: Widen | None = None
        self._again: set[str] = set()  # whose part did not fit the grid
        self._incarnation = 0

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
        stamp, grid, weights = message.stamp, message.grid, message.weights
        try:
            if stamp.run != self._plan.identity or message.layout is None:
                return
            same = stamp.clock == self._rounds.clock and grid == self._grid
            if self._rounds.phase is Phase.OPEN and same:
                return
            if not self._rounds.gathered:
                return  # those below are heard of first; the one above is asked again then
            again = self._steps.go(stamp.clock, _key(stamp.version, grid.widened))
            if again is not None:
                self._put(again)
                return
            # Its own memory: the buffer that it landed in is for the next one.
            down = Weights.of({name: np.array(weights[name]) for name in weights.names()})
        finally:
            weights.release()
        self._layout = message.layout
        model, _, extras = unpack(down)
        self._names = names_of_terms(self._plan, message.layout, ServerState(model), extras)
        self._down, self._grid = down, grid
        self._version = stamp.version
        self._trains, self._has_evaluated = message.train, message.evaluate
        self._too_narrow = None
        self._open(stamp.clock)

    def _open(self, clock: int) -> None:
        assert self._layout is not None
        assert self._grid is not None
        again = clock == self._rounds.clock and self._rounds.phase is not Phase.GATHERING
        if self._merger is None:
            self._merger = self._begin_merging(self._layout, self._grid, clock)
        else:
            self._merger.restart(self._grid, clock)
        if not again:
            self._loss.clear()
            self._worker_metrics.clear()
            self._refused_below.clear()
            self._absent_below.clear()
            self._opened = self.clock.now()
        # On a wider grid: who is in already, who did not fit, and who adds up on the narrower one.
        here = self._rounds.arrived | self._again | self._plan.below.keys() if again else set()
        self._again = set()
        told = set(self._rounds.open(clock)) | (here & self._workers.keys())
        for name in sorted(told):
            self._go(name)
        self._await_deadline()

    def _widen(self, refusal: Refusal, worker: str) -> bool:
        """Have the grid widened above, from where it comes."""
        assert self._grid is not None
        if self._grid.wider() is None:
            raise refusal
        if self._too_narrow is None:
            stamp = Stamp(self._plan.identity, self._rounds.clock, self._version)
            self._too_narrow = Widen(
                stamp, self._name, self._incarnation, self._grid.widened, str(refusal)
            )
            self._say_too_narrow()
        if worker:
            self._again.add(worker)
        return False

    async def _advance(self) -> None:
        """All parts are in: put their sum."""
        assert self._merger is not None
        assert isinstance(self._rounds, Rounds)
        rounds, clock = self._rounds, self._rounds.clock
        header, weights = None, None
        if self._trains and self._merger.contributions:
            terms = self._merger.partial()
            header, arrays = terms.to_wire()
            weights = Weights.of(arrays)
        crash_point("edge.merged", clock)
        absent = {
            name: why
            for child, why in rounds.absent().items()
            for name in self._plan.below.get(child, (child,))
        }
        put = Put(
            Stamp(self._plan.identity, clock, self._version),
            self._name,
            self._incarnation,
            {},
            sum(self._loss.values(), Mean()),
            header,
            weights,
            self.ref,
            {name: of for name, of in sorted(self._worker_metrics.items()) if of},
            rounds.refused | self._refused_below,
            absent | self._absent_below,
            self._bytes,
        )
        self._bytes = 0
        assert self._grid is not None
        self._steps.computed(put, clock, _key(self._version, self._grid.widened))
        self._put(put)

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
            self._say_too_narrow()
        elif self._steps.putting is not None and not self._steps.held:
            self._put(self._steps.putting)
        elif self._rounds.gathered:
            self._ask()

    def _ask(self) -> None:
        opened = self._rounds.phase is Phase.OPEN and self._grid is not None
        clock = self._rounds.clock if opened else self._steps.clock
        with contextlib.suppress(LinkFull):  # then the next time
            self._above.tell(
                Ready(
                    Stamp(self._plan.identity, clock, 0),
                    self._name,
                    self._incarnation,
                    self._rounds.total,
                    self.ref,
                    self._numerics.reference,
                    self._grid.widened if opened and self._grid is not None else -1,
                    self._numerics.unpromised,
                )
            )

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


def _key(version: int, widened: int) -> int:
    """One number for a version and a grid: a sum is of both."""
    return version * 16 + widened
