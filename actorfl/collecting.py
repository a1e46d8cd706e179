"""What whoever collects parts does: the conversation with those below, checks, exact sums."""

from __future__ import annotations

import contextlib
import logging
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from actorfl.algorithm import Ctx, ServerState, sent_up
from actorfl.compression import PayloadError
from actorfl.errors import Misfit
from actorfl.flow import Flow
from actorfl.grid import Grid
from actorfl.layout import Layout
from actorfl.mean import Mean
from actorfl.merging import Merger
from actorfl.merging import Refused as Refusal
from actorfl.numerics import Numerics
from actorfl.packing import unpacked
from actorfl.plan import Plan, PlanText
from actorfl.protocol import Ack, Done, Go, Put, Ready, Refused, Stamp, Wait, Widen, unpack
from actorfl.roster import Answer, Phase, Verdict
from actorfl.rounds import Rounds
from actorfl.sync import REMEMBERED
from actorfl.terms import Contribution, Sum, Terms, TermsError
from actorfl.traffic import Traffic
from actorfl.witness import Kind, watched, witness
from actors import Actor, ActorRef, Message
from actors.crashpoints import crash_point
from transports import LinkFull, Transfer, Weights

_log = logging.getLogger("actorfl.aggregator")

# Seconds until a part is acknowledged whose worker waits anyway: a short clock ends before, and its
# successor's Go says the same. Less than half of `worker.RETRY`, after which the part would come
# again.
_ACK_AFTER = 0.1


class _Deadline(Message[None]):
    """The open clock may close without those that are still missing.

    Attributes:
        clock: which it was.
        seconds: that have passed since it was opened.
    """

    clock: int
    seconds: float


class _Owed(Message[None]):
    pass


