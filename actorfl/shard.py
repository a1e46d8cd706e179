"""A shard of a parameter server: holds a piece of the model, and moves it when the root says so."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

import numpy as np

from actorfl import shardfile
from actorfl.algorithm import ServerState, StateHeader, advance, begun
from actorfl.checkpoint import down_of
from actorfl.grid import MAX_EXPONENT, Grid, tops_of
from actorfl.layout import Layout, Shape
from actorfl.merging import Merger, Reason
from actorfl.merging import Refused as Refusal
from actorfl.plan import Plan, PlanText
from actorfl.protocol import Stamp, unpack
from actorfl.relative import relative
from actorfl.sharding import (
    Close,
    Give,
    Landed,
    Moved,
    Named,
    Open,
    Opened,
    Slice,
    Slip,
    Unopened,
    Whole,
)
from actorfl.terms import MAX_TERMS, Array, Contribution, Sum, Terms, TermsError
from actorfl.traffic import Traffic
from actors import Actor, ActorRef, Message
from actors.crashpoints import crash_point
from transports import LandingPool, LinkFull, Transfer, Weights

_SUM = "sum/"
_INTEGER = "integer/"


@dataclass(frozen=True)
class _Held:
    """The slice of a worker's part; its arrays are its own.

    Attributes:
        incarnation: of the worker.
        clock: of the worker.
        version: that it was made from.
        shapes: (name, shape) of what it consists of.
        arrays: by name; empty where it is refused.
        reason: why it is refused.
        what: the reason for people.
    """

    incarnation: int
    clock: int
    version: int
    shapes: tuple[tuple[str, Shape], ...]
    arrays: dict[str, Array]
    reason: Reason | None = None
    what: str = ""

    def is_of(self, named: Named) -> bool:
        """Whether it is a slice of this part, and a good one."""
        return self.reason is None and (self.incarnation, self.clock, self.version) == (
            named.incarnation, named.clock, named.version,
        )  # fmt: skip


@dataclass(frozen=True)
class _Version:
    """A version of the piece."""

    number: int
    state: ServerState


class Shard(Actor):
    """Keeps the newest version of its piece durable, and one slice of each worker until it is used.

    It decides nothing: which parts make a version, and in which order, the root says. The version
    before the newest stays at hand, since the newest is nothing until the root has made it durable:
    a root that dies before that goes on from the one before. Slices are volatile: a shard that was
    restarted has none, says so when it is to merge them, and the workers send them again.

    Args:
        plan: what the root needs of the run.
        index: which piece it holds, from 0.

    The storage of its node is the run's directory.
    """

    def __init__(self, plan: PlanText, index: int) -> None:
        self._plan = Plan.read(plan)
        self._index = index
        self._by = -1
        self._layout: Layout | None = None
        self._newest: _Version | None = None
        self._before: _Version | None = None
        self._merger: Merger | None = None
        self._probe: Merger | None = None
        self._held: dict[str, _Held] = {}
        # What the newest version was made of; used up as soon as that is known to be durable.
        self._used: dict[str, _Held] = {}
        self._answered: tuple[Close, Moved] | None = None
        self._packed: tuple[int, Weights] | None = None
        self._giving: dict[str, Transfer] = {}
        self._traffic = Traffic()

    async def on_start(self) -> None:
        """Wait for the root to say from which version to go on."""
        crash_point("shard.start")
        self.system.set_landing_pool(self.ref, LandingPool(buffers=self._plan.landing))
        keep = None if self._plan.record else shardfile.KEPT_OF_SHARD
        self._snapshots = self.snapshots(shardfile.folder_of(self._index), keep=keep)

    # -- versions ----------------------------------------------------------------------------------

    async def open(self, message: Open) -> Opened:
        """Go on from a version: the first one, one that is at hand, or one that is durable."""
        version = message.stamp.version
        if message.stamp.run != self._plan.identity or message.by < self._by:
            return Opened(-1)
        self._by = message.by
        self._answered = self._packed = None
        if message.weights is not None and message.layout is not None:
            try:
                await self._begin(version, message.layout, message.weights)
            finally:
                message.weights.release()
        elif self._newest is None or self._newest.number != version:
            if self._before is not None and self._before.number == version:
                self._newest, self._before = self._before, None
            else:
                found = await self._load(version)
                if found is None or found.number != version:
                    self._newest = self._before = None
                    return Opened(-1 if found is None else found.number)
                self._newest, self._before = found, None
            self._used = {}
        await self._snapshots.remove_newer(version)
        assert self._newest is not None
        return Opened(version, self._tops())

    async def _begin(self, version: int, layout: Layout, weights: Weights) -> None:
        vector, integers, _ = unpack(weights)
        layout.check(vector)
        first = begun(self._plan.algorithm, np.array(vector))
        buffers = {name: np.array(array) for name, array in integers.items()}
        state = ServerState(first.weights, buffers, first.vectors, first.scalars)
        self._lay(layout)
        await self._save(_Version(version, state))
        self._newest, self._before, self._used = _Version(version, state), None, {}

    async def _load(self, upto: int) -> _Version | None:
        found = await shardfile.load(self._snapshots, upto)
        if found is None:
            return None
        if found.header.identity != self._plan.identity:
            msg = f"the snapshots here belong to another run ({found.header.identity})"
            raise ValueError(msg)
        self._lay(found.header.layout)
        return _Version(found.header.version, found.state)

    def _lay(self, layout: Layout) -> None:
        if layout != self._layout:
            self._layout, self._merger, self._probe = layout, None, None

    async def _save(self, version: _Version) -> None:
        assert self._layout is not None
        identity = self._plan.identity
        header = shardfile.Header(identity, version.number, self._layout, StateHeader())
        await shardfile.save(self._snapshots, header, version.state)
        crash_point("shard.saved", version.number)

    def _tops(self) -> tuple[float, ...]:
        assert self._newest is not None
        assert self._layout is not None
        return tops_of(self._newest.state.weights, self._layout)

    async def close(self, message: Close) -> Moved:
        """Move the piece, and make the next version durable."""
        if self._answered is not None and self._answered[0] == message:
            return self._answered[1]
        base = self._at(message.stamp, message.by)
        if base is None:
            return Moved(moved=False, opened=False)
        if base is self._newest:  # so it is durable, and what it was made of has served
            for worker, held in self._used.items():
                if self._held.get(worker) is held:
                    del self._held[worker]
            self._used = {}
        lacks = tuple(named.worker for named in message.parts if not self._has(named))
        if lacks:
            return Moved(moved=False, lacks=lacks)
        merger = self._merging(message.grid, base.number)
        for named in message.parts:
            try:
                merger.fold(self._terms(named, base.number))
            except Refusal as refusal:
                reason, what = refusal.reason, refusal.what
                return Moved(moved=False, reason=reason, worker=named.worker, what=what)
            await asyncio.sleep(0)  # a sum of many slices is to hold up nobody else in the process
        merged = merger.merged()
        crash_point("shard.merged", base.number)
        if message.relative:
            algorithm = self._plan.algorithm
            merged = relative(
                merged, base.state, algorithm.models, message.shares, algorithm.gradients
            )
        step = advance(self._plan.algorithm, base.state, merged, message.closed)
        version = _Version(base.number + 1, step.state)
        await self._save(version)
        self._before, self._newest, self._packed = base, version, None
        self._used = {named.worker: self._held[named.worker] for named in message.parts}
        rounded = merger.statistics().rounded
        moved = Moved(moved=True, tops=self._tops(), rounded=rounded, traffic=self._traffic)
        self._traffic = Traffic()
        self._answered = (message, moved)
        return moved

    def _has(self, named: Named) -> bool:
        held = self._held.get(named.worker)
        return held is not None and held.is_of(named)

    def _at(self, stamp: Stamp, by: int) -> _Version | None:
        """A version that is at hand, for the root that it was opened by."""
        if stamp.run != self._plan.identity or by != self._by:
            return None
        for version in (self._newest, self._before):
            if version is not None and version.number == stamp.version:
                return version
        return None

    def _merging(self, grid: Grid, version: int) -> Merger:
        assert self._layout is not None
        if self._merger is None:
            self._merger = Merger(self._layout, grid, version)
        else:
            self._merger.restart(grid, version)
        return self._merger

    def _terms(self, named: Named, version: int) -> Terms:
        held = self._held[named.worker]
        own = Contribution(named.worker, version)
        try:
            terms = Terms.from_wire(named.header, held.arrays)
        except TermsError as error:
            raise Refusal("keys", [own], str(error)) from None
        terms.contributions = frozenset({own})
        terms.shapes = held.shapes
        return terms

    # -- the workers -------------------------------------------------------------------------------

    def give(self, message: Give) -> None:
        """Send a worker the piece, unless it is on its way there."""
        version = self._at(message.stamp, message.by)
        if version is None:
            if self._newest is None:
                self._tell(message.me, Unopened(self._plan.identity, self._index))
            return
        going = self._giving.get(message.worker)
        if going is not None and not going.done.done():
            return
        if self._packed is None or self._packed[0] != version.number:
            self._packed = (version.number, down_of(self._plan.algorithm, version.state))
        weights = self._packed[1]
        sent = self._tell(message.to, Slice(message.stamp, message.by, self._index, weights))
        if sent is not None:
            self._traffic.count(weights.nbytes)
            self._giving[message.worker] = sent

    def slip(self, message: Slip) -> None:
        """A worker's slice: checked, kept until the root names it, acknowledged."""
        worker, stamp = message.worker, message.stamp
        try:
            if stamp.run != self._plan.identity or worker not in self._plan.workers:
                return
            if self._newest is None:
                self._tell(message.root, Unopened(self._plan.identity, self._index))
                return
            known = self._held.get(worker)
            if known is not None and message.incarnation < known.incarnation:
                return
            self._traffic.count(message.weights.nbytes)
            held = self._held[worker] = self._checked(message)
        finally:
            message.weights.release()
        self._tell(
            message.me, Landed(stamp, message.incarnation, self._index, held.reason, held.what)
        )

    def _checked(self, message: Slip) -> _Held:
        """The slice, copied out of the memory that it landed in; without arrays if it is refused.

        What is wrong whatever the grid is found now, so that the worker hears of it at once.
        """
        of = (message.incarnation, message.stamp.clock, message.stamp.version, message.shapes)
        arrays = {name: np.array(message.weights[name]) for name in message.weights.names()}
        own = Contribution(message.worker, 0)
        terms = Terms()
        terms.contributions = frozenset({own})
        terms.shapes = message.shapes
        terms.examples = 1
        for name, array in arrays.items():
            if name.startswith(_SUM) and len(terms.sums) < MAX_TERMS:
                terms.sums[name.removeprefix(_SUM)] = Sum(array)
        terms.integers = {
            name.removeprefix(_INTEGER): array
            for name, array in arrays.items()
            if name.startswith(_INTEGER)
        }
        try:
            self._probing().fold(terms)
        except Refusal as refusal:
            return _Held(*of, {}, refusal.reason, refusal.what[:4096])
        return _Held(*of, arrays)

    def _probing(self) -> Merger:
        """A merger of one part, on a grid that every float32 fits."""
        assert self._layout is not None
        grid = Grid((MAX_EXPONENT,) * len(self._layout), 1)
        if self._probe is None:
            self._probe = Merger(self._layout, grid, 0)
        else:
            self._probe.restart(grid, 0)
        return self._probe

    def whole(self, message: Whole) -> Weights | None:
        """The piece, for an evaluation or the end of the run."""
        version = self._at(message.stamp, message.by)
        if version is None:
            return None
        return down_of(self._plan.algorithm, version.state)

    def _tell(self, to: ActorRef, message: Message[None]) -> Transfer | None:
        """Tell, or leave it where the link is full: whoever waits for an answer asks again."""
        with contextlib.suppress(LinkFull):
            return to.send(message)
        return None
