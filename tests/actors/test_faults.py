"""A fault plan is checked, travels, and its messages get lost as often as it says."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from actors import ActorGraph, CrashPoint, FaultPlan, GraphError, Kill, Process, Processes
from actors.faultylinks import FaultyLinks
from tests.actors.echoes import Adder
from transports.sim import SimClock, SimLoop

MESSAGES = 4_000


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"drop": 1.5}', "<= 1.0"),
        ('{"drop": 0.6, "delay": 0.6}', "add up to more than 1"),
        ('{"until": 0}', "> 0"),
        ('{"droop": 0.5}', "unknown field"),
        ('{"kills": [{"node": "p0"}]}', "missing required field `at`"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=why):
        msgspec.json.decode(text, type=FaultPlan)


def test_a_plan_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="until must be finite"):
        FaultPlan(until=float("inf"))


def test_a_plan_travels_to_processes_as_it_is() -> None:
    plan = FaultPlan(
        seed=3,
        drop=0.1,
        kills=(Kill("p0", 1.5),),
        points=(CrashPoint(point="here", action="exit:3", node="p1"),),
    )
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(plan), type=FaultPlan) == plan


@pytest.mark.parametrize(
    "plan",
    [
        FaultPlan(kills=(Kill("p7", 1.0),)),
        FaultPlan(points=(CrashPoint(point="here", action="sigkill", node="p7"),)),
    ],
    ids=["kill", "point"],
)
def test_a_plan_for_a_process_that_does_not_exist_is_refused(plan: FaultPlan) -> None:
    graph = ActorGraph("shop")
    with graph.supervisor("root"):
        graph.actor("echo", Adder, place=Process(), start=0)
    with pytest.raises(GraphError, match="names process 'p7', which does not exist; there are p0"):
        graph.validate(Processes(1, faults=plan))


def arrivals(plan: FaultPlan, sources: list[str]) -> tuple[dict[str, list[int]], FaultyLinks]:
    """What arrives of numbered messages sent a millisecond apart, in order, by source."""
    loop = SimLoop()
    links = FaultyLinks(plan, "here", 0, SimClock(loop))
    came: dict[str, list[int]] = {source: [] for source in sources}

    def sending(number: int) -> Callable[[], None]:
        def send() -> None:
            for source in sources:
                links.deliver(source, came[source].append, number)

        return send

    for number in range(MESSAGES):
        loop.call_later(number / 1000, sending(number))
    loop.call_later(MESSAGES / 1000 + 10, loop.stop)
    loop.run_forever()
    loop.close()
    return came, links


def test_faults_take_effect_as_often_as_the_plan_says() -> None:
    plan = FaultPlan(seed=1, drop=0.1, duplicate=0.05, delay=0.2, delay_seconds=0.02)
    came, links = arrivals(plan, ["there"])
    counts = links.counts
    assert counts.dropped == pytest.approx(0.1 * MESSAGES, rel=0.2)
    assert counts.duplicated == pytest.approx(0.05 * MESSAGES, rel=0.2)
    assert counts.delayed == pytest.approx(0.2 * MESSAGES, rel=0.2)
    assert len(came["there"]) == MESSAGES - counts.dropped + counts.duplicated
    assert len(set(came["there"])) == MESSAGES - counts.dropped
    assert came["there"] != sorted(came["there"])


def test_a_link_more_changes_nothing_on_another() -> None:
    plan = FaultPlan(seed=2, drop=0.3)
    alone, _ = arrivals(plan, ["a"])
    both, _ = arrivals(plan, ["b", "a"])
    assert both["a"] == alone["a"]
    assert both["b"] != both["a"]


def test_faults_end_when_the_plan_says() -> None:
    came, _ = arrivals(FaultPlan(drop=1.0, until=1.0), ["there"])
    assert came["there"] == list(range(1001, MESSAGES))
