"""Who joins a run late, and who leaves it: the laws of the aggregator's state machines."""

from __future__ import annotations

import math
import random
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorfl import (
    ASP,
    BSP,
    SSP,
    Clocks,
    Krum,
    Minutes,
    Quorum,
    Rounds,
    Run,
    Sample,
    Stay,
    Supervision,
    Sync,
    Tree,
)
from actorfl.chaos import laws
from actorfl.chaos.scenario import shortened
from actorfl.chaos.settings import Chaos
from actorfl.errors import ConfigError, Misfit, WrongType, WrongValue
from actorfl.flow import Flow
from actorfl.roster import Answer, Phase, Verdict
from actorfl.rounds import Rounds as Machine
from actorfl.stay import by_worker, changes, members
from tests.actorfl.configs import run_of

ROSTER = ("a", "b", "c", "d")


def stay(join: int, length: int | None) -> Stay | None:
    if join == 0 and length is None:
        return None
    return Stay("*", join, None if length is None else join + length)


#: Of all but the first, which is always there.
some_stays = st.tuples(
    *(
        st.builds(stay, st.integers(0, 6), st.one_of(st.none(), st.integers(1, 6)))
        for _ in ROSTER[1:]
    )
).map(lambda found: {n: s for n, s in zip(ROSTER[1:], found, strict=True) if s is not None})


Steps = list[tuple[Any, str, int]]


def play(flow: Flow, draw: random.Random, steps: Steps, number: int) -> Iterator[Flow]:
    """Workers ask, are told to start, and end their clocks, in any order."""
    computing: dict[str, int] = {}
    for _ in range(number):
        name = draw.choice(ROSTER)
        if name in computing:
            clock = computing.pop(name)
            verdict = flow.put(name, 1, clock, flow.clock)
            if name in flow.gone:
                continue
            assert verdict is Verdict.FOLD
            flow.arrived.add(name)
            flow.settled([name])
            flow.clock += 1
            steps.append(("ends", name, clock))
        elif name not in flow.gone:
            answer = flow.ready(name, 1, 10)
            if answer is Answer.GO:
                computing[name] = flow.clock_of(name)
                steps.append(("starts", name, flow.clock_of(name)))
            if answer is Answer.GATHER and flow.gathered:
                flow.phase = Phase.OPEN
        for free in flow.released() if flow.phase is Phase.OPEN else ():
            computing[free] = flow.clock_of(free)
            steps.append(("starts", free, flow.clock_of(free)))
        yield flow


@given(some_stays, st.integers(1, 3), st.integers(0, 2**32), st.sampled_from([None, *ROSTER[1:]]))
def test_nobody_is_ever_too_far_ahead_across_joins_leaves_deaths_and_restarts(
    stays: dict[str, Stay], bound: int, seed: int, dies: str | None
) -> None:
    draw = random.Random(seed)
    steps: Steps = []
    flow = Flow(ROSTER, SSP(bound), stays=stays)
    for round_ in range(4):
        for now in play(flow, draw, steps, 40):
            present = {n: now.clocks[n] for n in now.members}
            assert present
            assert all(now.is_in(name, clock) for name, clock in present.items())
            assert max(present.values()) - min(present.values()) <= bound + 1
        if round_ == 2 and dies is not None:
            flow.leave(dies)
        # An aggregator is restarted with what is durable: the clocks, the examples, who is gone.
        before, flow = flow, Flow(ROSTER, SSP(bound), flow.clock, stays=stays)
        flow.clocks.update(before.clocks)
        flow.examples, flow.gone = before.examples, before.gone
        flow.enter(flow.clock)
        assert set(flow.members) == set(before.members)
        flow.phase = before.phase
    dead = {} if dies is None else {dies: Stay(dies, leave=flow.clocks[dies] + 1)}
    if dies is None or dies not in stays:
        alive = [step for step in steps if step[1] not in dead]
        names = [name for name in ROSTER if name not in dead]
        assert laws.staleness_is_bounded(alive, names, bound, stays) is None


@settings(max_examples=50)
@given(some_stays, st.integers(0, 2**32))
def test_everybody_gets_its_clocks_and_no_others(stays: dict[str, Stay], seed: int) -> None:
    steps: Steps = []
    flow = Flow(ROSTER, ASP(), stays=stays, last=16)
    for _ in play(flow, random.Random(seed), steps, 400):
        pass
    ended = {name: [c for what, n, c in steps if what == "ends" and n == name] for name in ROSTER}
    assert ended["a"] == list(range(16))
    for name, one in stays.items():
        clocks = ended[name]
        assert clocks == list(range(clocks[0], clocks[-1] + 1)) if clocks else True
        assert all(one.holds(clock) for clock in clocks)
        end = min(16, math.inf if one.leave is None else one.leave)
        assert not clocks or clocks[-1] == end - 1


