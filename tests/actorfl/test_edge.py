"""A real edge between a scripted root and scripted workers: what simulations hardly ever reach."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, get_type_hints

import msgspec
import numpy as np
import pytest

from actorfl.edge import Edge
from actorfl.grid import Grid
from actorfl.mean import Mean
from actorfl.plan import PlanText
from actorfl.protocol import Ack, Done, Go, Put, Ready, Refused, Stamp, Wait, Widen, pack
from actorfl.terms import Contribution, PartialSum, Sum, Terms
from actors import Actor, ActorRef, ActorSystem
from tests.actorfl.test_aggregator import LAYOUT, RUN
from transports import Weights

EXAMPLES = {"w0": 3, "w1": 5}
MODEL = np.array([0.5, -1.0, 2.0], np.float32)
GRID = Grid.of(MODEL, LAYOUT, 50)


class Ear(Actor):
    """Hands every message to the test."""

    def __init__(self, heard: asyncio.Queue[Any]) -> None:
        self._heard = heard

    def ready(self, message: Ready) -> None:
        self._heard.put_nowait(message)

    def put(self, message: Put) -> None:
        self._heard.put_nowait(message)

    def widen(self, message: Widen) -> None:
        self._heard.put_nowait(message)

    def go(self, message: Go) -> None:
        self._heard.put_nowait(message)

    def ack(self, message: Ack) -> None:
        self._heard.put_nowait(message)

    def refused(self, message: Refused) -> None:
        self._heard.put_nowait(message)

    def wait(self, message: Wait) -> None:
        self._heard.put_nowait(message)

    def done(self, message: Done) -> None:
        self._heard.put_nowait(message)


class Around:
    """Plays the root and the workers of one edge."""

    def __init__(self, system: ActorSystem) -> None:
        self.system = system
        self.heard: dict[str, asyncio.Queue[Any]] = {}
        self.refs: dict[str, ActorRef] = {}
        self.edge: ActorRef

    async def start(self, below: dict[str, tuple[str, ...]], sync: dict[str, Any]) -> None:
        for name in ("root", *EXAMPLES):
            self.heard[name] = asyncio.Queue()
            self.refs[name] = await self.system.spawn(name, Ear, heard=self.heard[name])
        slots = {
            "algorithm": {"kind": "fedavg"}, "sync": {"kind": sync["kind"]},
            "until": {"kind": "rounds"},
        }  # fmt: skip
        plan = PlanText(
            algorithm=slots["algorithm"],
            sync=sync,
            until={"kind": "rounds", "rounds": 9},
            base="/",
            roster=tuple(EXAMPLES),
            every=1,
            at="nowhere",
            landing=2,
            identity=RUN,
            lr=0.1,
            strict=False,
            record=False,
            code=slots,
            below=below,
        )
        self.edge = await self.system.spawn(
            "edge0", Edge, name="edge0", plan=plan, above=self.refs["root"]
        )

    async def expect(self, name: str, kind: type) -> Any:
        """The next message of that kind; others before it are passed over."""
        async with asyncio.timeout(10):
            while not isinstance(message := await self.heard[name].get(), kind):
                pass
            return message

    async def said(self, name: str) -> list[Any]:
        """All that was said since, up to the answer to something that is always answered."""
        self.put(name, 10**6)  # of a clock that is not open: it is told the one that is, or to wait
        found: list[Any] = []
        async with asyncio.timeout(10):
            while True:
                message = await self.heard[name].get()
                if isinstance(message, Wait) and message.stamp.clock == 10**6:
                    return found
                found.append(message)

    def ready(self, name: str, clock: int = 0) -> None:
        stamp = Stamp(RUN, clock, 0)
        self.edge.tell(Ready(stamp, name, 1, EXAMPLES[name], self.refs[name]))

    def go(
        self, clock: int, *, run: str = RUN, grid: Grid = GRID, train: bool = True, **changed: Any
    ) -> None:
        values = {"layout": LAYOUT, **changed}
        stamp = Stamp(run, clock, clock)
        self.edge.tell(Go(stamp, train, False, grid, pack(MODEL, {}), **values))

    def put(self, name: str, clock: int, value: float = 1.0) -> None:
        terms = Terms(model=Sum(MODEL + np.float32(value), EXAMPLES[name])).stated(
            worker=name, clock=clock, examples=EXAMPLES[name], layout=LAYOUT
        )
        header, arrays = terms.to_wire()
        self.edge.tell(
            Put(
                Stamp(RUN, clock, clock), name, 1, {}, Mean(), header, Weights.of(arrays),
                self.refs[name],
            )
        )  # fmt: skip

    async def opened(self, clock: int) -> None:
        """The edge has everyone and the clock, and has told them."""
        for name in EXAMPLES:
            self.ready(name, clock)
        await self.expect("root", Ready)
        self.go(clock)
        for name in EXAMPLES:
            assert (await self.expect(name, Go)).stamp.clock == clock

    async def summed(self, clock: int) -> Put:
        """Both put; what the edge puts."""
        for name in EXAMPLES:
            self.put(name, clock)
            await self.expect(name, Ack)
        while True:
            put: Put = await self.expect("root", Put)
            if put.stamp.clock == clock:
                return put


@asynccontextmanager
async def around(
    sync: dict[str, Any] | None = None, **below: tuple[str, ...]
) -> AsyncIterator[Around]:
    """Of workers, or of aggregators with these below them; under BSP, if no policy is given."""
    async with ActorSystem("node") as system:
        found = Around(system)
        await found.start(below, sync or {"kind": "bsp"})
        yield found


def contributions(put: Put) -> set[Contribution]:
    assert put.header is not None
    return set(put.header.contributions)


async def test_it_asks_above_once_all_below_are_heard_and_puts_their_sum() -> None:
    async with around() as here:
        here.ready("w0")
        assert (await here.expect("w0", Wait)).stamp.run == RUN
        assert here.heard["root"].empty()
        here.ready("w1")
        asks: Ready = await here.expect("root", Ready)
        assert (asks.worker, asks.examples, asks.working) == ("edge0", 8, -1)
        here.go(0)
        for name in EXAMPLES:
            await here.expect(name, Go)
        put = await here.summed(0)
        assert contributions(put) == {Contribution("w0", 0), Contribution("w1", 0)}
        assert put.header is not None
        assert put.weights is not None
        arrays = {name: put.weights[name] for name in put.weights.names()}
        terms = Terms.from_wire(put.header, arrays)
        assert (terms.examples, terms.grid) == (8, GRID)
        assert isinstance(terms.sums["model"], PartialSum)
        here.edge.tell(Ack(put.stamp))
        assert (await here.expect("root", Ready)).stamp.clock == 1


async def test_a_go_before_all_below_are_heard_opens_nothing() -> None:
    async with around() as here:
        here.ready("w0")
        here.go(3)
        assert not [m for m in await here.said("w0") if isinstance(m, Go)]
        here.ready("w1")
        await here.expect("root", Ready)  # it is told again, as it asks
        here.go(3)
        assert (await here.expect("w0", Go)).stamp.clock == 3


async def test_a_part_that_comes_before_all_below_are_heard_is_told_to_wait_not_to_go() -> None:
    async with around() as here:
        for clock in (0, 4):
            here.put("w0", clock)
            assert (await here.expect("w0", Wait)).stamp.clock == clock
        assert here.heard["root"].empty()


async def test_what_another_run_says_changes_nothing() -> None:
    async with around() as here:
        await here.opened(2)
        here.go(5, run="another")
        here.edge.tell(Done(Stamp("another", 2, 2)))
        here.edge.tell(Ack(Stamp("another", 2, 2)))
        here.go(5, layout=None)  # nothing that an aggregator can open
        put = await here.summed(2)
        here.edge.tell(Ack(Stamp("another", 2, 2)))
        assert (await here.expect("root", Put)).stamp == put.stamp  # it puts until that is settled


async def test_an_old_go_is_answered_with_the_old_sum_and_leaves_the_clock_open() -> None:
    async with around() as here:
        await here.opened(2)
        old = await here.summed(2)
        here.edge.tell(Ack(old.stamp))
        here.go(3)
        here.go(2)
        again: Put = await here.expect("root", Put)
        assert (again.stamp, contributions(again)) == (old.stamp, contributions(old))
        here.edge.tell(Ack(again.stamp))
        put = await here.summed(3)
        assert contributions(put) == {Contribution("w0", 3), Contribution("w1", 3)}


async def test_a_go_of_an_old_clock_that_it_knows_nothing_of_does_not_hold_it_up() -> None:
    async with around() as here:
        await here.opened(5)
        here.go(2)  # of somebody who was frozen, and has been replaced
        while True:
            asks = await here.expect("root", Ready)
            if asks.stamp.clock == 2:
                break
        here.go(5)
        put = await here.summed(5)
        assert contributions(put) == {Contribution("w0", 5), Contribution("w1", 5)}


async def test_who_does_not_fit_is_told_of_above_until_the_grid_is_wider_and_asks_meanwhile() -> (
    None
):
    async with around() as here:
        await here.opened(0)
        here.put("w0", 0)
        here.put("w1", 0, value=1e4)
        for _ in range(2):  # the first may be lost
            widen: Widen = await here.expect("root", Widen)
            assert (widen.worker, widen.widened) == ("edge0", 0)
            assert "w1" in widen.sentence
            # Whoever was restarted above knows its incarnation by what it asks.
            assert (await here.expect("root", Ready)).working == 0
        wider = GRID.wider()
        assert wider is not None
        here.go(0, grid=wider)
        for name, value in (("w0", 1.0), ("w1", 1e4)):
            assert (await here.expect(name, Go)).grid == wider
            here.put(name, 0, value=value)
        put: Put = await here.expect("root", Put)
        assert contributions(put) == {Contribution("w0", 0), Contribution("w1", 0)}


async def test_a_clock_that_only_evaluates_puts_nobody_s_terms() -> None:
    async with around() as here:
        for name in EXAMPLES:
            here.ready(name)
        here.go(7, train=False)
        for name in EXAMPLES:
            go: Go = await here.expect(name, Go)
            assert not go.train
            here.edge.tell(
                Put(go.stamp, name, 1, {"accuracy": Mean.of([1.0])}, Mean(), None, None,
                    here.refs[name])
            )  # fmt: skip
        put: Put = await here.expect("root", Put)
        assert (put.header, put.weights) == (None, None)
        assert set(put.metrics_of) == set(EXAMPLES)
        here.edge.tell(Done(put.stamp))
        for name in EXAMPLES:
            await here.expect(name, Done)
            here.ready(name)  # who was restarted is told, too
            await here.expect(name, Done)


async def test_who_was_late_on_the_narrower_grid_and_is_in_on_the_wider_is_not_told_as_absent() -> (
    None
):
    def puts(name: str, go: Go, absent: dict[str, str], refused: dict[str, str]) -> Put:
        me = here.refs[name]
        return Put(go.stamp, name, 1, {}, Mean(), None, None, me, {}, refused, absent)

    async with around(w0=("a", "b"), w1=("c",)) as here:
        await here.opened(0)
        stamp = Stamp(RUN, 0, 0)
        first = Go(stamp, True, False, GRID, pack(MODEL, {}))
        here.edge.tell(puts("w0", first, {"a": "late"}, {"b": "keys"}))
        await here.expect("w0", Ack)
        wider = GRID.wider()
        assert wider is not None
        here.go(0, grid=wider)
        for name, refused in (("w0", {"b": "keys"}), ("w1", {})):
            go: Go = await here.expect(name, Go)
            here.edge.tell(puts(name, go, {}, refused))
        put: Put = await here.expect("root", Put)
        assert (put.absent, put.refused) == ({}, {"b": "keys"})


async def test_an_aggregator_below_tells_of_its_own_workers_alone() -> None:
    async with around(w0=("a", "b"), w1=("c",)) as here:
        await here.opened(0)
        mean = {"accuracy": Mean.of([1.0])}
        told = {"a": mean, "c": mean, "x": mean}
        words = {"b": "keys", "c": "keys", "x": "keys"}
        for name, own in (("w0", told), ("w1", {})):
            me = here.refs[name]
            few = words if name == "w0" else {}
            here.edge.tell(
                Put(Stamp(RUN, 0, 0), name, 1, {}, Mean(), None, None, me, own, few, few)
            )
        put: Put = await here.expect("root", Put)
        assert put.metrics_of == {"a": mean}
        assert (put.refused, put.absent) == ({"b": "keys"}, {"b": "keys"})


@pytest.mark.parametrize(
    "wrong",
    [
        {"examples": -1}, {"examples": 2**32 + 1}, {"working": -2},
        {"unpromised": {f"w{index}": "" for index in range(65_537)}},
    ],
    ids=lambda wrong: next(iter(wrong)),
)  # fmt: skip
def test_what_a_worker_says_of_itself_is_bounded(wrong: dict[str, Any]) -> None:
    fields = get_type_hints(Ready, include_extras=True)
    for name, value in wrong.items():
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(value, fields[name])


async def test_a_deadline_that_adapts_does_so_at_an_edge() -> None:
    """After five quick clocks it does not wait for the ten minutes that it may."""
    sync = {"kind": "quorum", "fraction": 0.5, "deadline": 600.0, "floor": 0.02}
    async with around(sync) as here:
        for clock in range(5):
            await here.opened(clock)
            here.edge.tell(Ack((await here.summed(clock)).stamp))
        await here.opened(5)
        here.put("w0", 5)
        put: Put = await here.expect("root", Put)
        while put.stamp.clock != 5:
            put = await here.expect("root", Put)
        assert contributions(put) == {Contribution("w0", 5)}
        assert put.absent == {"w1": "late"}
