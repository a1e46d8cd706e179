"""When a run is over, and how far off its end may be moved."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorfl.availability import Available, Presence
from actorfl.errors import Misfit, WrongType, WrongValue
from actorfl.records import Record, with_evaluation
from actorfl.stay import Stay
from actorfl.target import Target
from actorfl.until import (
    AnyOf,
    Clocks,
    Hours,
    Minutes,
    Progress,
    Rounds,
    Seconds,
    Until,
    Updates,
    Versions,
    check_measured,
    ends_no_earlier,
)
from tests.actorfl.configs import run_of

#: What a person writes whom no type checker helps.
A_ROUND: Any = Rounds(2)
AVAILABLE: Any = Available
KINDS = (Rounds, Clocks, Versions, Updates)
counts = st.integers(1, 10**9)
kinds = st.sampled_from(KINDS)


def of(kind: type[Until], number: int) -> Until:
    return kind(number)


@given(kinds, counts, st.integers(0, 2 * 10**9))
def test_each_end_looks_at_its_own_count_alone(kind: type[Until], end: int, at: int) -> None:
    name = kind.__name__.lower()
    names = [each.__name__.lower() for each in KINDS]  # in the order of Progress
    mine = [at * (one == name) for one in names]
    others = [10**10 * (one != name) for one in names]
    assert of(kind, end).reached(Progress(mine[0], mine[1], mine[2], mine[3])) == (at >= end)
    assert not of(kind, end).reached(Progress(others[0], others[1], others[2], others[3]))


@given(kinds, counts, counts)
def test_a_later_end_extends_an_earlier_one_and_no_other(
    kind: type[Until], later: int, earlier: int
) -> None:
    assert of(kind, later).extends(of(kind, earlier)) == (later >= earlier)
    other = Rounds if kind is not Rounds else Clocks
    assert not of(kind, later).extends(other(earlier))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [0, -1, 10**9 + 1])
def test_a_number_out_of_range_is_refused(kind: type[Until], number: int) -> None:
    name = f"`{kind.__name__.lower()}` of {kind.__name__}"
    with pytest.raises(WrongValue, match=f"{name} must be from 1 to 1000000000, got {number}"):
        of(kind, number)


@pytest.mark.parametrize("kind", KINDS)
def test_half_a_clock_is_refused(kind: type[Until]) -> None:
    with pytest.raises(WrongType):
        kind(1.5)


def test_only_clocks_bound_what_one_worker_computes() -> None:
    assert [of(kind, 7).last for kind in KINDS] == [None, 7, None, None]
    assert (Rounds(3) | Clocks(9) | Clocks(7)).last == 7
    assert (Rounds(3) | Seconds(7)).last is None


NOTHING = Progress(rounds=0, clocks=0, versions=0, updates=0)
times = st.floats(0.001, 10**5)


@given(times, times)
def test_an_end_by_time_comes_with_its_time_in_whatever_unit(end: float, at: float) -> None:
    progress = replace(NOTHING, seconds=at)
    assert Seconds(end).reached(progress) == (at >= end)
    assert Minutes(end).reached(progress) == (at >= end * 60)
    assert Hours(end).reached(progress) == (at >= end * 3600)
    assert Minutes(end).extends(Seconds(at)) == (end * 60 >= at)
    assert not Minutes(end).extends(Rounds(1))


@pytest.mark.parametrize("number", [0, -1.0, float("nan"), float("inf"), 2e9])
@pytest.mark.parametrize("kind", [Seconds, Minutes, Hours])
def test_a_time_out_of_range_is_refused(kind: type[Until], number: float) -> None:
    with pytest.raises(WrongValue, match="above 0 and at most"):
        of(kind, number)  # type: ignore[arg-type]


values = st.lists(st.one_of(st.none(), st.integers(0, 5).map(float)), max_size=12)


def judged(found: list[float | None], metric: str = "accuracy") -> Progress:
    records: dict[str, Record] = {}
    for value in found:
        records = with_evaluation(records, {metric: value})
    return replace(NOTHING, records=records)


def droughts(found: list[float | None], sign: int) -> list[int]:
    """Evaluations since the last that was better than all before it, after each."""
    best, since, all_of = None, 0, []
    for value in found:
        better = value is not None and (best is None or sign * value > sign * best)
        best, since = (value, 0) if better else (best, since + 1)
        all_of.append(since)
    return all_of


@given(values, st.integers(0, 5), st.integers(1, 4), st.sampled_from([1, -1]))
def test_a_target_looks_at_the_values_so_far_alone(
    found: list[float | None], value: int, patience: int, sign: int
) -> None:
    metric = "accuracy" if sign > 0 else "loss"
    good = any(one is not None and sign * one >= sign * value for one in found)
    stale = any(since >= patience for since in droughts(found, sign))
    progress = judged(found, metric)
    assert Target(metric, value).reached(progress) == good
    assert Target(metric, patience=patience).reached(progress) == stale
    assert Target(metric, value, patience).reached(progress) == (good or stale)


@given(values, values, st.integers(0, 5), st.integers(1, 4))
def test_a_target_that_was_reached_stays_reached(
    before: list[float | None], after: list[float | None], value: int, patience: int
) -> None:
    target = Target("accuracy", value, patience)
    if target.reached(judged(before)):
        assert target.reached(judged(before + after))


def test_less_is_better_of_a_loss_and_of_whatever_is_said_to() -> None:
    metrics = ("loss", "loss_worst_decile", "accuracy", "loss_of_others")
    assert [Target(name, 1.0).less for name in metrics] == [True, True, False, False]
    assert Target("perplexity", 1.0, mode="min").less
    assert not Target("loss", 1.0, mode="max").less


ends = st.one_of(
    st.builds(Rounds, st.integers(1, 4)),
    st.builds(Updates, st.integers(1, 4)),
    st.builds(Seconds, st.integers(1, 4)),
    st.builds(
        Target,
        st.just("accuracy"),
        st.one_of(st.none(), st.integers(0, 5)),
        st.integers(1, 4),
    ),
)
any_of = st.one_of(ends, st.builds(lambda a, b: a | b, ends, ends))


@given(any_of, any_of, st.lists(st.tuples(st.integers(0, 5), st.integers(1, 3)), max_size=8))
def test_an_end_that_extends_another_comes_no_earlier(
    later: Until, earlier: Until, course: list[tuple[int, int]]
) -> None:
    if not ends_no_earlier(later, earlier):
        return
    at = NOTHING
    for value, updates in course:
        records = with_evaluation(at.records, {"accuracy": float(value)})
        at = replace(
            at,
            rounds=at.rounds + 1,
            updates=at.updates + updates,
            seconds=at.seconds + updates / 2,
            records=records,
        )
        assert not later.reached(at) or earlier.reached(at)


def test_the_first_of_several_ends_counts_and_they_are_one_flat_list() -> None:
    several = Rounds(5) | (Seconds(9) | Target("loss", 0.1))
    assert several == AnyOf((Rounds(5), Seconds(9), Target("loss", 0.1)))
    assert not several.reached(NOTHING)
    assert several.reached(replace(NOTHING, rounds=5))
    assert several.reached(replace(NOTHING, seconds=9.0))
    assert several.reached(judged([0.1], "loss"))
    assert several.metrics == {"loss"}
    assert ends_no_earlier(Rounds(6), several)
    assert ends_no_earlier(Rounds(6) | Rounds(5), several)
    assert not ends_no_earlier(Rounds(4), several)
    assert not ends_no_earlier(several, Rounds(5))


def test_what_is_no_end_and_too_few_of_them_are_refused() -> None:
    with pytest.raises(WrongValue, match="the number of ends of AnyOf must be from 2 to 16, got 1"):
        AnyOf((Rounds(1),))
    with pytest.raises(WrongType, match="an Until such as Rounds"):
        AnyOf((Rounds(1), 3))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "must be given as value, as patience or as both"),
        ({"value": float("nan")}, "`value` of Target must be finite"),
        ({"patience": 0}, "`patience` of Target must be from 1"),
        ({"patience": 1, "mode": "up"}, '`mode` of Target must be "max" or "min"'),
    ],
)
def test_a_target_that_cannot_be_is_refused(arguments: dict[str, float], sentence: str) -> None:
    with pytest.raises(WrongValue, match=sentence):
        Target("accuracy", **arguments)  # type: ignore[arg-type]


def test_a_metric_that_nobody_measures_is_refused_with_those_that_are() -> None:
    until = Rounds(5) | Target("acuracy", 0.9)
    with pytest.raises(Misfit, match="metric 'acuracy', and what is measured is accuracy, loss"):
        check_measured(until, {"loss": 1.0, "accuracy": 0.5}, {})
    check_measured(until, {}, {})
    check_measured(until, {"loss": 1.0}, {"acuracy": Record()})


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: A_ROUND | 5, r"what `\|` joins: expected two ends such as .*, got int 5"),
        (lambda: 5 | A_ROUND, r"what `\|` joins: expected two ends such as .*, got int 5"),
        (lambda: run_of(until=[Rounds(2)]), r"`until` of Run: expected .* as Rounds\(20\) \|"),
        (lambda: run_of(until=()), r"`until` of Run: expected .* as Rounds\(20\) \|"),
        (lambda: run_of(stays=Stay("w3", join=1)), "`stays` of Run: expected a list of Stay, got"),
        (lambda: run_of(stays="w3"), "`stays` of Run: expected a list of Stay, got str 'w3'"),
        (lambda: AVAILABLE(0.1, when=Presence("w3", 0.5)), "`when` of Available: expected a list"),
        (lambda: AVAILABLE(0.1, when=None), "`when` of Available: expected a list of Presence"),
    ],
)
def test_one_value_where_several_are_meant_or_the_reverse_is_refused_in_a_sentence(
    make: Any, sentence: str
) -> None:
    with pytest.raises(WrongType, match=sentence):
        make()