def test_who_joins_starts_at_the_clock_of_the_slowest_once_that_has_come_to_its_own() -> None:
    flow = Flow(("a", "b", "c"), SSP(2), stays={"c": Stay("c", join=2)})
    assert [flow.ready(name, 1, 10) for name in "ab"] == [Answer.GATHER] * 2
    assert flow.gathered  # who joins later holds up no beginning
    flow.open(0)

    def end(worker: str) -> None:
        assert flow.put(worker, 1, flow.clock_of(worker), flow.clock) is Verdict.FOLD
        flow.settled([worker])

    assert flow.ready("c", 1, 10) is Answer.WAIT
    for worker in "aabab":
        end(worker)
        assert "c" not in flow.members or worker == "b"
    assert flow.members == ("a", "b", "c")
    assert flow.clock_of("c") == flow.slowest == 2
    assert flow.released() == ("c",)
    for worker in "abab":
        end(worker)
    assert flow.ready("a", 1, 10) is Answer.WAIT  # it now waits for the one that has joined
    assert flow.holds_back("a")


def test_who_leaves_is_taken_from_the_slowest_and_told_that_it_is_done() -> None:
    flow = Flow(("a", "b"), SSP(1), stays={"b": Stay("b", leave=1)})
    for name in "ab":
        flow.ready(name, 1, 10)
    flow.open(0)
    for worker in "aa":
        flow.settled([worker])
    assert flow.ready("a", 1, 10) is Answer.WAIT
    flow.settled(["b"])
    assert (list(flow.members), flow.slowest) == (["a"], 2)
    assert flow.released() == ("a",)
    assert flow.ready("b", 1, 10) is Answer.DONE
    flow.settled(["a", "a"])
    assert flow.ready("a", 1, 10) is Answer.GO  # 4 is too far ahead of 1, where b had left
    assert flow.leave("a")
    assert not flow.leave("a")


def opened(sync: Sync, clock: int, stays: dict[str, Stay]) -> Machine:
    rounds = Machine(ROSTER, sync, clock, stays=stays)
    for name in ROSTER:
        rounds.ready(name, 1, 10)
    rounds.open(clock)
    return rounds


@given(some_stays, st.integers(0, 14))
def test_a_round_is_computed_by_those_whose_stay_it_is_in(
    stays: dict[str, Stay], clock: int
) -> None:
    rounds = opened(BSP(), clock, stays)
    there = set(members(stays, ROSTER, clock))
    assert rounds.expected == there == set(rounds.members)
    assert rounds.total == 10 * len(there)
    for name in ROSTER:
        over = name in stays and stays[name].over(clock)
        answer = Answer.GO if name in there else Answer.DONE if over else Answer.WAIT
        assert rounds.ready(name, 1, 10) is answer
        verdict = Verdict.FOLD if name in there else Verdict.UNSELECTED
        assert rounds.put(name, 1, clock, clock) is verdict
    rounds.arrived.update(there)
    assert rounds.complete()
    assert rounds.absent() == {}
    before = set(members(stays, ROSTER, clock - 1)) if clock else there
    assert set(rounds.joined()) == there - before
    assert set(rounds.left()) == before - there


def test_a_round_waits_for_whoever_joins_with_it_and_has_not_been_heard_of() -> None:
    rounds = Machine(ROSTER, BSP(), stays={"d": Stay("d", join=3)})
    for name in "abc":
        rounds.ready(name, 1, 10)
    gathered = [rounds.gathered]
    rounds.enter(3)
    gathered.append(rounds.gathered)
    rounds.ready("d", 1, 10)
    assert [*gathered, rounds.gathered] == [True, False, True]


@pytest.mark.parametrize("sync", [BSP(), Quorum(1.0)])
def test_a_round_does_not_wait_for_who_is_gone_for_good_and_names_it_dead(sync: Sync) -> None:
    rounds = opened(sync, 2, {})
    rounds.arrived.update("ab")
    rounds.refused["c"] = "non-finite"
    assert not rounds.complete()
    assert rounds.leave("d")
    assert rounds.complete()
    assert rounds.absent() == {"d": "dead"}
    assert rounds.left() == ["d"]
    rounds.open(3)
    assert rounds.members == ("a", "b", "c")
    assert rounds.absent() == {"a": "silent", "b": "silent", "c": "silent"}
    assert rounds.ready("d", 2, 10) is Answer.DONE
    assert rounds.left() == []


