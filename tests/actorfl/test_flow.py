"""Who may go on where there is no barrier: the laws of the aggregator's state machine."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorfl.flow import Flow
from actorfl.roster import Answer, Phase, Verdict
from actorfl.sync import ASP, SSP, Sync

ROSTER = ("a", "b", "c")


def opened(sync: Sync | None = None, *, last: int | None = None, version: int = 0) -> Flow:
    flow = Flow(ROSTER, sync or ASP(), last=last)
    for name in ROSTER:
        assert flow.ready(name, 1, 10) is Answer.GATHER
    assert flow.open(version) == ROSTER
    return flow


def ended(flow: Flow, worker: str, version: int | None = None) -> None:
    """A part of a worker is taken, and makes a version."""
    clock = flow.clock_of(worker)
    verdict = flow.put(worker, 1, clock, flow.clock if version is None else version)
    assert verdict is Verdict.FOLD
    flow.arrived.add(worker)
    flow.settled([worker])
    flow.clock += 1


def test_the_roster_is_gathered_when_everyone_has_told_its_examples() -> None:
    flow = Flow(ROSTER, ASP())
    assert [flow.ready(name, 1, 7) for name in "ab"] == [Answer.GATHER] * 2
    assert not flow.gathered
    assert flow.ready("c", 1, 0) is Answer.GATHER
    assert flow.gathered


def test_each_worker_has_a_clock_of_its_own_and_each_part_makes_a_version() -> None:
    flow = opened()
    for worker in "aab":
        ended(flow, worker)
    assert [flow.clock_of(name) for name in ROSTER] == [2, 1, 0]
    assert (flow.clock, flow.updates, flow.rounds, flow.slowest) == (3, 3, 1, 0)


def test_whoever_may_go_on_is_told_to_and_who_is_ahead_waits_for_the_slowest() -> None:
    flow = opened(SSP(1))
    ended(flow, "a")
    assert flow.ready("a", 1, 10) is Answer.GO
    ended(flow, "a")
    assert flow.ready("a", 1, 10) is Answer.WAIT
    assert flow.holds_back("a")
    assert flow.released() == ()
    ended(flow, "b")
    assert flow.released() == ()
    ended(flow, "c")
    assert flow.released() == ("a",)
    assert flow.released() == ()


def test_those_who_are_released_at_once_are_named_in_the_order_of_the_roster() -> None:
    flow = opened(SSP(1))
    for worker in "ccaa":
        ended(flow, worker)
    assert [flow.ready(name, 1, 10) for name in "ca"] == [Answer.WAIT] * 2
    ended(flow, "b")
    assert flow.released() == ("a", "c")


@pytest.mark.parametrize(
    ("worker", "incarnation", "clock", "version", "verdict", "counted"),
    [
        ("a", 1, 2, 5, Verdict.FOLD, None),
        ("a", 1, 2, 0, Verdict.FOLD, None),  # however stale
        ("a", 2, 2, 5, Verdict.FOLD, None),
        ("a", 0, 2, 5, Verdict.FENCED, "fenced"),
        ("x", 1, 0, 0, Verdict.UNKNOWN, "foreign"),
        ("a", 1, 1, 5, Verdict.AGAIN, "late"),
        ("a", 1, 3, 5, Verdict.EARLY, "early"),
        ("a", 1, 2, 6, Verdict.EARLY, "early"),
        ("b", 1, 2, 5, Verdict.HELD, "duplicate"),
    ],
)
def test_a_part_is_folded_once_and_everything_else_is_dropped_by_name(
    worker: str, incarnation: int, clock: int, version: int, verdict: Verdict, counted: str | None
) -> None:
    flow = opened()
    for each in "aabbc":
        ended(flow, each)
    flow.arrived.add("b")
    assert flow.put(worker, incarnation, clock, version) is verdict
    assert flow.dropped == (Counter() if counted is None else Counter({counted: 1}))


def test_a_later_incarnation_fences_the_earlier_one_for_good() -> None:
    flow = opened()
    assert flow.ready("a", 5, 10) is Answer.GO
    assert flow.ready("a", 4, 10) is Answer.FENCED
    assert flow.put("a", 4, 0, 0) is Verdict.FENCED
    assert flow.put("a", 5, 0, 0) is Verdict.FOLD


def test_who_has_computed_its_last_clock_waits_and_is_held_back_by_nobody() -> None:
    flow = opened(last=1)
    ended(flow, "a")
    assert flow.ready("a", 1, 10) is Answer.WAIT
    assert not flow.holds_back("a")
    ended(flow, "b")
    ended(flow, "c")
    assert flow.released() == ()


def test_at_the_end_everybody_evaluates_the_last_version_once() -> None:
    flow = opened(SSP(0 + 1))
    ended(flow, "a")
    ended(flow, "a")
    assert flow.ready("a", 1, 10) is Answer.WAIT
    assert flow.close() == ("a",)
    assert [flow.ready(name, 1, 10) for name in ROSTER] == [Answer.GO] * 3
    # What was trained while the end was reached is not wanted, and not asked for again.
    assert flow.put("b", 1, 0, 1) is Verdict.AGAIN
    for name in ROSTER:
        assert not flow.all_evaluated
        assert flow.put(name, 1, flow.clock_of(name), flow.clock) is Verdict.FOLD
        flow.arrived.add(name)
        assert flow.put(name, 1, flow.clock_of(name), flow.clock) is Verdict.HELD
    assert flow.all_evaluated
    assert flow.ready("a", 1, 10) is Answer.WAIT
    flow.phase = Phase.FINISHED
    assert flow.ready("a", 1, 10) is Answer.DONE
    assert flow.put("a", 1, 2, 2) is Verdict.AGAIN


@given(
    st.lists(
        st.tuples(st.sampled_from(ROSTER), st.integers(0, 2), st.integers(0, 4), st.booleans()),
        max_size=40,
    ),
    st.integers(1, 3),
)
def test_whatever_is_put_each_clock_of_each_worker_is_taken_once_and_in_order(
    puts: list[tuple[str, int, int, bool]], bound: int
) -> None:
    flow = opened(SSP(bound))
    folded: dict[str, list[int]] = {name: [] for name in ROSTER}
    latest: dict[str, int] = {}
    for worker, incarnation, clock, asks in puts:
        if asks:
            answer = flow.ready(worker, incarnation, 10)
            mine = flow.clock_of(worker)
            if incarnation >= latest.get(worker, 1):
                ahead = mine - min(flow.clocks.values()) > bound
                assert answer is (Answer.WAIT if ahead else Answer.GO)
        elif flow.put(worker, incarnation, clock, 0) is Verdict.FOLD:
            assert incarnation >= latest.get(worker, 1)
            folded[worker].append(clock)
            flow.arrived.add(worker)
            flow.settled([worker])
            flow.clock += 1
        latest[worker] = max(latest.get(worker, 1), incarnation)
    for worker, clocks in folded.items():
        assert clocks == list(range(flow.clock_of(worker)))
    assert flow.updates == flow.clock == sum(flow.clocks.values())
    assert flow.held <= len(ROSTER)


def test_a_worker_goes_on_from_the_state_before_its_parts_that_were_refused() -> None:
    flow = opened()
    ended(flow, "a")
    for _ in range(2):
        flow.passed("a", flow.clock_of("a"))
        flow.ended("a")
        assert (flow.since("a"), flow.since("b")) == (1, 0)
    # A part of the buffer that was taken before them, and is read back.
    flow.took("a", 0)
    assert (flow.clock_of("a"), flow.since("a")) == (3, 1)
    ended(flow, "a")
    assert flow.since("a") == flow.clock_of("a") == 4
