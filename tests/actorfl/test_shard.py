"""A real shard with a scripted root: what it keeps, what it goes back to, whom it heeds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actorfl.algorithm import Closed
from actorfl.grid import Grid
from actorfl.layout import Layout, Vector
from actorfl.plan import PlanText
from actorfl.protocol import Stamp, pack, unpack
from actorfl.shard import Shard
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
from actorfl.terms import Contribution, SumHeader, TermsHeader
from actors import Actor, ActorRef, ActorSystem, FileStorage, World
from transports import Weights

LAYOUT = Layout.build([("w", (3,), "float32", "parameter")])
GRID = Grid((-30,), 8)
RUN = "run-1"
START = [1.0, 2.0, 3.0]

PLAN = PlanText(
    algorithm={"kind": "parameter-server", "lr": 1.0, "momentum": 0.5},
    sync={"kind": "asp"}, until={"kind": "rounds", "rounds": 9}, base="/", roster=("w0", "w1"),
    every=1, at="nowhere", landing=2, identity=RUN, lr=0.1, strict=False, record=False,
    code={
        "algorithm": {"kind": "parameter-server"}, "sync": {"kind": "asp"},
        "until": {"kind": "rounds"},
    },
)  # fmt: skip


class Probe(Actor):
    """Hands every message to the test."""

    def __init__(self, inbox: asyncio.Queue[Any]) -> None:
        self._inbox = inbox

    def landed(self, message: Landed) -> None:
        self._inbox.put_nowait(message)

    def slice(self, message: Slice) -> None:
        self._inbox.put_nowait(message)

    def unopened(self, message: Unopened) -> None:
        self._inbox.put_nowait(message)


class Script:
    """Plays the root and all workers."""

    def __init__(self, shard: ActorRef, me: ActorRef, inbox: asyncio.Queue[Any]) -> None:
        self.shard, self.me, self.inbox = shard, me, inbox

    async def begin(self, by: int = 1) -> None:
        weights = pack(np.array(START, np.float32), {})
        opened = await self.shard.ask(Open(stamp(0), by, LAYOUT, weights), timeout=10)
        assert opened == Opened(0, (3.0,))

    async def open(self, version: int, by: int = 1) -> int:
        opened = await self.shard.ask(Open(stamp(version), by), timeout=10)
        return opened.version

    async def slip(self, worker: str, value: float, *, run: str = RUN, incarnation: int = 1) -> Any:
        weights = Weights.of({"sum/gradient": np.full(3, value, np.float32)})
        of = Stamp(run, 0, 0)
        self.shard.tell(Slip(of, worker, incarnation, LAYOUT.shapes, weights, self.me, self.me))
        return await self.heard()

    async def heard(self) -> Any:
        """What came first; a give of an unknown version is answered by nobody, and comes last."""
        async with asyncio.timeout(10):
            return await self.inbox.get()

    async def close(self, version: int, *workers: str, by: int = 1, incarnation: int = 1) -> Moved:
        closed = Closed(version, version, ("w0", "w1"), workers, 2, 2, {})
        parts = tuple(named(worker, incarnation) for worker in workers)
        return await self.shard.ask(Close(stamp(version), by, parts, GRID, closed), timeout=10)

    async def model(self, version: int, by: int = 1) -> list[float] | None:
        weights = await self.shard.ask(Whole(stamp(version), by), timeout=10)
        if weights is None:
            return None
        vector: Vector = unpack(weights)[0]
        found: list[float] = vector.tolist()
        return found


def stamp(version: int) -> Stamp:
    return Stamp(RUN, version, version)


def named(worker: str, incarnation: int) -> Named:
    header = TermsHeader((Contribution(worker, 0),), 1, (), (SumHeader("gradient", 1),))
    return Named(worker, incarnation, 0, 0, header)


@asynccontextmanager
async def shard_in(directory: Path) -> AsyncIterator[Script]:
    storage = FileStorage(directory)
    try:
        async with ActorSystem("node", world=World(storage=storage)) as system:
            inbox: asyncio.Queue[Any] = asyncio.Queue()
            me = await system.spawn("me", Probe, inbox=inbox)
            yield Script(await system.spawn("shard0", Shard, plan=PLAN, index=0), me, inbox)
    finally:
        await storage.close()


async def test_it_moves_by_the_parts_that_are_named_and_by_no_others(tmp_path: Path) -> None:
    async with shard_in(tmp_path) as script:
        await script.begin()
        for worker, value in (("w0", 1.0), ("w1", 3.0)):
            landed = await script.slip(worker, value)
            assert (landed.shard, landed.reason) == (0, None)
        moved = await script.close(0, "w1")
        assert (moved.moved, moved.tops, moved.lacks) == (True, (2.0,), ())
        assert await script.model(1) == [-2.0, -1.0, 0.0]
        assert (await script.close(1, "w0")).moved
        assert await script.model(2) == [-4.5, -3.5, -2.5]  # half of the velocity of 3, and 1


async def test_until_the_root_goes_on_a_version_is_made_anew_from_the_one_before(
    tmp_path: Path,
) -> None:
    async with shard_in(tmp_path) as script:
        await script.begin()
        await script.slip("w0", 1.0)
        await script.slip("w1", 3.0)
        assert (await script.close(0, "w0")).moved
        assert await script.close(0, "w0") == await script.close(0, "w0")
        assert (await script.close(0, "w1")).moved
        assert await script.model(1) == [-2.0, -1.0, 0.0]
        assert await script.model(0) == START
        assert (await script.close(0, "w0", "w1")).moved
        assert await script.model(1) == [-1.0, 0.0, 1.0]
        assert (await script.close(1)).moved  # nobody: the model stays
        assert await script.model(2) == [-1.0, 0.0, 1.0]
        assert (await script.close(2, "w0")).lacks == ("w0",)  # used up


async def test_a_part_of_another_incarnation_is_lacking(tmp_path: Path) -> None:
    async with shard_in(tmp_path) as script:
        await script.begin()
        await script.slip("w0", 1.0, incarnation=2)
        assert (await script.close(0, "w0", "w1", incarnation=1)).lacks == ("w0", "w1")
        assert (await script.close(0, "w0", incarnation=2)).moved


async def test_what_is_fenced_foreign_or_unknown_changes_nothing(tmp_path: Path) -> None:
    async with shard_in(tmp_path) as script:
        await script.begin()
        await script.slip("w0", 1.0, incarnation=2)
        for each in (("w0", "run-1", 1), ("w0", "another", 3), ("w9", "run-1", 1)):
            worker, run, incarnation = each
            weights = Weights.of({"sum/gradient": np.full(3, 9, np.float32)})
            of = Stamp(run, 0, 0)
            script.shard.tell(
                Slip(of, worker, incarnation, LAYOUT.shapes, weights, script.me, script.me)
            )
        await script.slip("w1", 1.0)
        assert script.inbox.empty()
        assert (await script.close(0, "w0", incarnation=2)).moved
        assert await script.model(1) == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.array([1, np.nan, 1], np.float32), "non-finite"),
        (np.ones(2, np.float32), "shape"),
        (np.ones(3, np.float64), "dtype"),
    ],
    ids=["nan", "shape", "dtype"],
)
async def test_a_bad_slice_is_refused_when_it_comes_and_never_merged(
    array: Any, reason: str, tmp_path: Path
) -> None:
    async with shard_in(tmp_path) as script:
        await script.begin()
        weights = Weights.of({"sum/gradient": array})
        script.shard.tell(Slip(stamp(0), "w0", 1, LAYOUT.shapes, weights, script.me, script.me))
        landed = await script.heard()
        assert (landed.reason, bool(landed.what)) == (reason, True)
        assert (await script.close(0, "w0")).lacks == ("w0",)


async def test_what_no_grid_fits_is_told_and_the_version_stays(tmp_path: Path) -> None:
    async with shard_in(tmp_path) as script:
        await script.begin()
        assert (await script.slip("w0", 1e30)).reason is None
        moved = await script.close(0, "w0")
        assert (moved.moved, moved.reason, moved.worker) == (False, "overflow", "w0")
        assert await script.model(0) == START


async def test_a_root_that_was_replaced_is_not_heeded(tmp_path: Path) -> None:
    async with shard_in(tmp_path) as script:
        await script.begin(by=1)
        await script.slip("w0", 1.0)
        assert await script.open(0, by=2) == 0
        assert await script.open(0, by=1) == -1
        old = await script.close(0, "w0", by=1)
        assert (old.moved, old.opened) == (False, False)
        assert await script.model(0, by=1) is None
        assert (await script.close(0, "w0", by=2)).moved


async def test_a_restarted_shard_says_so_and_goes_on_from_what_the_root_made_durable(
    tmp_path: Path,
) -> None:
    async with shard_in(tmp_path) as script:
        await script.begin()
        for version, worker in enumerate(("w0", "w1")):
            await script.slip(worker, 1.0)
            assert (await script.close(version, worker)).moved
    for version, model in ((2, [-1.5, -0.5, 0.5]), (1, [0.0, 1.0, 2.0])):
        async with shard_in(tmp_path) as script:
            assert await script.slip("w0", 1.0) == Unopened(RUN, 0)
            script.shard.tell(Give(stamp(version), 1, "w0", script.me, script.me))
            assert await script.heard() == Unopened(RUN, 0)
            assert not (await script.close(version)).opened
            assert await script.open(version) == version
            assert await script.model(version) == model
    async with shard_in(tmp_path) as script:
        assert await script.open(2) == 1  # what came after 1 never was


async def test_it_sends_the_versions_at_hand(tmp_path: Path) -> None:
    async with shard_in(tmp_path) as script:
        await script.begin()
        await script.slip("w0", 1.0)
        assert (await script.close(0, "w0")).moved
        for version in (0, 5, 1):
            script.shard.tell(Give(stamp(version), 1, f"w{version}", script.me, script.me))
        found = [await script.heard() for _ in range(2)]
        assert [each.stamp.version for each in found] == [0, 1]
        assert unpack(found[0].weights)[0].tolist() == START
        await script.model(1)
        assert script.inbox.empty()
