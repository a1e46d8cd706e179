"""A fault plan is checked, travels, and its messages get lost as often as it says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest

import actors
from actors import (
    ActorGraph,
    CrashPoint,
    CrashPointMissed,
    Drop,
    Duplicate,
    FaultPlan,
    Full,
    GraphError,
    Jitter,
    Kill,
    Process,
    Processes,
    Reorder,
    Simulated,
    Torn,
    UsageError,
    one_for_one,
)
from actors.faults.links import LONGEST_HOLD, OUT_OF_ORDER, FaultyLinks
from actors.faults.parcel import Parcel
from actors.item import TELL, Item
from tests.actors.echoes import Adder
from tests.actors.test_simulation import Count, Counter
from transports.sim import SimClock, SimLoop

MESSAGES = 4_000
PARCEL = Parcel(Item(1, 0, TELL), (), lambda _: "/a")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[[fault]]\nkind = "drop"\np = 1.5', r"<= 1.0` - at `\$\[0\].p`"),
        ('[[fault]]\nkind = "droop"', "Invalid value 'droop'"),
        ('[[fault]]\nkind = "drop"\nq = 0.5', "unknown field `q`"),
        ('[[fault]]\nkind = "kill"\nnode = "p0"', "missing required field `at`"),
        ('[[fault]]\nkind = "drop"\nafter = 3.0\nbefore = 2.0', "ends before it begins|later one"),
        ('[[fault]]\nkind = "drop"\nrounds = [3, 1]', "give the first before the last"),
        ('[[fault]]\nkind = "churn"\noffline = 0.1\nsession = [3.0, 1.0]', "in rising order"),
        ('[[fault]]\nkind = "delay"\nseconds = inf', "must be finite"),
        ("until = 0.0", "must be finite and above 0"),
        ("until = inf", "must be finite and above 0"),
        ("seed = 1.5", "Expected `int`"),
        ("droop = 0.5", "has no key 'droop'; it has seed, until"),
        ("=", "is no TOML"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        FaultPlan.from_toml(text)


def test_a_fault_made_by_hand_is_held_against_the_same_rules() -> None:
    with pytest.raises(UsageError, match=r"Drop\(p=1.5.*<= 1.0"):
        FaultPlan(Drop(1.5))
    with pytest.raises(UsageError, match=r"'drop' is no fault; give Drop\(0.1\)"):
        FaultPlan("drop")  # type: ignore[arg-type]  # what is tested
    with pytest.raises(UsageError, match="seed=True"):
        FaultPlan(seed=True)


def test_a_plan_travels_to_processes_as_it_is() -> None:
    plan = FaultPlan(
        Drop(0.1), Kill("p0", 1.5), CrashPoint(point="here", action="exit:3", node="p1"), seed=3
    )
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(plan), type=FaultPlan) == plan


@pytest.mark.parametrize(
    "plan",
    [
        FaultPlan(Kill("p7", 1.0)),
        FaultPlan(CrashPoint(point="here", action="sigkill", node="p7")),
    ],
    ids=["kill", "point"],
)
def test_a_plan_for_a_process_that_does_not_exist_is_refused(plan: FaultPlan) -> None:
    graph = ActorGraph("shop")
    with graph.supervisor("root"):
        graph.actor("echo", Adder, place=Process(), start=0)
    with pytest.raises(GraphError, match="names process 'p7', which does not exist; there is p0"):
        graph.validate(Processes(1, faults=plan))


def test_a_fault_that_cannot_take_effect_there_is_refused() -> None:
    with pytest.raises(UsageError, match="happens to simulated disks alone"):
        Processes(1, faults=FaultPlan(Torn(0.1), Full(0.1)))
    hanging = FaultPlan(CrashPoint("counted", "hang"))
    with pytest.raises(UsageError, match="cannot carry out 'hang' at counted"):
        Simulated(1, faults=hanging)


def counting() -> ActorGraph:
    graph = ActorGraph("counting")
    with graph.supervisor("root", one_for_one(3), place=Process()):
        graph.actor("counter", Counter, first=0)
    return graph


async def test_a_point_that_would_freeze_a_simulation_for_good_is_refused() -> None:
    on = Simulated(1, faults=FaultPlan(CrashPoint("counted", "sigstop")))

    async def main() -> None:
        with pytest.raises(
            GraphError, match=r"'counted' freezes \(sigstop\); give start\(stuck_af"
        ):
            async with counting().start(on):
                pass
        async with counting().start(on, stuck_after=3.0):
            pass

    await asyncio.to_thread(actors.run, main(), on=on)


POINTS = (
    CrashPoint("counted", "sigkill", 2),
    CrashPoint("cuonted", "sigkill"),
    CrashPoint("counted", "exit:3", start=2, node="p0"),
    CrashPoint("counted", "raise", start=1),
)


@pytest.mark.parametrize(
    "on", [Processes(1, faults=FaultPlan(*POINTS)), Simulated(1, faults=FaultPlan(*POINTS))], ids=str
)  # fmt: skip
def test_a_crash_point_that_never_comes_up_is_told_of_at_the_end(
    on: Processes | Simulated,
) -> None:
    missed: list[CrashPointMissed] = []

    async def main() -> None:
        async with counting().start(
            on, before=lambda system: system.events.subscribe(CrashPointMissed, missed.append)
        ) as live:
            counter = live["counter"]
            answers: list[int] = []
            while len(answers) < 3:  # the second kills, the first of the next start raises
                try:
                    answers.append(await counter.ask(Count(), timeout=5.0))
                except actors.AskError:
                    await asyncio.sleep(0.1)
            assert not missed

    actors.run(main(), on=on if isinstance(on, Simulated) else None)
    assert [(event.point, event.action, event.node) for event in missed] == [
        ("cuonted", "sigkill", None),
        ("counted", "exit:3", "p0"),
    ]


def arrivals(plan: FaultPlan, sources: list[str]) -> tuple[dict[str, list[int]], FaultyLinks]:
    """What arrives of numbered messages sent a millisecond apart, in order, by source."""
    loop = SimLoop()
    links = FaultyLinks(plan, "here", 0, SimClock(loop), 0.0)
    came: dict[str, list[int]] = {source: [] for source in sources}

    def sending(number: int) -> Callable[[], None]:
        def send() -> None:
            for source in sources:
                links.deliver(source, PARCEL, came[source].append, number)

        return send

    for number in range(MESSAGES):
        loop.call_later(number / 1000, sending(number))
    loop.call_later(MESSAGES / 1000 + 10, loop.stop)
    loop.run_forever()
    loop.close()
    return came, links


def test_faults_take_effect_as_often_as_the_plan_says() -> None:
    plan = FaultPlan(Drop(0.1), Duplicate(0.05), Jitter(0.02, p=0.2), seed=1)
    came, links = arrivals(plan, ["there"])
    counts = links.counts
    assert counts["drop"] == pytest.approx(0.1 * MESSAGES, rel=0.2)
    assert counts["duplicate"] == pytest.approx(0.05 * MESSAGES, rel=0.2)
    assert counts["jitter"] == pytest.approx(0.2 * MESSAGES, rel=0.2)
    assert len(came["there"]) == MESSAGES - counts["drop"] + counts["duplicate"]
    assert len(set(came["there"])) == MESSAGES - counts["drop"]
    assert came["there"] != sorted(came["there"])
    assert counts[OUT_OF_ORDER] == inversions(list(dict.fromkeys(came["there"])))


def inversions(numbers: list[int]) -> int:
    """How many of them come after a larger one."""
    return sum(number < max(numbers[: i + 1]) for i, number in enumerate(numbers))


def test_a_message_that_is_held_back_comes_after_the_next_one() -> None:
    came, links = arrivals(FaultPlan(Reorder(0.1), seed=1), ["there"])
    counts, numbers = links.counts, came["there"]
    assert sorted(numbers) == list(range(MESSAGES))
    assert counts["reorder"] == pytest.approx(0.1 * MESSAGES, rel=0.2)
    assert counts[OUT_OF_ORDER] == inversions(numbers)
    # Each after the first that was not held back itself, and none later than that.
    assert max(abs(at - number) for at, number in enumerate(numbers)) < 6
    assert (counts["drop"], counts["duplicate"], counts["jitter"]) == (0, 0, 0)


def test_one_that_nothing_follows_arrives_after_a_second_even_so() -> None:
    loop = SimLoop()
    links = FaultyLinks(FaultPlan(Reorder(1.0)), "here", 0, SimClock(loop), 0.0)
    came: list[tuple[str, float]] = []

    def take(name: str) -> None:
        came.append((name, loop.time()))

    for name in ("first", "second"):
        links.deliver("there", PARCEL, take, name)
    loop.call_later(5, loop.stop)
    loop.run_forever()
    loop.close()
    assert came == [("first", LONGEST_HOLD), ("second", LONGEST_HOLD)]
    assert links.counts[OUT_OF_ORDER] == 0


def test_a_link_more_changes_nothing_on_another() -> None:
    plan = FaultPlan(Drop(0.3), seed=2)
    alone, _ = arrivals(plan, ["a"])
    both, _ = arrivals(plan, ["b", "a"])
    assert both["a"] == alone["a"]
    assert both["b"] != both["a"]


def test_faults_end_when_the_plan_says() -> None:
    came, _ = arrivals(FaultPlan(Drop(1.0), until=1.0), ["there"])
    assert came["there"] == list(range(1000, MESSAGES))
