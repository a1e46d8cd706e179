"""Who is there in a clock, and who of them computes it."""

from __future__ import annotations

import tomllib
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorfl import Available, Krum, Presence, Run, Sample, Star
from actorfl.errors import ConfigError, Misfit, WrongType, WrongValue
from actorfl.sampling import selected
from actorfl.seeds import seed_for
from tests.actorfl.configs import run_of

ROSTER = tuple(f"w{index}" for index in range(20))
EXAMPLES = {name: 10 + index for index, name in enumerate(ROSTER)}
#: Of seed 7, in clocks 0, 12 and 21.
PINNED = [["w0", "w13", "w2"], ["w0"], ["w18", "w2", "w9"]]
NIGHT = Presence("w1*", share=0.5, period=24, begin=20, length=10)


def there(select: Available, clock: int, run_seed: int = 7) -> set[str]:
    seed = seed_for(run_seed, "", clock, "select")
    return {name for name in ROSTER if select.is_there(name, clock, seed)}


@given(st.integers(0, 200), st.integers(0, 2**62), st.integers(1, 20))
def test_who_computes_is_there_and_they_are_as_many_as_asked_if_there_are_so_many(
    clock: int, run_seed: int, count: int
) -> None:
    select = Available(count=count, when=(NIGHT, Presence("w?", share=0.3)))
    found = selected(select, ROSTER, EXAMPLES, run_seed, clock)
    here = there(select, clock, run_seed)
    assert len(found) == max(1, min(count, len(here)))
    assert found <= here or not here
    assert found == selected(select, ROSTER, dict(EXAMPLES), run_seed, clock)


def test_the_same_workers_are_there_on_every_machine_and_version() -> None:
    select = Available(count=3, when=(NIGHT, Presence("w?", share=0.3)))
    found = [sorted(selected(select, ROSTER, EXAMPLES, 7, clock)) for clock in (0, 12, 21)]
    assert found == PINNED


def test_a_window_comes_again_and_the_first_rule_that_fits_decides() -> None:
    day = Presence("w1*", period=24, begin=20, length=10)
    select = Available(count=20, when=(Presence("w13"), day))
    for clock in range(100):
        inside = (clock - 20) % 24 < 10
        assert there(select, clock) == (
            set(ROSTER) if inside else {n for n in ROSTER if n == "w13" or not n.startswith("w1")}
        )


def test_each_is_there_in_its_share_of_the_clocks_and_apart_from_the_others() -> None:
    select = Available(count=20, when=(Presence("w1*", share=0.25),))
    met = Counter(frozenset(there(select, clock) & {"w11", "w12"}) for clock in range(2000))
    for both, chance in ((set(), 9 / 16), ({"w11"}, 3 / 16), ({"w11", "w12"}, 1 / 16)):
        assert met[frozenset(both)] / 2000 == pytest.approx(chance, abs=0.03)


def test_shares_of_none_and_of_all_are_exact_and_somebody_computes_each_clock() -> None:
    nobody = Available(count=5, when=(Presence("*", share=0),))
    everybody = Available(count=5, when=(Presence("*", share=1),))
    for clock in range(50):
        assert there(nobody, clock) == set()
        assert len(selected(nobody, ROSTER, EXAMPLES, 7, clock)) == 1
        assert there(everybody, clock) == set(ROSTER)
        drawn = selected(everybody, ROSTER, EXAMPLES, 7, clock)
        assert drawn == selected(Sample(count=5), ROSTER, EXAMPLES, 7, clock)


def test_by_examples_those_with_more_are_drawn_more_often_among_those_that_are_there() -> None:
    select = Available(count=1, by="examples", when=(Presence("w[0-9]", share=0),))
    examples = dict.fromkeys(ROSTER, 1) | {"w0": 10**6, "w19": 1000}
    drawn = Counter(
        name for clock in range(200) for name in selected(select, ROSTER, examples, 7, clock)
    )
    assert drawn["w19"] > 180
    assert drawn["w0"] == 0


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"share": 1.5}, WrongValue, "`share` of Presence must be from 0 to 1"),
        ({"period": 24}, WrongValue, "given as period and length"),
        ({"period": 24, "length": 25}, WrongValue, "`length` of Presence must be from 1 to 24"),
        ({"begin": 3}, WrongValue, "`begin` of Presence must be 0 where there is no window"),
        ({"begin": -1}, WrongValue, "`begin` of Presence"),
        ({"workers": 3}, WrongType, "a name or a pattern"),
    ],
)
def test_a_presence_that_cannot_be_is_refused(
    arguments: dict[str, Any], error: type[ConfigError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        Presence(**{"workers": "w*", **arguments})


def test_rules_that_cannot_be_are_refused() -> None:
    with pytest.raises(WrongValue, match="number of rules in `when` of Available must be from 1"):
        Available(0.1)
    with pytest.raises(WrongType, match="a rule in `when` of Available"):
        Available(0.1, when=("w*",))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("when", "sentence"),
    [
        (
            (Presence("x*", share=0.5),),
            "'x\\*', and none has such a name; there are w0, w1, w2, ...",
        ),
        ((Presence("", share=0.5),), "the workers '', and none has such a name"),
        ((NIGHT, Presence("w12", share=0.5)), "about w12 an earlier rule decides, that of 'w1"),
        ((Presence("w1"),), "says of the workers 'w1' that they are always there"),
        ((NIGHT, Presence("w2", period=4, begin=1, length=4)), "'w2' that they are always there"),
    ],
)
def test_rules_that_decide_about_nobody_or_nothing_are_refused(
    when: tuple[Presence, ...], sentence: str
) -> None:
    with pytest.raises(Misfit, match=sentence):
        run_of(topology=Star(20), select=Available(0.5, when=when))


def test_a_rule_may_spare_a_worker_a_later_one() -> None:
    assert run_of(select=Available(0.5, when=(Presence("w3"), Presence("*", share=0.1)))).select


def test_a_run_has_it_in_toml_and_a_rule_that_needs_many_workers_is_refused() -> None:
    select = Available(count=2, by="examples", when=(NIGHT, Presence("w?", share=0.3)))
    run = run_of(select=select)
    again = Run.from_table(tomllib.loads(run.to_toml()), run.base)
    assert again.select == select
    assert again.hash == run.hash
    with pytest.raises(Misfit):
        run_of(topology=Star(9), algorithm=Krum(1), select=Available(0.9, when=(NIGHT,)))
    with pytest.raises(WrongValue, match="`count` of Available must be at most"):
        run_of(topology=Star(2), select=Available(count=3, when=(NIGHT,)))