def test_the_part_of_who_is_gone_counts_where_it_is_in() -> None:
    rounds = opened(BSP(), 2, {})
    rounds.arrived.update("abcd")
    rounds.leave("d")
    assert rounds.complete()
    assert rounds.absent() == {}


# -- what can be said ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({}, WrongValue, "when workers join, or leave, or both, got 'neither'"),
        ({"join": 3, "leave": 3}, WrongValue, "`leave` of Stay must be from 4"),
        ({"join": -1}, WrongValue, "`join` of Stay"),
        ({"join": 1.5}, WrongType, "`join` of Stay"),
    ],
)
def test_a_stay_that_cannot_be_is_refused(
    arguments: dict[str, Any], error: type[ConfigError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        Stay("w0", **arguments)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"stays": (Stay("x*", join=1),)}, "the workers 'x\\*', and none has such a name"),
        ({"stays": (Stay("", join=1),)}, "the workers '', and none has such a name"),
        (
            {"stays": (Stay("w3", leave=2), Stay("w3", join=4))},
            "about w3 an earlier rule decides, that of 'w3'",
        ),
        ({"stays": (Stay("w*", leave=2), Stay("w[12]", join=4))}, "about w1 an earlier rule"),
        ({"stays": (Stay("w3", join=20),)}, "'w3' join in clock 20, and .* the last clock is 19"),
        (
            {"stays": (Stay("w3", join=4),), "until": Clocks(4), "sync": ASP()},
            "join in clock 4, and by `until` the last clock is 3",
        ),
        ({"stays": (Stay("w3", join=4),), "until": Minutes(4) | Rounds(3)}, "last clock is 2"),
        ({"stays": (Stay("*", join=1),)}, "no worker is of the run in clock 0"),
        ({"stays": (Stay("*", leave=4),)}, "no worker is of the run in clock 4"),
        ({"stays": (Stay("w1", join=1),), "topology": Tree(root=1, edge=2, worker=8)}, "use Star"),
        (
            {
                "supervision": Supervision(exhausted="leave"),
                "topology": Tree(root=1, edge=2, worker=8),
            },
            "use Star",
        ),
        ({"stays": (Stay("w[1-7]", leave=2),), "algorithm": Krum(1)}, "Krum"),
        (
            {"stays": (Stay("w1", leave=2),), "supervision": Supervision(exhausted="leave")},
            "may be gone when `stays` let the last ones leave",
        ),
        (
            {"select": Sample(count=3), "supervision": Supervision(exhausted="leave")},
            "there may be fewer than the 3 that Sample draws; give a fraction",
        ),
    ],
)
def test_stays_that_do_not_fit_the_run_are_refused(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Misfit, match=sentence):
        run_of(**{"validate": 0.2, **changed})


def test_who_joins_in_the_last_clock_or_without_a_barrier_after_some_rounds_is_taken() -> None:
    run = run_of(stays=(Stay("w3", join=19),))
    assert shortened(run, Chaos(rounds=4)).stays == (Stay("w3", join=3),)
    at_once = run_of(stays=(Stay("w3", join=1),), until=Rounds(2))
    assert shortened(at_once, Chaos(rounds=1)).stays[0].join == 0
    assert run_of(stays=(Stay("w3", join=30),), sync=ASP()).stays


def test_a_sample_of_more_workers_than_there_are_at_some_time_is_refused() -> None:
    with pytest.raises(WrongValue, match="`count` of Sample must be at most 6, the workers, got 7"):
        run_of(select=Sample(count=7), stays=(Stay("w[01]", leave=5),))
    with pytest.raises(WrongType, match="one of `stays` of Run"):
        run_of(stays=("w0",))


def test_stays_are_a_list_in_toml_and_decide_the_hash() -> None:
    stays = (Stay("w1", join=3), Stay("w[12]", join=2, leave=9))
    run = run_of(stays=stays)
    again = Run.from_table(tomllib.loads(run.to_toml()), run.base)
    assert again == run
    assert again.stays == stays
    assert again.hash == run.hash != run_of().hash
    assert "stays" not in run_of().canonical()
    assert by_worker(stays, ("w0", "w1", "w2")) == {"w1": stays[0], "w2": stays[1]}
    assert changes(by_worker(stays, ("w0", "w1", "w2"))) == [0, 2, 3, 9]
