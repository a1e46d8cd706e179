"""A real aggregator with scripted workers: every order of arrival, and everything it must drop."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

import actors
from actorfl.aggregator import Aggregator
from actorfl.layout import Layout
from actorfl.mean import Mean
from actorfl.plan import PlanText
from actorfl.protocol import (
    Ack,
    Build,
    Done,
    Evaluate,
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
    pack,
    unpack,
)
from actorfl.terms import Packed, Sum, Terms
from actors import Actor, ActorRef, ActorSystem, FileStorage, World
from transports import LoopClock, Timer, Weights

LAYOUT = Layout.build([("w", (3,), "float32", "parameter")])
EXAMPLES = {"w0": 3, "w1": 5, "w2": 11}
RUN = "run-1"


class Probe(Actor):
    """Hands every message to the test."""

    def __init__(self, inbox: asyncio.Queue[Any]) -> None:
        self._inbox = inbox

    def go(self, message: Go) -> None:
        self._inbox.put_nowait(message)

    def ack(self, message: Ack) -> None:
        self._inbox.put_nowait(message)

    def refused(self, message: Refused) -> None:
        self._inbox.put_nowait(message)

    def wait(self, message: Wait) -> None:
        self._inbox.put_nowait(message)

    def done(self, message: Done) -> None:
        self._inbox.put_nowait(message)

    def build(self, message: Build) -> None:
        self._inbox.put_nowait(message)

    def evaluate(self, message: Evaluate) -> None:
        self._inbox.put_nowait(message)

    def row(self, message: Row) -> None:
        self._inbox.put_nowait(message)

    def finished(self, message: Finished) -> None:
        self._inbox.put_nowait(message)


class Script:
    """Plays evaluator, monitor and all workers against one aggregator."""

    def __init__(self, system: ActorSystem) -> None:
        self.system = system
        self.inboxes: dict[str, asyncio.Queue[Any]] = {}
        self.refs: dict[str, ActorRef] = {}
        self.aggregator: ActorRef

    async def start(self, rounds: int, compress: str | None = None) -> None:
        for name in ("evaluator", "monitor", *EXAMPLES):
            self.inboxes[name] = asyncio.Queue()
            self.refs[name] = await self.system.spawn(name, Probe, inbox=self.inboxes[name])
        plan = PlanText(
            algorithm={"kind": "fedavg"},
            sync={"kind": "bsp"},
            until={"kind": "rounds", "rounds": rounds},
            base="/",
            roster=tuple(EXAMPLES),
            every=1,
            at="nowhere",
            landing=2,
            identity=RUN,
            lr=0.1,
            strict=False,
            record=False,
            code={
                "algorithm": {"kind": "fedavg"},
                "sync": {"kind": "bsp"},
                "until": {"kind": "rounds"},
                **({} if compress is None else {"compress": {"kind": compress}}),
            },
            compress=msgspec.UNSET if compress is None else {"kind": compress},
        )
        self.aggregator = await self.system.spawn(
            "aggregator", Aggregator, plan=plan, monitor=self.refs["monitor"]
        )
        self.aggregator.tell(Idle(RUN, self.refs["evaluator"]))
        await self.expect("evaluator", Build)
        start = pack(np.array([0.5, -1.0, 2.0], np.float32), {})
        self.aggregator.tell(Initial(RUN, LAYOUT, start))

    async def expect(self, name: str, kind: type) -> Any:
        """The next message of that kind; others before it are passed over."""
        async with asyncio.timeout(10):
            while True:
                message = await self.inboxes[name].get()
                if isinstance(message, kind):
                    return message

    def ready(self, name: str, clock: int, incarnation: int = 1) -> None:
        stamp = Stamp(RUN, clock, 0)
        self.aggregator.tell(Ready(stamp, name, incarnation, EXAMPLES[name], self.refs[name]))

    def put(
        self,
        name: str,
        go: Go,
        *,
        incarnation: int = 1,
        run: str = RUN,
        scale: float = 1.0,
        clock: int | None = None,
        waits: bool = False,
    ) -> None:
        start, _, _ = unpack(go.weights)
        at = go.stamp.clock if clock is None else clock
        # Different for each worker and clock; thirds are not on any binary grid.
        vector = (start * scale + np.float32(EXAMPLES[name] / 3 + at)).astype(np.float32)
        terms = Terms(model=Sum(vector, EXAMPLES[name])).stated(
            worker=name, clock=at, examples=EXAMPLES[name], layout=LAYOUT
        )
        header, arrays = terms.to_wire()
        self.aggregator.tell(
            Put(
                Stamp(run, at, at), name, incarnation, {}, Mean(), header, Weights.of(arrays),
                self.refs[name], waits=waits,
            )
        )  # fmt: skip

    async def go(self, name: str, clock: int) -> Go:
        self.ready(name, clock)
        while True:
            message: Go = await self.expect(name, Go)
            if message.stamp.clock == clock:
                return message


async def played(directory: Path, orders: list[tuple[str, ...]], noise: bool = False) -> str:
    """The SHA-256 after clocks in which updates arrive in these orders."""
    storage = FileStorage(directory)
    try:
        async with ActorSystem("node", world=World(storage=storage)) as system:
            script = Script(system)
            await script.start(len(orders))
            for name in EXAMPLES:
                script.ready(name, 0)
            for clock, order in enumerate(orders):
                gos = {name: await script.go(name, clock) for name in order}
                for name in order:
                    if noise:
                        script.put(name, gos[name], run="another", scale=9.0)
                        script.put(name, gos[name], incarnation=0, scale=9.0)
                        script.put(name, gos[name], clock=clock + 3, scale=9.0)
                    script.put(name, gos[name])
                    await script.expect(name, Ack)
                    if noise:
                        script.put(name, gos[name], scale=9.0)  # a duplicate with other bits
            finished: Finished = await script.expect("monitor", Finished)
            return finished.sha256
    finally:
        await storage.close()


async def test_no_order_of_arrival_changes_the_model(tmp_path: Path) -> None:
    found = set()
    for number, order in enumerate(itertools.permutations(EXAMPLES)):
        orders = [order, tuple(reversed(order)), order]
        found.add(await played(tmp_path / str(number), orders))
    assert len(found) == 1


async def test_foreign_fenced_early_and_duplicate_updates_change_nothing(tmp_path: Path) -> None:
    orders = [tuple(EXAMPLES)] * 3
    quiet = await played(tmp_path / "quiet", orders)
    assert await played(tmp_path / "noisy", orders, noise=True) == quiet


async def test_the_clock_begins_anew_on_a_wider_grid_whoever_overflowed_first(
    tmp_path: Path,
) -> None:
    found = set()
    for number, order in enumerate([("w0", "w1", "w2"), ("w2", "w0", "w1"), ("w1", "w2", "w0")]):
        storage = FileStorage(tmp_path / str(number))
        async with ActorSystem("node", world=World(storage=storage)) as system:
            script = Script(system)
            await script.start(1)
            for name in EXAMPLES:
                script.ready(name, 0)
            gos = {name: await script.go(name, 0) for name in order}
            huge = {"w0": 1.0, "w1": 1e4, "w2": 1.0}
            widened = False
            for name in order:
                script.put(name, gos[name], scale=huge[name])
                await script.expect(name, Ack)
                widened = widened or name == "w1"
                # Who was in before is asked again, on the wider grid.
                if name == "w1":
                    for before in order[: order.index(name)]:
                        again: Go = await script.expect(before, Go)
                        assert again.grid.widened > 0
                        script.put(before, again, scale=huge[before])
                        await script.expect(before, Ack)
            finished: Finished = await script.expect("monitor", Finished)
            found.add(finished.sha256)
            assert widened
        await storage.close()
    assert len(found) == 1


class HeldClock(LoopClock):
    """The real clock, but that its timers come due when the test says so."""

    def __init__(self) -> None:
        self._calls: list[asyncio.TimerHandle] = []

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        loop = asyncio.get_running_loop()
        timer = asyncio.TimerHandle(loop.time() + delay, callback, args, loop)
        self._calls.append(timer)
        return timer

    def expire(self) -> None:
        """All timers come due now."""
        calls, self._calls = self._calls, []
        for timer in calls:
            if not timer.cancelled():
                asyncio.get_running_loop().call_soon(timer._run)


@asynccontextmanager
async def opened(
    directory: Path, rounds: int
) -> AsyncIterator[tuple[Script, HeldClock, dict[str, Go]]]:
    """An aggregator whose first clock is open, and what its workers were told of it."""
    storage, clock = FileStorage(directory), HeldClock()
    async with ActorSystem("node", world=World(storage=storage, clock=clock)) as system:
        script = Script(system)
        await script.start(rounds)
        for name in EXAMPLES:
            script.ready(name, 0)
        yield script, clock, {name: await script.expect(name, Go) for name in EXAMPLES}
    await storage.close()


async def next_of(script: Script, name: str) -> Any:
    """What a worker is told next, whatever that is."""
    async with asyncio.timeout(10):
        return await script.inboxes[name].get()


async def test_who_waits_anyway_is_told_the_next_clock_and_nothing_else(tmp_path: Path) -> None:
    async with opened(tmp_path / "waiting", 3) as (script, _, gos):
        for clock in range(3):
            for name in EXAMPLES:
                script.put(name, gos[name], waits=True)
            for name in EXAMPLES:
                gos[name] = await next_of(script, name)
                assert isinstance(gos[name], Go if clock < 2 else Done)
        found: Finished = await script.expect("monitor", Finished)
    assert found.sha256 == await played(tmp_path / "asking", [tuple(EXAMPLES)] * 3)


async def test_where_a_clock_lasts_a_part_is_acknowledged_and_its_worker_asks(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path, 2) as (script, clock, gos):
        script.put("w0", gos["w0"], waits=True)
        script.ready("w0", 0)
        assert isinstance(await next_of(script, "w0"), Wait)  # the part before it is in
        clock.expire()
        assert (await next_of(script, "w0")) == Ack(gos["w0"].stamp)
        for name in ("w1", "w2"):
            script.put(name, gos[name], waits=True)
        for name in ("w1", "w2"):
            assert (await next_of(script, name)).stamp.clock == 1
        # Who was told that its part is in asks, and would else be told twice.
        assert script.inboxes["w0"].empty()
        script.ready("w0", 1)
        assert (await next_of(script, "w0")).stamp.clock == 1


async def test_a_part_that_is_asked_for_again_is_not_acknowledged_before(tmp_path: Path) -> None:
    """Else its worker would go on to the next clock with its part missing on the wider grid."""
    async with opened(tmp_path, 1) as (script, clock, gos):
        script.put("w0", gos["w0"], waits=True)
        script.put("w1", gos["w1"], waits=True, scale=1e4)
        again = await next_of(script, "w0")
        assert isinstance(again, Go)
        assert again.grid.widened > 0
        clock.expire()
        assert isinstance(await next_of(script, "w1"), Ack)
        script.put("w0", again, waits=True)
        script.put("w2", again, waits=True)
        assert isinstance(await next_of(script, "w0"), Done)
        await script.expect("monitor", Finished)


async def test_a_part_that_comes_twice_is_acknowledged_at_once_and_once(tmp_path: Path) -> None:
    async with opened(tmp_path, 1) as (script, clock, gos):
        for _ in range(2):
            script.put("w0", gos["w0"], waits=True)
        assert isinstance(await next_of(script, "w0"), Ack)
        clock.expire()
        script.ready("w0", 1)
        assert isinstance(await next_of(script, "w0"), Wait)
        for name in ("w1", "w2"):
            script.put(name, gos[name], waits=True)
        await script.expect("monitor", Finished)


HALVES = np.array([0.5, 0.5, 0.5], np.float32)


async def put_packed(
    directory: Path, compress: str | None, arrays: dict[str, np.ndarray[Any, Any]]
) -> Ack | Refused:
    """What is answered to such a compressed part; a second worker then ends the clock."""
    storage = FileStorage(directory)
    try:
        async with ActorSystem("node", world=World(storage=storage)) as system:
            script = Script(system)
            await script.start(1, compress)
            for name in EXAMPLES:
                script.ready(name, 0)
            gos = {name: await script.go(name, 0) for name in EXAMPLES}
            terms = Terms()
            terms.packed["model"] = Packed(arrays, EXAMPLES["w0"])
            header, wire = terms.stated(
                worker="w0", clock=0, examples=EXAMPLES["w0"], layout=LAYOUT
            ).to_wire()
            script.aggregator.tell(
                Put(Stamp(RUN, 0, 0), "w0", 1, {}, Mean(), header, Weights.of(wire),
                    script.refs["w0"])
            )  # fmt: skip
            answer: Ack | Refused
            async with asyncio.timeout(10):
                while not isinstance(answer := await script.inboxes["w0"].get(), (Ack, Refused)):
                    pass
            for name in ("w1", "w2"):
                script.put(name, gos[name])
                await script.expect(name, Ack)
            await script.expect("monitor", Finished)
            return answer
    finally:
        await storage.close()


GOOD: dict[str, npt.NDArray[Any]] = {
    "levels": np.array([1, -127, 127], np.int8),
    "scales": np.array([0.5], np.float32),
}


async def test_a_compressed_part_is_decoded_where_it_is_collected(tmp_path: Path) -> None:
    assert isinstance(await put_packed(tmp_path, "8-bit", GOOD), Ack)


@pytest.mark.parametrize(
    ("compress", "arrays", "what"),
    [
        (None, GOOD, "nobody is to compress here"),
        ("8-bit", {"levels": GOOD["levels"]}, "it holds levels, expected levels, scales"),
        ("8-bit", {**GOOD, "more": HALVES}, "it holds levels, more, scales, expected"),
        ("8-bit", {**GOOD, "statistics": HALVES}, "other running statistics than the model"),
        ("8-bit", {**GOOD, "levels": GOOD["levels"][:2]}, r"levels are int8 \(2,\), expected"),
        ("8-bit", {**GOOD, "scales": np.array([np.inf], np.float32)}, "negative or not finite"),
        ("1-bit", GOOD, "it holds levels, scales, expected scales, signs"),
    ],
)
async def test_a_compressed_part_that_no_worker_makes_is_refused_by_name(
    compress: str | None,
    arrays: dict[str, np.ndarray[Any, Any]],
    what: str,
    tmp_path: Path,
) -> None:
    answer = await put_packed(tmp_path, compress, arrays)
    assert isinstance(answer, Refused)
    assert answer.reason == "payload"
    assert re.search(what, answer.sentence)
    assert "the update of w0" in answer.sentence


def test_an_aggregator_starts_without_torch() -> None:
    import subprocess
    import sys

    code = "import actorfl.aggregator, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
    assert actors.Actor is Actor
