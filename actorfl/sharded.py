"""The root of a sharded parameter server: clocks, policy, versions and rows, but no model."""

from __future__ import annotations

import logging

import numpy as np

from actorfl import checkpoint
from actorfl.aggregator import Aggregator
from actorfl.algorithm import Advance, Closed, ServerState
from actorfl.flow import Flow
from actorfl.grid import Grid
from actorfl.layout import Layout, Vector
from actorfl.merging import Merged
from actorfl.merging import Refused as Refusal
from actorfl.plan import PlanText
from actorfl.protocol import Initial, Integers, Put, pack, unpack
from actorfl.roster import Phase
from actorfl.sharding import Fetch, Moved, Named, Reported, Unopened
from actorfl.shards import Shards
from actorfl.terms import Contribution, Terms, TermsError
from actors import ActorRef, Message

_log = logging.getLogger("actorfl.aggregator")

#: What the root itself adds up: whose parts there are, their weights, counts and metrics.
_NOTHING = Layout((), ())


class _Resume(Message[None]):
    pass


class ShardedAggregator(Aggregator):
    """The centre of a star whose model lies in shards.

    To all but vectors it is what every root is: an aggregator of a model without tensors, so that
    roster, policies, checks and rows are the same. Before it moves to the next version all shards
    have made theirs durable; after that its own checkpoint makes the version what the run goes on
    from. So a version is in all shards or in none, whoever is killed when.

    A whole model comes here for central evaluation and at the end only.

    Args:
        plan: what it needs of the run.
        monitor: is told of each line of the metrics and of the end.
        shards: in order.
    """

    def __init__(self, plan: PlanText, monitor: ActorRef, shards: tuple[ActorRef, ...]) -> None:
        super().__init__(plan, monitor)
        self._by = (self.system.generation << 20) | self.restarts
        self._shards = Shards(shards, self._plan.identity, self._by, self.clock)
        self._named: dict[str, Named] = {}
        self._reported: Reported | None = None
        self._moved: list[Moved] = []
        # What the open version is merged on, where a part did not fit its own grid.
        self._wide: Grid | None = None
        # Until the shards have said which versions they have, nothing is opened.
        self._resuming = False

    # -- its start ---------------------------------------------------------------------------------

    async def on_start(self) -> None:
        """Take up the newest checkpoint; then ask the shards, which may be starting, too."""
        self._resuming = True
        await super().on_start()
        if self._state is None:
            self._resuming = False

    async def _open(self) -> None:
        if self._resuming:
            self.ref.tell(_Resume())
        else:
            await super()._open()

    async def resume(self, message: _Resume) -> None:
        """Go on from the newest version that is whole here and in all shards."""
        assert self._layout is not None
        self._shards.lay(self._layout)
        while (found := await self._shards.open(self._rounds.clock)) != self._rounds.clock:
            _log.warning("version %d is not whole in all shards", self._rounds.clock)
            older = await checkpoint.load(self._snapshots, found) if found >= 0 else None
            if older is None:
                msg = "no version is whole here and in all shards any more; start a new run"
                raise ValueError(msg)
            self._take_up(older.header, older.state)
        self._resuming = False
        await self._open()

    async def _gathered(self) -> None:
        if not self._resuming:
            await super()._gathered()

    async def initial(self, message: Initial) -> None:
        """The initial model is there: each shard gets its piece."""
        try:
            if message.run != self._plan.identity or self._state is not None:
                return
            vector, integers, _ = unpack(message.weights)
            message.layout.check(vector)
            await self._shards.begin(message.layout, vector, integers, len(self._plan.workers))
        finally:
            message.weights.release()
        self._layout = message.layout
        self._state = ServerState(np.zeros(0, np.float32))
        if self._rounds.gathered:
            await self._begin()

    async def unopened(self, message: Unopened) -> None:
        """A shard was restarted: tell it where the run is."""
        if message.run == self._plan.identity and self._state is not None and not self._resuming:
            await self._shards.reopen(message.shard)

    # -- what differs ------------------------------------------------------------------------------

    @property
    def _added(self) -> Layout:
        return _NOTHING

    @property
    def _rounded(self) -> int:
        return sum(moved.rounded for moved in self._moved)

    async def _model(self) -> tuple[Vector, Integers]:
        return await self._shards.model()

    async def _evaluate(self) -> None:
        if self._waits_for_evaluation and self._due is not None and self._due[1] is self._down:
            self._due = (self._due[0], pack(*await self._model()))
        await super()._evaluate()

    def _step(self, merged: Merged, closed: Closed) -> Advance:
        if merged:
            assert self._state is not None
            return Advance(self._state, True, "")
        return super()._step(merged, closed)

    def _go(self, name: str) -> None:
        self._begin_time()
        assert self._grid is not None
        stamp = self._stamp(name)
        train = not self._final
        fetch = Fetch(
            stamp, self._by, train, self._evaluates, self._grid, self._additive,
            self._rounds.since(name),
        )  # fmt: skip
        self._tell(self._workers[name], fetch)
        self._shards.give(name, stamp.clock, self._workers[name], self.ref)
        if train:
            self._witness(
                "starts", name, self._rounds.incarnations.get(name, -1), clock=stamp.clock
            )

    # -- parts -------------------------------------------------------------------------------------

    async def reported(self, message: Reported) -> None:
        """A worker's part is in all shards, or one of them refuses it."""
        self._reported = message
        try:
            await self.put(message.put)
        finally:
            self._reported = None

    def _terms(self, message: Put) -> Terms:
        worker = message.worker
        own = Contribution(worker, message.stamp.clock)
        reported = self._reported
        if reported is not None and reported.reason is not None:
            raise Refusal(reported.reason, [own], reported.what)
        header = message.header
        if header is None:
            raise Refusal("keys", [own], "it holds no terms")
        arrays = {f"sum/{each.name}": np.zeros(0, np.float32) for each in header.sums}
        try:
            terms = Terms.from_wire(header, arrays)
        except TermsError as error:
            raise Refusal("keys", [own], str(error)) from None
        self._check(message, terms)
        stamp = message.stamp
        self._named[worker] = Named(worker, message.incarnation, stamp.clock, stamp.version, header)
        return terms

    async def _others_moved(self, closed: Closed, shares: int | None = None) -> bool:
        assert self._merger is not None
        assert self._grid is not None
        parts = tuple(
            self._named[worker]
            for worker in sorted({each.worker for each in self._merger.contributions})
        )
        # As it travels; a proxy of a mapping does not.
        closed = Closed(
            closed.clock, closed.version, closed.expected, closed.arrived, closed.examples,
            closed.workers, dict(closed.staleness),
        )  # fmt: skip
        grid = self._wide or self._shards.grid(self._grid.total, self._plan.algorithm.floor)
        flowing = isinstance(self._rounds, Flow)
        while True:
            found = await self._shards.close(parts, grid, closed, relative=flowing, shares=shares)
            if all(moved.moved for moved in found):
                self._moved, self._wide = found, None
                for moved in found:
                    self._traffic.add(moved.traffic)
                for named in parts:
                    del self._named[named.worker]
                return True
            lacks = sorted({name for moved in found for name in moved.lacks})
            if lacks:
                _log.info("the slices of %s are asked for again", ", ".join(lacks))
                await self._again()
                return False
            wrong = next(moved for moved in found if moved.reason is not None)
            own = Contribution(wrong.worker, closed.clock)
            assert wrong.reason is not None
            refusal = Refusal(wrong.reason, [own], wrong.what)
            wider = grid.wider() if refusal.wants_wider_grid else None
            if wider is None:
                await self._again(refusal)
                return False
            _log.info("version %d begins anew on a wider grid: %s", self._shards.version, refusal)
            grid = self._wide = wider

    async def _again(self, refusal: Refusal | None = None) -> None:
        """Ask again for the parts of what is open; that of one worker is refused, maybe."""
        assert self._merger is not None
        assert self._grid is not None
        rounds = self._rounds
        parts = {each.worker: self._named.pop(each.worker) for each in self._merger.contributions}
        self._merger.restart(self._grid, rounds.clock)
        wrong = refusal.contributions[0].worker if refusal is not None else None
        if isinstance(rounds, Flow):
            self._held.clear()
            rounds.arrived.difference_update(parts)
            if refusal is not None and wrong is not None:
                stamp = self._stamp(wrong)
                await self._turn_down(rounds, wrong, stamp, self._workers[wrong], refusal)
        else:
            rounds.phase = Phase.OPEN
            rounds.arrived.clear()
            self._witness("opened")
            if refusal is not None and wrong is not None:
                self._loss.pop(wrong, None)
                self._refuse(wrong, self._stamp(wrong), self._workers[wrong], refusal)
        for name in sorted(parts.keys() & self._workers.keys()):
            if name != wrong:
                self._go(name)
        if not isinstance(rounds, Flow):
            await self._look()  # all may have been refused by now
