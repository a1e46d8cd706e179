"""A worker of a sharded parameter server: reads its model from all shards, and writes to all."""

from __future__ import annotations

import contextlib
from typing import Any

import msgspec

from actorfl.cutting import Cut
from actorfl.protocol import Go, Put
from actorfl.runtext import RunText
from actorfl.sharding import Fetch, Landed, Reported, Slice, Slip
from actorfl.slices import Complete, Slices
from actorfl.worker import RETRY, Worker
from actors import ActorRef
from actors.crashpoints import crash_point
from transports import LinkFull, Transfer, Weights

#: Seconds that a worker waits at the most for slices before it asks for its clock again: each
#: question has the shards send anew what is not on its way.
_MOST_PATIENCE = 2.0


class ShardedWorker(Worker):
    """A worker whose model comes in slices, each from the shard that holds it.

    It computes what any worker does. Only when all shards have their slice of a part, or have
    refused it, does the root hear of the part.

    Args:
        name: of the worker.
        index: its place in the roster.
        run: what is to be done, and under which identity.
        aggregator: the root.
        shards: in order.
    """

    def __init__(
        self,
        *,
        name: str,
        index: int,
        run: RunText,
        aggregator: ActorRef,
        shards: tuple[ActorRef, ...],
    ) -> None:
        super().__init__(name=name, index=index, run=run, aggregator=aggregator)
        self._shards = shards
        self._slices = Slices(len(shards))
        # How often a clock was asked for whose slices did not come, and when to ask next.
        self._asked: tuple[int, int] = (-1, 0)
        self._not_before = 0.0
        # Of the part that is put now: which it is, what each shard said of it, what is on its way.
        self._putting: tuple[int, int] | None = None
        self._landed: dict[int, Landed] = {}
        self._slips: dict[int, Slip] = {}
        self._on_their_way: dict[int, Transfer] = {}

    # -- reading -----------------------------------------------------------------------------------

    async def fetch(self, message: Fetch) -> None:
        """The root says which version to compute from."""
        if message.stamp.run != self._identity:
            return
        clock, times = self._asked
        times = times + 1 if clock == message.stamp.clock else 0
        self._asked = (message.stamp.clock, times)
        patience = min(RETRY * 2 ** min(times, 10), _MOST_PATIENCE)
        self._not_before = self.clock.now() + patience
        await self._complete(self._slices.fetch(message))

    async def slice(self, message: Slice) -> None:
        """A shard sends its slice."""
        if message.stamp.run == self._identity:
            await self._complete(self._slices.slice(message))

    async def _complete(self, complete: Complete | None) -> None:
        if complete is None:
            return
        fetch, weights = complete
        self._asked = (-1, 0)
        self._putting = None  # a shard that was restarted has lost what had landed there
        await self.go(
            Go(
                fetch.stamp, fetch.train, fetch.evaluate, fetch.grid, weights, fetch.additive,
                since=fetch.since,
            )
        )  # fmt: skip

    def _ask(self) -> None:
        if not self._slices.waiting or self.clock.now() >= self._not_before:
            super()._ask()

    # -- writing -----------------------------------------------------------------------------------

    def landed(self, message: Landed) -> None:
        """A shard has its slice of what is put, or refuses it."""
        put = self._steps.putting
        if (
            put is None
            or message.stamp != put.stamp
            or message.incarnation != self._incarnation
            or message.shard not in self._slips
            or self._putting is None
        ):
            return
        self._landed[message.shard] = message
        if len(self._landed) == len(self._shards):
            self._put(put)

    def _put(self, put: Put) -> None:
        """Send each shard its slice, and the root the rest when all have theirs."""
        if put.header is None or put.weights is None:
            self._report(Reported(put))
            return
        of = (put.stamp.clock, put.stamp.version)
        if self._putting != of:
            self._putting = of
            self._landed.clear()
            self._on_their_way.clear()
            self._slips = self._cut(put)
        missing = [index for index in self._slips if index not in self._landed]
        if not missing:
            header = msgspec.structs.replace(put.header, shapes=())
            small = msgspec.structs.replace(put, header=header, weights=None)
            wrong = next(
                (each for _, each in sorted(self._landed.items()) if each.reason is not None), None
            )
            if wrong is None:
                self._report(Reported(small))
            else:
                self._report(Reported(small, wrong.reason, wrong.what))
            return
        self._said = self.clock.now()
        for index in missing:
            going = self._on_their_way.get(index)
            if going is not None and not going.done.done():
                continue
            with contextlib.suppress(LinkFull):  # then the next time
                sent = self._shards[index].send(self._slips[index])
                if sent is not None:
                    self._on_their_way[index] = sent
                crash_point("worker.put", put.stamp.clock)

    def _report(self, message: Reported) -> None:
        self._said = self.clock.now()
        with contextlib.suppress(LinkFull):  # then the next time
            self._aggregator.tell(message)

    def _cut(self, put: Put) -> dict[int, Slip]:
        """What each shard gets of a part."""
        assert put.header is not None
        assert put.weights is not None
        cut = Cut.of(put.header.shapes, len(self._shards))
        slips: dict[int, Slip] = {}
        for index in range(len(cut)):
            arrays: dict[str, Any] = {}
            for name in put.weights.names():
                if name.startswith("sum/"):
                    arrays[name] = put.weights[name][cut.slice(index)]
                elif index == 0:
                    arrays[name] = put.weights[name]
            slips[index] = Slip(
                put.stamp, self._name, self._incarnation, cut.shapes_of(index), Weights.of(arrays),
                self.ref, self._aggregator,
            )  # fmt: skip
        return slips
