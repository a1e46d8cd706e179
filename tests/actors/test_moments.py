"""Faults that begin and end with what actors handle, and not with the time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import actors
from actors import (
    Churn,
    Corrupt,
    Drop,
    Event,
    Fault,
    FaultMissed,
    FaultPlan,
    Freeze,
    Full,
    Kill,
    Moment,
    NodeDied,
    Partition,
    Processes,
    Simulated,
    Skew,
    Slow,
    crashpoints,
)
from actors.crashpoints import HANDLED, TAKEN
from actors.faults.clock import ResetClock
from actors.faults.disks import DiskFaults
from actors.faults.links import FaultyLinks
from actors.faults.moment import Lookout, Moments
from actors.faults.noise import Corruption
from actors.faults.timeline import Timeline
from actors.item import TELL, Item
from actors.message import Message
from tests.actors.subjects import (
    Compute,
    Hello,
    Now,
    Save,
    carried_out,
    pair,
    surroundings,
    until_answered,
)
from tests.actors.test_timeline import Noted
from transports.sim import SimClock, SimLoop

THIRD = Moment(clock=3)
PUT = Moment(message="Put")

# -- what a moment is ---------------------------------------------------------------------------------


def test_a_moment_is_the_nth_message_that_fits_and_comes_once() -> None:
    told: list[Moment] = []
    fifth, elsewhere = Moment(message="P*", nth=3, actor="/root/*"), Moment(clock=0, node="p1")
    lookout = Lookout((THIRD, fifth, elsewhere), "p0", told.append)
    for clock, actor, message in (
        (2, "/root/a", "Put"), (None, "/other", "Put"), (None, "/root/a", "Get"),
        (2, "/root/b", "Put"), (5, "/other", "Go"), (6, "/root/a", "Ping"),
        (6, "/root/a", "Ping"),
    ):  # fmt: skip
        lookout.passed(TAKEN, clock, actor, message)
        lookout.passed(HANDLED, clock, actor, message)
    assert told == [THIRD, fifth], "a clock has begun where a later one is told first"


def test_who_waits_for_a_moment_is_called_once_even_if_it_has_come() -> None:
    moments, calls = Moments(), list[float]()
    moments.when(THIRD, calls.append)
    assert (moments.came(THIRD, 2.5), moments.came(THIRD, 9.0)) == (True, False)
    moments.when(THIRD, calls.append)
    assert (calls, moments.at(THIRD), moments.at(PUT)) == ([2.5, 2.5], 2.5, None)


def test_what_a_node_sees_is_told_once() -> None:
    moments, told = Moments(), list[object]()
    moments.tell = lambda moment, seconds: told.append((moment, seconds))
    moments.came(PUT, 1.0)
    for seconds in (2.0, 3.0):
        moments.seen(PUT, seconds)
        moments.seen(THIRD, seconds)
    assert told == [(THIRD, 2.0)]


def test_a_fault_holds_from_its_moment_to_its_other_one() -> None:
    moments = Moments()
    fault = Drop(after=1.0, before=4.0, since=THIRD, till=PUT)
    assert not fault.holds(20.0, 60.0, moments)
    moments.came(THIRD, 20.0)
    held = [fault.holds(at, 60.0, moments) for at in (20.9, 21.0, 23.9, 24.0)]
    assert held == [False, True, True, False]
    assert not fault.holds(21.0, 21.0, moments), "the plan is over"
    moments.came(PUT, 22.0)
    assert not fault.holds(22.0, 60.0, moments)


# -- who carries it out -------------------------------------------------------------------------------


def carried_out_at(plan: FaultPlan, *comes: tuple[float, Moment]) -> list[tuple[float, Any]]:
    """What happens to process p0 when moments come at these seconds."""
    loop, moments = SimLoop(), Moments()
    hands = Noted(loop, set())
    Timeline(plan, ("p0",), hands, SimClock(loop), Counter(), moments)
    for at, moment in comes:
        loop.call_later(at, moments.came, moment, at)
    loop.call_later(100.0, loop.stop)
    loop.run_forever()
    loop.close()
    return hands.done


def test_processes_suffer_from_a_moment_on() -> None:
    plan = FaultPlan(
        Kill("p0", at=1.0, down=2.0, since=THIRD), Freeze("p*", at=0.0, seconds=0.5, since=PUT),
        Slow("p0", 2.0, since=THIRD, before=5.0), Slow("p0", 3.0, till=PUT),
    )  # fmt: skip
    assert carried_out_at(plan, (10.0, THIRD), (20.0, PUT)) == [
        (0.0, ("slow", "p0", 3.0)), (10.0, ("slow", "p0", 6.0)), (11.0, ("kill", "p0", 2.0)),
        (15.0, ("slow", "p0", 3.0)), (20.0, ("freeze", "p0")), (20.0, ("slow", "p0", 1.0)),
        (20.5, ("thaw", "p0")),
    ]  # fmt: skip
    assert carried_out_at(plan) == [(0.0, ("slow", "p0", 3.0)), (60.0, ("slow", "p0", 1.0))]


def test_nothing_begins_after_the_end_of_the_plan() -> None:
    plan = FaultPlan(
        Kill("p0", at=1.0, since=THIRD), Freeze("p0", at=1.0, seconds=1.0, since=THIRD),
        Slow("p0", 2.0, after=1.0, since=THIRD), Churn(offline=0.1, session=0.1, since=THIRD),
        until=20.0,
    )  # fmt: skip
    assert carried_out_at(plan, (20.5, THIRD)) == []


def test_nodes_come_and_go_between_two_moments() -> None:
    plan = FaultPlan(Churn(offline=0.1, session=0.5, since=THIRD, till=PUT), seed=1)
    times = [at for at, _ in carried_out_at(plan, (10.0, THIRD), (20.0, PUT))]
    assert len(times) > 5
    assert 10.0 < times[0] < times[-1] < 20.0


class Parcel:
    ordinary, actor, message, clock, nbytes = True, "/root/a", "Put", 1, 100


def carrier(plan: FaultPlan, moments: Moments) -> Callable[[], bool]:
    """Whether a fault of the only one in a plan takes effect now."""
    clock, counts = SimClock(SimLoop()), Counter[str]()
    where = (plan, "here", 0, clock, 0.0, counts)

    def effect() -> bool:
        before = counts.total()
        FaultyLinks(*where, moments=moments, silent=True).deliver("there", Parcel(), lambda: None)
        Corruption(*where, moments=moments).strike("there", "control", 100)
        disks = DiskFaults(*where, moments=moments)
        disks.refuses()
        disks.tears(100)
        ResetClock(clock, plan.resets("here"), plan.until, 0.0, moments, counts).wall()
        return counts.total() > before

    return effect


@pytest.mark.parametrize(
    "kind",
    [
        lambda **w: Drop(**w), lambda **w: actors.Cut("there", "here", **w),
        lambda **w: Partition((("there",),), **w), lambda **w: Corrupt(**w),
        lambda **w: Full(**w), lambda **w: actors.Torn(**w), lambda **w: Skew("here", 5.0, **w),
    ],
    ids=["drop", "cut", "partition", "corrupt", "full", "torn", "skew"],
)  # fmt: skip
def test_whatever_holds_for_a_time_waits_for_its_moments(kind: Callable[..., Fault]) -> None:
    moments = Moments()
    effect = carrier(FaultPlan(kind(since=THIRD, till=PUT)), moments)
    assert not effect()
    moments.came(THIRD, 0.0)
    assert effect()
    moments.came(PUT, 0.0)
    assert not effect()


def test_a_clock_that_is_set_shows_another_time_of_day_and_the_same_intervals() -> None:
    loop, moments, counts = SimLoop(), Moments(), Counter[str]()
    clock = SimClock(loop)
    plan = FaultPlan(Skew("p*", 60.0, since=THIRD), Skew("p0", -3600.0, before=1.0))
    reset = ResetClock(clock, plan.resets("p0"), plan.until, 0.0, moments, counts)
    assert plan.skew("p0") == 0.0
    assert reset.wall() - clock.wall() == pytest.approx(-3600.0)
    moments.came(THIRD, 0.0)
    assert reset.wall() - clock.wall() == pytest.approx(-3540.0)
    assert (reset.now(), reset.now_ns()) == (clock.now(), clock.now_ns())
    assert counts == {"skew": 2}
    loop.close()


class Put(Message[None]):
    clock: int


def test_a_frame_is_damaged_for_what_is_in_it() -> None:
    def struck(fault: Corrupt, *messages: Message[Any]) -> bool:
        clock = SimClock(SimLoop())
        noise = Corruption(FaultPlan(fault), "here", 0, clock, 0.0, Counter())
        noise.path = {7: "/root/a"}.__getitem__
        items = [Item(7, 0, TELL, msgspec.msgpack.encode(message), 0) for message in messages]
        return noise.strike("there", "bulk", 100, items) is not None

    assert struck(Corrupt(message="Put"), Hello(), Put(2))
    assert struck(Corrupt(rounds=(2, 3), actor="/root/*"), Put(2))
    assert struck(Corrupt()), "a frame of the connection's own"
    assert not struck(Corrupt(message="Put"), Hello())
    assert not struck(Corrupt(message="Put"))
    assert not struck(Corrupt(rounds=(3, 4)), Hello(), Put(2))
    assert not struck(Corrupt(actor="/other"), Put(2))


# -- everywhere ---------------------------------------------------------------------------------------

AT_P1 = Moment(message="Now", node="p1"), Moment(message="Compute", node="p1")
PLAN = FaultPlan(
    Full(node="p0", since=AT_P1[0], till=AT_P1[1]),
    Kill("p0", at=0.0, since=Moment(message="Hello", nth=2, actor="/root/b")),
    Drop(since=Moment(message="Nothing")), Kill("p1", at=59.0),
)  # fmt: skip


@pytest.mark.parametrize("on", [Simulated(2, faults=PLAN), Processes(2, faults=PLAN)], ids=str)
def test_what_one_process_handles_begins_and_ends_what_others_suffer(
    on: Simulated | Processes, tmp_path: Path
) -> None:
    died, missed = list[str](), list[str]()

    def seen(event: Event) -> None:
        if isinstance(event, NodeDied):
            died.append(event.node)
        elif isinstance(event, FaultMissed):
            missed.append(event.reason)

    async def main() -> dict[str, int]:
        async with pair().start(
            on, storage=tmp_path, before=lambda system: system.events.subscribe(Event, seen)
        ) as live:
            a, b = live["a"], live["b"]

            async def until_told(what: str) -> None:
                async with asyncio.timeout(30.0):
                    while await until_answered(a, Save("x")) != what:
                        await asyncio.sleep(0.01)

            full = "cannot write x: no space left on device"
            assert await a.ask(Save("x"), timeout=30.0) == "saved"
            await b.ask(Now(), timeout=30.0)
            await until_told(full)
            await b.ask(Hello(), timeout=30.0)
            assert not died
            await b.ask(Hello(), timeout=30.0)
            async with asyncio.timeout(30.0):
                while not died:
                    await asyncio.sleep(0.01)
            await until_told(full)  # its successor knows what came before it
            await b.ask(Compute(), timeout=30.0)
            await until_told("saved")
            return await live.faults()

    counts = carried_out(main, on)
    assert died == ["p0"]
    assert (counts["kill"], counts.get("drop")) == (1, None)
    assert counts["full"] >= 1, "what a process counted in the second before its death is missing"
    assert len(missed) == 2
    assert missed[0] == "its moment never came; look at its message, clock and node"
    assert missed[1].startswith("all had ended after ")


def test_simulated_nodes_are_parted_and_clocks_set_from_a_moment_on(tmp_path: Path) -> None:
    plan = FaultPlan(
        Partition((("p0",),), since=Moment(message="Hello", nth=2), before=5.0),
        Skew("p1", 1000.0, since=Moment(message="Hello", nth=2)),
    )
    on = Simulated(2, faults=plan)

    async def main() -> None:
        async with pair().start(on, storage=tmp_path) as live:
            counts = live.system.world.fault_counts
            assert await live["a"].ask(Hello(), timeout=1.0) == "hello"
            assert not counts
            await until_answered(live["a"], Hello())
            await asyncio.sleep(6.0)
            assert counts == {"partition": 1}
            assert await live["b"].ask(Hello(), timeout=1.0) == "hello"
            assert surroundings(live.system.world)["clock"] == "SimClock"

    carried_out(main, on)


def test_a_plan_without_moments_has_no_actor_look_at_them(tmp_path: Path) -> None:
    on = Simulated(1, faults=FaultPlan(Kill("p0", at=50.0)))

    async def main() -> bool:
        async with pair(apart=False).start(on, storage=tmp_path) as live:
            await live["a"].ask(Hello(), timeout=1.0)
            return crashpoints.on_message is None

    assert carried_out(main, on)
