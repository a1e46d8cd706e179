"""Who is in the open clock: the laws of the aggregator's state machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorfl.errors import WrongValue
from actorfl.roster import Answer, Phase, Verdict
from actorfl.rounds import Rounds
from actorfl.sync import BSP, Quorum, Sync

ROSTER = ("a", "b", "c")


def opened(clock: int = 3, sync: Sync | None = None) -> Rounds:
    rounds = Rounds(ROSTER, sync or BSP(), clock)
    for name in ROSTER:
        rounds.ready(name, 1, 10)
    rounds.open(clock)
    return rounds


def test_the_roster_is_gathered_when_everyone_has_told_its_examples() -> None:
    rounds = Rounds(ROSTER, BSP())
    assert [rounds.ready(name, 1, 7) for name in "ab"] == [Answer.GATHER] * 2
    before = rounds.gathered
    assert rounds.ready("c", 1, 0) is Answer.GATHER
    assert (before, rounds.gathered) == (False, True)
    # Terms of weight 1 must fit the grid, so who has nothing counts as one.
    assert rounds.total == 7 + 7 + 1


def test_more_examples_than_an_exact_sum_can_weigh_are_refused_in_a_sentence() -> None:
    rounds = Rounds(ROSTER, BSP())
    for name in ROSTER:
        rounds.ready(name, 1, 1 << 31)
    with pytest.raises(
        WrongValue, match=r"^the examples of the workers must be at most 4294967296"
    ):
        _ = rounds.total


def test_the_examples_that_a_worker_told_first_stay() -> None:
    """They make the grid; another number later must not change it within a run."""
    rounds = Rounds(ROSTER, BSP())
    rounds.ready("a", 1, 7)
    rounds.ready("a", 2, 9)
    assert rounds.examples == {"a": 7}


def test_opening_a_clock_names_who_waits_for_it_in_the_order_of_the_roster() -> None:
    rounds = Rounds(ROSTER, BSP())
    for name in "cab":
        rounds.ready(name, 1, 1)
    assert rounds.open(0) == ROSTER
    assert rounds.open(1) == ()


def test_whoever_asks_in_an_open_clock_is_told_to_go_until_its_part_is_in() -> None:
    rounds = opened()
    assert rounds.ready("a", 1, 10) is Answer.GO
    rounds.arrived.add("a")
    assert rounds.ready("a", 1, 10) is Answer.WAIT
    rounds.refused["b"] = "shape"
    assert rounds.ready("b", 1, 10) is Answer.WAIT
    assert rounds.open(4) == ("a", "b")


def test_the_clock_is_complete_when_everyone_is_in_or_refused() -> None:
    rounds = opened()
    rounds.arrived.update("ab")
    assert not rounds.complete()
    rounds.refused["c"] = "non-finite"
    assert rounds.complete()
    rounds.phase = Phase.CLOSING
    assert not rounds.complete()


@pytest.mark.parametrize(
    ("worker", "incarnation", "clock", "version", "verdict", "counted"),
    [
        ("a", 1, 3, 3, Verdict.FOLD, None),
        ("a", 2, 3, 3, Verdict.FOLD, None),
        ("a", 0, 3, 3, Verdict.FENCED, "fenced"),
        ("x", 1, 3, 3, Verdict.UNKNOWN, "foreign"),
        ("a", 1, 2, 2, Verdict.AGAIN, "late"),
        ("a", 1, 4, 4, Verdict.EARLY, "early"),
        ("a", 1, 3, 2, Verdict.EARLY, "early"),
        ("b", 1, 3, 3, Verdict.AGAIN, "duplicate"),
        ("c", 1, 3, 3, Verdict.AGAIN, "duplicate"),
    ],
)
def test_a_part_is_folded_once_and_everything_else_is_dropped_by_name(
    worker: str, incarnation: int, clock: int, version: int, verdict: Verdict, counted: str | None
) -> None:
    rounds = opened(3)
    rounds.arrived.add("b")
    rounds.refused["c"] = "shape"
    assert rounds.put(worker, incarnation, clock, version) is verdict
    assert rounds.dropped == (Counter() if counted is None else Counter({counted: 1}))


def test_a_later_incarnation_fences_the_earlier_one_for_good() -> None:
    rounds = opened()
    assert rounds.ready("a", 5, 10) is Answer.GO
    assert rounds.ready("a", 4, 10) is Answer.FENCED
    assert rounds.put("a", 4, 3, 3) is Verdict.FENCED
    assert rounds.put("a", 5, 3, 3) is Verdict.FOLD


def test_a_run_that_is_over_says_so_and_takes_nothing() -> None:
    rounds = opened()
    rounds.phase = Phase.FINISHED
    assert rounds.ready("a", 1, 10) is Answer.DONE
    assert rounds.put("a", 1, 3, 3) is Verdict.AGAIN


@given(st.lists(st.tuples(st.sampled_from(ROSTER), st.integers(0, 2), st.integers(0, 4))))
def test_whatever_is_put_a_clock_takes_each_worker_at_most_once(
    puts: list[tuple[str, int, int]],
) -> None:
    rounds = opened(2)
    folded: list[str] = []
    latest: dict[str, int] = {}
    for worker, incarnation, clock in puts:
        verdict = rounds.put(worker, incarnation, clock, clock)
        if verdict is Verdict.FOLD:
            assert clock == 2
            assert incarnation >= latest.get(worker, 1)
            rounds.arrived.add(worker)
            folded.append(worker)
        if incarnation >= latest.get(worker, 1):
            latest[worker] = incarnation
    assert len(folded) == len(set(folded))
    assert len(puts) == len(folded) + sum(rounds.dropped.values())
    assert rounds.complete() == (set(folded) == set(ROSTER))


# -- clocks that close without some ----------------------------------------------------------------


def test_who_is_not_in_a_clock_knew_of_it_or_was_not_heard_of() -> None:
    rounds = opened(3, Quorum(0.6))
    rounds.arrived.update("ab")
    rounds.merged()
    assert rounds.absent() == {"c": "late"}
    assert rounds.ready("a", 1, 10) is Answer.WAIT
    rounds.open(4)
    assert rounds.absent() == {"a": "late", "b": "silent", "c": "silent"}
    rounds.ready("b", 1, 10)
    rounds.refused["c"] = "non-finite"
    assert rounds.absent() == {"a": "late", "b": "late"}
    rounds.arrived.update("ab")
    assert rounds.absent() == {}


def test_whoever_puts_what_has_closed_without_it_is_told_so_and_whose_is_in_is_not() -> None:
    rounds = opened(3, Quorum(0.6))
    rounds.arrived.update("ab")
    rounds.phase = Phase.CLOSING
    assert rounds.put("c", 1, 3, 3) is Verdict.LATE
    assert rounds.put("a", 1, 3, 3) is Verdict.AGAIN
    rounds.merged()
    rounds.open(4)
    assert [rounds.put(name, 1, 3, 3) for name in ROSTER] == [
        Verdict.AGAIN, Verdict.AGAIN, Verdict.LATE,
    ]  # fmt: skip
    assert rounds.dropped == Counter(late=4, duplicate=1)
    # The clock before it was taken, and its acknowledgement may have been lost.
    assert rounds.put("c", 1, 2, 2) is Verdict.AGAIN
    assert rounds.put("c", 1, 4, 4) is Verdict.FOLD


def test_under_bsp_nobody_is_ever_late() -> None:
    rounds = opened(3)
    rounds.arrived.update("ab")
    rounds.refused["c"] = "shape"
    rounds.merged()
    rounds.open(4)
    assert {rounds.put(name, 1, 3, 3) for name in ROSTER} == {Verdict.AGAIN}


@given(st.lists(st.sets(st.sampled_from(ROSTER)), max_size=8))
def test_a_worker_goes_on_from_the_state_after_its_last_part_that_was_taken(
    merged: list[set[str]],
) -> None:
    rounds = opened(0, Quorum(0.1))
    for clock, inside in enumerate(merged):
        rounds.arrived.update(inside)
        rounds.merged()
        rounds.open(clock + 1)
    for name in ROSTER:
        last = max((clock for clock, inside in enumerate(merged) if name in inside), default=-1)
        assert rounds.since(name) == last + 1
        for clock in range(len(merged)):
            late = rounds.put(name, 1, clock, clock) is Verdict.LATE
            assert late == (clock > last)


def test_a_quorum_is_complete_with_those_whose_parts_were_refused() -> None:
    rounds = opened(0, Quorum(0.6, deadline=2.0))
    rounds.arrived.add("a")
    assert not rounds.complete(5.0)
    rounds.refused["b"] = "shape"
    assert not rounds.complete(1.9)
    assert rounds.complete(2.0)
    assert rounds.absent() == {"c": "late"}


def test_a_quorum_is_one_of_those_who_have_examples() -> None:
    rounds = opened(0, Quorum(0.5))
    rounds.refused["a"] = "no-examples"
    assert not rounds.complete(5.0), "the half of a, b and c would be two"
    rounds.arrived.add("b")
    assert rounds.complete(5.0)
    nobody = opened(0, Quorum(0.5))
    nobody.refused |= dict.fromkeys(ROSTER, "no-examples")
    assert nobody.complete()


# -- clocks that some compute ----------------------------------------------------------------------


def by_turns(clock: int, members: Sequence[str], examples: Mapping[str, int]) -> frozenset[str]:
    """All but one, another in each clock."""
    assert tuple(members) == ROSTER
    assert examples.keys() == set(ROSTER)
    return frozenset(ROSTER) - {ROSTER[clock % 3]}


def selecting(clock: int, sync: Sync | None = None) -> Rounds:
    rounds = Rounds(ROSTER, sync or BSP(), clock, select=by_turns)
    for name in ROSTER:
        rounds.ready(name, 1, 10)
    rounds.open(clock)
    return rounds


def test_whoever_is_not_selected_waits_until_it_is_and_is_told_then() -> None:
    rounds = Rounds(ROSTER, BSP(), select=by_turns)
    for name in ROSTER:
        rounds.ready(name, 1, 10)
    assert rounds.open(0) == ("b", "c")
    assert rounds.ready("a", 1, 10) is Answer.WAIT
    rounds.arrived.update("bc")
    assert rounds.complete()
    assert rounds.absent() == {}
    rounds.merged()
    assert rounds.open(1) == ("a",)
    assert rounds.ready("c", 1, 10) is Answer.GO
    assert rounds.ready("b", 1, 10) is Answer.WAIT


def test_a_part_of_somebody_who_was_not_selected_is_dropped_and_counted() -> None:
    rounds = selecting(3)
    for clock in (3, 4):
        assert rounds.put("a", 1, clock, clock) is Verdict.UNSELECTED
    assert rounds.dropped == Counter(unselected=2)
    # Of an earlier clock it was taken, and its acknowledgement may have been lost.
    assert rounds.put("a", 1, 2, 2) is Verdict.AGAIN
    assert rounds.put("b", 1, 3, 3) is Verdict.FOLD


def test_a_clock_for_everybody_asks_also_those_who_are_not_selected() -> None:
    rounds = selecting(2)
    rounds.phase = Phase.CLOSING
    for name in ROSTER:
        rounds.ready(name, 1, 10)
    assert rounds.open(3, everybody=True) == ROSTER
    assert rounds.put("a", 1, 3, 3) is Verdict.FOLD


def test_absentees_are_told_among_those_who_were_selected_and_only_they_miss_a_clock() -> None:
    rounds = selecting(3, Quorum(0.5))
    rounds.arrived.add("b")
    assert rounds.complete()
    assert rounds.absent() == {"c": "late"}
    rounds.merged()
    assert rounds.missed == {"c": 3}
    rounds.open(4)
    assert rounds.put("c", 1, 3, 3) is Verdict.LATE
    assert [rounds.since(name) for name in ROSTER] == [4, 4, 3]
