"""The root's hold on its shards: asks until they answer, and leads them from version to version."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from actorfl.algorithm import Closed
from actorfl.cutting import Cut
from actorfl.errors import Misfit
from actorfl.grid import Grid
from actorfl.holding import MOST_HELD
from actorfl.layout import Layout, Vector
from actorfl.protocol import Integers, Stamp, pack, unpack
from actorfl.sharding import Close, Give, Moved, Named, Open, Opened, Whole
from actorfl.slices import joined, own
from actors import ActorRef, AskError, AskTimeout, Message, PeerLost
from transports import Clock, LinkFull, Weights

T = TypeVar("T")

#: Seconds until a shard is asked again, the first time; doubled each time, since what a slice of a
#: large model takes to travel or to be saved must come to fit.
_PATIENCE = 1.0
#: Seconds, the most. A shard whose process dies is noticed at once, so this is how long a lost
#: answer may hold up a run whose network loses several in a row.
_MOST_PATIENCE = 64.0
#: Seconds before the next question to a shard that is known not to answer: its process is started.
_PAUSE = 0.1


class ShardLost(ValueError):  # noqa: N818  (its sentence tells)
    """A shard has no longer the version that is open."""


class Shards:
    """All shards of a run, from the root's side.

    Args:
        refs: of the shards, in order.
        identity: of the run.
        by: incarnation of the root.
        clock: of its node.

    Attributes:
        version: that is open.
    """

    def __init__(self, refs: Sequence[ActorRef], identity: str, by: int, clock: Clock) -> None:
        self._refs = tuple(refs)
        self._identity = identity
        self._by = by
        self._clock = clock
        self._cut: Cut | None = None
        self._tops: list[tuple[float, ...]] = [()] * len(self._refs)
        self.version = 0

    def lay(self, layout: Layout) -> None:
        """The layout of the model is known.

        Raises:
            Misfit: it cannot be cut into so many pieces.
        """
        self._cut = Cut.of(layout.shapes, len(self._refs))

    async def begin(self, layout: Layout, vector: Vector, integers: Integers, workers: int) -> None:
        """Give each its piece of the initial model; they make it durable.

        Args:
            layout: of the model.
            vector: the model.
            integers: its integer buffers.
            workers: whose slices each shard is to hold.

        Raises:
            Misfit: the model cannot be cut so, or the slices take more than a machine is to hold.
        """
        self.lay(layout)
        cut = self._known
        for index in range(len(self._refs)):
            part = cut.slice(index)
            size = 4 * (part.stop - part.start) * workers
            if size > MOST_HELD:
                raise Misfit(
                    f"each of {len(self._refs)} shards holds a slice of the gradient of each of "
                    f"{workers} workers, {size / 2**30:.1f} GiB, more than the "
                    f"{MOST_HELD / 2**30:.1f} GiB that it may; use more shards or fewer workers"
                )
        self.version = 0

        async def give(index: int) -> None:
            own = pack(vector[cut.slice(index)], integers if index == 0 else {})
            opened = await self._opened(index, cut.layout(layout, index), own)
            self._tops[index] = opened.tops

        await self._all(give)

    async def open(self, version: int) -> int:
        """Have all go on from a version.

        Returns:
            The newest version that none of them lacks: this one if all is well; -1 if there is
            none.
        """
        self.version = version

        async def reopen(index: int) -> int:
            opened = await self._opened(index)
            self._tops[index] = opened.tops
            return opened.version

        return min(await self._all(reopen))

    async def reopen(self, shard: int) -> None:
        """Have one that was restarted go on from the open version.

        Raises:
            ShardLost: it no longer has it.
        """
        opened = await self._opened(shard)
        if opened.version != self.version:
            raise ShardLost(
                f"shard {shard} has no whole snapshot of version {self.version}, which is open"
            )
        self._tops[shard] = opened.tops

    def grid(self, total: int, floor: float) -> Grid:
        """The grid of the model's sums; see ``Grid.of``."""
        return Grid.around(self._known.tops(self._tops), total, floor)

    async def close(
        self,
        parts: tuple[Named, ...],
        grid: Grid,
        closed: Closed,
        *,
        relative: bool,
        shares: int | None,
    ) -> list[Moved]:
        """Have all move by these parts; where all have, the next version is the open one.

        Args:
            parts: of the workers.
            grid: of the model's sums.
            closed: for the algorithm.
            relative: see ``Close``.
            shares: see ``Close``.

        Returns:
            What each answers.

        Raises:
            ShardLost: see ``reopen``.
        """
        cut, stamp = self._known, self._stamp

        async def close(index: int) -> Moved:
            own = cut.grid(grid, index)
            message = Close(stamp, self._by, parts, own, closed, relative, shares)
            while True:
                moved = await self._ask(index, message)
                if moved.opened:
                    return moved
                await self.reopen(index)

        found = await self._all(close)
        if all(moved.moved for moved in found):
            self._tops = [moved.tops for moved in found]
            self.version += 1
        return found

    async def model(self) -> tuple[Vector, Integers]:
        """The open version, whole.

        Raises:
            ShardLost: see ``reopen``.
        """

        async def take(index: int) -> Weights:
            while True:
                weights = await self._ask(index, Whole(self._stamp, self._by))
                if weights is not None:
                    return own(weights)
                await self.reopen(index)

        vector, integers, _ = unpack(joined(await self._all(take)))
        return vector, integers

    def give(self, worker: str, clock: int, to: ActorRef, me: ActorRef) -> None:
        """Have all send the open version to a worker; what is lost the worker asks for again."""
        for ref in self._refs:
            stamp = Stamp(self._identity, clock, self.version)
            with contextlib.suppress(LinkFull):
                ref.tell(Give(stamp, self._by, worker, to, me))

    @property
    def _known(self) -> Cut:
        assert self._cut is not None
        return self._cut

    @property
    def _stamp(self) -> Stamp:
        return Stamp(self._identity, self.version, self.version)

    async def _opened(
        self, index: int, layout: Layout | None = None, weights: Weights | None = None
    ) -> Opened:
        return await self._ask(index, Open(self._stamp, self._by, layout, weights))

    async def _ask(self, index: int, message: Message[T]) -> T:
        patience = _PATIENCE
        while True:
            try:
                return await self._refs[index].ask(message, timeout=patience)
            except PeerLost:
                await self._clock.sleep(_PAUSE)
            except AskTimeout:
                patience = min(2 * patience, _MOST_PATIENCE)
            except (AskError, LinkFull):
                await self._clock.sleep(_PAUSE)

    async def _all(self, each: Callable[[int], Coroutine[Any, Any, T]]) -> list[T]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(each(index)) for index in range(len(self._refs))]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None  # its sentence, not that of the group
        return [task.result() for task in tasks]