class Collector(Actor):
    """Sends a clock to what is below it, workers or aggregators, and adds up their parts.

    It retries nothing downwards: who is below asks until it is answered.

    Args:
        plan: what it needs of the run.

    Attributes:
        _near: whether all below it live in its own process, so that what it sends them and they put
            is no traffic.
    """

    _near: ClassVar[bool] = False

    def __init__(self, plan: PlanText) -> None:
        self._plan = Plan.read(plan)
        select = None if self._plan.select is None else self._plan.selected
        self._rounds: Rounds | Flow = Rounds(
            self._plan.roster, self._plan.sync, select=select, stays=self._plan.stays
        )
        self._numerics = Numerics(self._rounds.members[0])
        self._workers: dict[str, ActorRef] = {}
        self._merger: Merger | None = None
        self._grid: Grid | None = None
        self._down: Weights | None = None
        self._names: frozenset[str] | None = None
        self._going: dict[str, tuple[int, int, int, Transfer]] = {}
        self._loss: dict[str, Mean] = {}
        self._worker_metrics: dict[str, dict[str, Mean]] = {}
        self._refused_below: dict[str, str] = {}
        self._absent_below: dict[str, str] = {}
        self._layout: Layout | None = None
        self._durations: tuple[float, ...] = ()
        self._opened = 0.0
        self._heard: float | None = None  # when somebody asked first, in this incarnation
        self._traffic = Traffic()
        # Whose part is in and not acknowledged: they wait for the next clock as well.
        self._owed: dict[str, tuple[ActorRef, Stamp]] = {}

    # -- what differs ------------------------------------------------------------------------------

    @property
    @abstractmethod
    def _final(self) -> bool:
        """Whether all rounds are done and only an evaluation is left."""

    @property
    @abstractmethod
    def _evaluates(self) -> bool:
        """Whether the workers evaluate the model that goes down."""

    @property
    def _additive(self) -> bool:
        """Whether differences from the model that goes down come up, not models."""
        return False

    @abstractmethod
    async def _gathered(self) -> None:
        """The roster has become complete."""

    @abstractmethod
    async def _advance(self) -> None:
        """Something that was waited for is there: go on if that was all."""

    @abstractmethod
    def _widen(self, refusal: Refusal, worker: str) -> bool:
        """Begin what is open anew on a wider grid, or see to that.

        Returns:
            Whether the part may be added now; else it is asked for again.

        Raises:
            Refused: none is wider.
        """

    # -- the workers -------------------------------------------------------------------------------

    def _begin_merging(self, layout: Layout, grid: Grid, clock: int) -> Merger:
        """The accumulator of its clocks; this is the first of them."""
        return self._plan.merger(layout, grid, clock)

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
        if self._heard is None:
            self._heard = self.clock.now()
        self._compare(message)
        if answer is Answer.GO:
            if not self._works(message):
                self._go(message.worker)
        elif answer is Answer.DONE:
            self._tell(message.me, Done(self._stamp(message.worker)))
        else:
            self._tell(message.me, Wait(self._stamp(message.worker)))
            if isinstance(self._rounds, Flow) and self._rounds.holds_back(message.worker):
                self._witness("waits", message.worker, clock=self._rounds.clock_of(message.worker))
            if answer is Answer.GATHER and self._rounds.gathered:
                await self._gathered()

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
            if verdict is Verdict.HELD:
                self._tell(message.me, Wait(self._stamp(message.worker)))
            elif verdict is Verdict.AGAIN:
                self._acknowledge(message.worker, message.me, message.stamp)
            elif verdict is Verdict.LATE:
                self._tell(message.me, Refused(message.stamp, "late", _late(message)))
            elif verdict is Verdict.UNSELECTED:
                self._tell(message.me, Refused(message.stamp, "unselected", _unselected(message)))
            elif verdict is Verdict.EARLY:
                if self._rounds.phase is Phase.OPEN:
                    self._go(message.worker)
                elif self._rounds.phase is Phase.GATHERING:  # it is to ask: its examples count
                    self._tell(message.me, Wait(message.stamp))
            else:
                if weights is not None and not self._near:
                    self._traffic.count(weights.nbytes)
                rounds = self._rounds
                if isinstance(rounds, Flow):
                    await self._take(rounds, message)
                else:
                    self._fold(message)
        finally:
            if weights is not None:
                weights.release()
        await self._look()

    def _compare(self, message: Ready) -> None:
        """Say, or under ``strict`` refuse, that a worker computes otherwise than the first."""
        self._numerics.unpromised.update(message.unpromised)
        if message.fingerprint is None:
            return
        for sentence in self._numerics.heard(message.worker, message.fingerprint):
            if self._plan.strict:
                raise Misfit(f"the run is strict, but {sentence}")
            self.publish("warning", sentence=f"the same bits are not promised: {sentence}")

    def _works(self, message: Ready) -> bool:
        """Whether an aggregator that asks has what is open already, and only wants to be sure."""
        return (
            self._grid is not None
            and message.working == self._grid.widened
            and message.stamp.clock == self._rounds.clock_of(message.worker)
        )

    async def widen(self, message: Widen) -> None:
        """An aggregator below has a part that does not fit the grid."""
        rounds, grid = self._rounds, self._grid
        if (
            message.stamp.run != self._plan.identity
            or message.worker not in self._plan.below
            or message.incarnation != rounds.incarnations.get(message.worker)
            or message.stamp.clock != rounds.clock
            or rounds.phase is not Phase.OPEN
            or grid is None
            or message.widened != grid.widened
        ):
            return
        own = Contribution(message.worker, rounds.clock)
        with contextlib.suppress(Refusal):  # it knows that none is wider
            self._widen(Refusal("overflow", [own], message.sentence), "")

    async def _take(self, flow: Flow, message: Put) -> None:
        """Take a part where there is no barrier; only a root has none."""
        raise NotImplementedError

    def _fold(self, message: Put) -> None:
        """Take a part: add it and acknowledge it, or refuse it."""
        worker = message.worker
        nobody = worker in self._plan.below and message.header is None
        if self._final or nobody:
            self._rounds.arrived.add(worker)
        else:
            try:
                terms = self._terms(message)
                if terms.grid is not None and terms.grid != self._grid:
                    self._go(worker)  # it was made before the grid was widened
                    return
                if not self._merge(worker, terms):
                    return
            except Refusal as refusal:
                self._refuse(worker, message.stamp, message.me, refusal)
                self._note(message)
                return
            for each in sorted(terms.contributions):
                self._witness("merged", each.worker, message.incarnation)
        self._loss[worker] = message.loss
        self._note(message)
        if not message.waits:
            self._tell(message.me, Ack(message.stamp))
            return
        self._rounds.waiting.add(worker)
        if not self._owed and not self.timers.is_active("owed"):
            self.timers.start("owed", _Owed(), after=_ACK_AFTER)
        self._owed[worker] = (message.me, message.stamp)

    def owed(self, message: _Owed) -> None:
        """The clock lasts: whose part is in is to know."""
        if self._rounds.phase is Phase.FINISHED:  # they have been told so
            self._owed.clear()
        for worker, (me, stamp) in list(self._owed.items()):
            self._acknowledge(worker, me, stamp)

    def _acknowledge(self, worker: str, me: ActorRef, stamp: Stamp) -> None:
        """Tell that a part is in."""
        if self._owed.pop(worker, None) is not None:
            self._rounds.waiting.discard(worker)  # it asks now, and is not to be told twice
        self._tell(me, Ack(stamp))

    def _elapsed(self) -> float:
        """Seconds that the open round has taken; a run that is resumed has to come up first."""
        now = self.clock.now()
        return round(now - max(self._opened, now if self._heard is None else self._heard), 6)

    def _note(self, message: Put) -> None:
        """What is told of the workers below."""
        if message.worker not in self._plan.below:
            if message.metrics:  # of an edge's rounds only the first evaluates
                self._worker_metrics[message.worker] = message.metrics
            return
        self._traffic.add(message.traffic)
        # It tells of its own workers alone. On a wider grid it tells again, and somebody who was
        # late may be in.
        for name in self._plan.below[message.worker]:
            for told, table in (
                (message.refused, self._refused_below),
                (message.absent, self._absent_below),
            ):
                table.pop(name, None)
                if name in told:
                    table[name] = told[name]
            if name in message.metrics_of:
                self._worker_metrics[name] = message.metrics_of[name]

    async def _look(self) -> None:
        """A part has come, or time has passed: close what is open if it is complete."""
        if isinstance(self._rounds, Rounds):
            await self._close_if_complete(self._rounds, self.clock.now() - self._opened)

    async def _close_if_complete(self, rounds: Rounds, now: float) -> None:
        if rounds.complete(now, self._durations):
            rounds.phase = Phase.CLOSING
            if not self._final and self._plan.sync.due(()) is not None:
                self._durations = (*self._durations, now)[-REMEMBERED:]
            await self._advance()

    async def deadline(self, message: _Deadline) -> None:
        """Whoever is missing has been waited for long enough."""
        if isinstance(self._rounds, Rounds) and message.clock == self._rounds.clock:
            # A difference of clocks may be less by a rounding, and nobody would look again.
            elapsed = max(self.clock.now() - self._opened, message.seconds)
            await self._close_if_complete(self._rounds, elapsed)

    def _widen_own(self, refusal: Refusal, worker: str) -> None:
        """Begin the open clock anew on a wider grid of its own, and ask again for what was in.

        Raises:
            Refused: none is wider.
        """
        assert self._merger is not None
        assert self._grid is not None
        wider = self._grid.wider()
        if wider is None:
            raise refusal
        _log.info("clock %d begins anew on a wider grid: %s", self._rounds.clock, refusal)
        self._grid = wider
        self._merger.restart(wider, self._rounds.clock)
        self._witness("opened")
        # Aggregators below have it open on the narrower one.
        again = (self._rounds.arrived | self._plan.below.keys()) - {worker}
        self._rounds.arrived.clear()
        for name in sorted(again & self._workers.keys()):
            self._go(name)

    def _of_workers(self, told: Mapping[str, str]) -> dict[str, str]:
        """What is told of those directly below, of the workers that they stand for."""
        return {
            name: why
            for child, why in told.items()
            for name in self._plan.below.get(child, (child,))
        }

    def _await_deadline(self) -> None:
        """Look again at the open clock when its policy says so."""
        seconds = self._plan.sync.due(self._durations)
        if seconds is not None:
            deadline = _Deadline(self._rounds.clock, seconds)
            self.timers.start("deadline", deadline, after=seconds)

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
        self._check(message, terms)
        return terms

    def _check(self, message: Put, terms: Terms) -> None:
        """Refuse terms that are not of whoever sent them, or more than it announced."""
        worker, clock = message.worker, message.stamp.clock
        own = Contribution(worker, clock)
        below = self._plan.parts.get(worker) if self._plan.sums else None
        if below is None:
            mine = terms.contributions == {own}
        else:
            mine = {c.worker for c in terms.contributions} <= set(below) and {
                c.clock for c in terms.contributions
            } == {clock}
        if not mine:
            states = ", ".join(
                f"{c.worker} in round {c.clock + 1}" for c in sorted(terms.contributions)[:3]
            )
            raise Refusal("keys", [own], f"it states to be the part of {states}")
        if below is None and self._plan.compress is not None:
            assert self._layout is not None
            assert self._down is not None
            start = None if self._additive else unpack(self._down)[0]
            try:
                terms = unpacked(
                    self._plan.compress, self._plan.algorithm, terms,
                    start=start, layout=self._layout,
                )  # fmt: skip
            except PayloadError as error:
                raise Refusal("payload", [own], str(error)) from None
        if terms.packed:
            raise Refusal("payload", [own], "it is compressed, and nobody is to compress here")
        names = terms.sums.keys() | terms.whole.keys()
        if self._names is not None and names != self._names:
            raise Refusal(
                "keys", [own], f"its terms are {sorted(names)}, not {sorted(self._names)}"
            )
        announced = self._rounds.examples[worker]
        weights = [term.weight for term in (*terms.sums.values(), *terms.whole.values())]
        if terms.examples > announced or max(weights, default=0) > max(1, announced):
            most = max(terms.examples, *weights, 0)
            raise Refusal("weight", [own], f"it weighs {most}, but announced {announced} examples")
        if below is None and terms.whole:
            raise Refusal("dtype", [own], "a worker's own update is one vector, not several")
        if below is None and not all(isinstance(term, Sum) for term in terms.sums.values()):
            raise Refusal("dtype", [own], "a worker's own update is float32, not a sum on a grid")

    def _merge(self, worker: str, terms: Terms) -> bool:
        """Add terms; an overflow begins the clock anew on a wider grid.

        The grid that a clock ends on is the narrowest that fits all its updates, so it does not
        depend on the order in which they came.

        Returns:
            Whether they are added; else they are asked for again.
        """
        assert self._merger is not None
        while True:
            crash_point("aggregator.merge", self._rounds.clock)
            try:
                self._merger.fold(terms)
            except Refusal as refusal:
                if not refusal.wants_wider_grid:
                    raise
                if not self._widen(refusal, worker):
                    return False
            else:
                self._rounds.arrived.add(worker)
                return True

    def _refuse(self, worker: str, stamp: Stamp, me: ActorRef, refusal: Refusal) -> None:
        sentence = str(refusal)
        self._rounds.refused[worker] = refusal.reason
        self.publish(
            "refused", worker=worker, clock=stamp.clock, reason=refusal.reason, sentence=sentence
        )
        self._tell(me, Refused(stamp, refusal.reason, sentence))

    def _go(self, name: str) -> None:
        """Send its clock to a worker, unless it is on its way there already."""
        assert self._down is not None
        assert self._grid is not None
        self._owed.pop(name, None)
        going = self._going.get(name)
        incarnation = self._rounds.incarnations.get(name, -1)
        stamp = self._stamp(name)
        of = (stamp.clock, self._grid.widened, incarnation)
        if going is not None:
            *to, transfer = going
            if tuple(to) == of and not transfer.done.done():
                return
        layout = self._layout if name in self._plan.below else None
        go = Go(
            stamp, not self._final, self._evaluates, self._grid, self._down, self._additive, layout,
            self._since(name),
        )  # fmt: skip
        sent = self._tell(self._workers[name], go)
        if sent is not None:
            if not self._near:
                self._traffic.count(self._down.nbytes)
            self._going[name] = (*of, sent)
            if go.train:
                self._witness("starts", name, incarnation, clock=stamp.clock)

    def _since(self, name: str) -> int | dict[str, int]:
        """From whose state a worker starts, or the workers below an aggregator, see ``Go``."""
        if self._plan.missed and name in self._plan.below:
            missed = self._missed
            return {each: missed[each] for each in self._plan.below[name] if each in missed}
        return self._rounds.since(name)

    @property
    def _missed(self) -> Mapping[str, int]:
        """Of workers further below: the first clock whose part is missing, if the last one is."""
        return self._rounds.missed_below

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
        clock: int | None = None,
        staleness: int = 0,
        held: int = 0,
    ) -> None:
        if not watched():
            return
        by = (self.system.generation << 20) | self.restarts
        clock = self._rounds.clock if clock is None else clock
        witness(kind, by, clock, worker, incarnation, workers, staleness, held)

    def _stamp(self, worker: str | None = None) -> Stamp:
        """Of what is open, for a worker with the clock that it computes next."""
        clock = self._rounds.clock
        return Stamp(
            self._plan.identity, clock if worker is None else self._rounds.clock_of(worker), clock
        )


def _late(put: Put) -> str:
    return f"the update of {put.worker} came after round {put.stamp.clock + 1} had closed"


def _unselected(put: Put) -> str:
    return f"{put.worker} was not selected for round {put.stamp.clock + 1}"


def names_of_terms(
    plan: Plan, layout: Layout, state: ServerState, extras: Mapping[str, Any]
) -> frozenset[str] | None:
    """Which sums go up, from the algorithm itself: a step in which nothing was learned.

    So the names do not depend on who puts first. None where the algorithm cannot tell without a
    worker's state; then those of the first part hold, and all others must have the same.
    """
    weights = state.weights
    ctx = Ctx(
        layout, plan.roster[0], 0, weights, weights, {"model": weights, **extras}, {}, 1, 1,
        plan.lr, gradient=weights,
    )  # fmt: skip
    try:
        with np.errstate(all="ignore"):
            terms, _ = sent_up(plan.algorithm, ctx, {})
    except Exception as error:  # noqa: BLE001  (user code, run without what it may count on)
        _log.debug("%s does not tell its terms: %r", type(plan.algorithm).__name__, error)
        return None
    return frozenset(terms.sums)
