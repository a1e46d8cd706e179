"""A fault plan is checked, is read from the TOML that it writes, and travels."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import actors
from actors import (
    ActorGraph,
    AtClock,
    Churn,
    Corrupt,
    CrashPoint,
    CrashPointMissed,
    Cut,
    Delay,
    Drop,
    Duplicate,
    FaultPlan,
    Freeze,
    Full,
    GraphError,
    Jitter,
    Kill,
    Moment,
    Partition,
    Process,
    Processes,
    Reorder,
    Simulated,
    Skew,
    Slow,
    Throttle,
    Torn,
    UsageError,
    one_for_one,
)
from actors.faults.kinds import Fault
from tests.actors.echoes import Adder
from tests.actors.test_simulation import Count, Counter

seconds = st.floats(0.0, 1e6)
above = st.floats(1e-3, 1e6)
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
moments = st.builds(
    Moment, st.integers(0, 9), names, st.integers(1, 9), actor=names, node=names
) | st.builds(Moment, message=names.filter(lambda name: name != "*"))  # any is no moment
times = st.tuples(seconds, st.none() | above, st.none() | moments, st.none() | moments).map(
    lambda four: {
        "after": four[0], "before": four[1] and four[0] + four[1],
        "since": four[2], "till": four[3],
    }
)  # fmt: skip
rounds = st.none() | st.tuples(st.integers(0, 9), st.integers(0, 9)).map(
    lambda two: (min(two), max(two))
)
p = st.floats(0.0, 1.0)


def build(kind: type, **fields: st.SearchStrategy[object]) -> st.SearchStrategy[Fault]:
    return st.builds(lambda time, rest: kind(**time, **rest), times, st.fixed_dictionaries(fields))


def on_messages(kind: type, **fields: st.SearchStrategy[object]) -> st.SearchStrategy[Fault]:
    where = dict.fromkeys(("source", "target", "actor", "message"), names | st.just("*"))
    return build(kind, rounds=rounds, **where, **fields)


KINDS: dict[type, st.SearchStrategy[Fault]] = {
    Drop: on_messages(Drop, p=p),
    Duplicate: on_messages(Duplicate, p=p),
    Delay: on_messages(Delay, seconds=seconds, p=p),
    Jitter: on_messages(Jitter, seconds=seconds, p=p),
    Reorder: on_messages(Reorder, p=p),
    Throttle: on_messages(Throttle, bandwidth=above),
    Corrupt: on_messages(Corrupt, p=p),
    Cut: build(Cut, source=names, target=names),
    Partition: build(
        Partition,
        groups=st.lists(st.lists(names, min_size=1, max_size=3), min_size=1, max_size=3).map(
            lambda groups: tuple(map(tuple, groups))
        ),
        others=st.sampled_from(["apart", "between"]),
    ),
    Kill: st.builds(Kill, names, seconds, seconds, st.none() | moments),
    Freeze: st.builds(Freeze, names, seconds, above, st.none() | moments),
    Slow: build(Slow, node=names, factor=st.floats(1.0, 1000.0, exclude_min=True)),
    Skew: build(Skew, node=names, seconds=st.floats(-1e6, 1e6)),
    Full: build(Full, p=p, node=names),
    Torn: build(Torn, p=p, node=names),
    Churn: build(
        Churn,
        offline=st.floats(0.0, 1.0, exclude_max=True),
        session=above | st.lists(above, min_size=2, max_size=5).map(lambda q: tuple(sorted(q))),
        node=names,
    ),
    CrashPoint: st.builds(
        CrashPoint,
        st.sampled_from(["actor.message", "actor.handled"]),
        st.sampled_from(["sigkill", "exit:3"]),
        st.integers(1, 9) | st.builds(AtClock, st.integers(0, 9)),
        st.integers(0, 9),
        st.none() | names,
        names,
        names,
    ),
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=30)
@given(data=st.data(), seed=st.integers(-(2**63), 2**63 - 1), until=above)
def test_a_plan_is_read_from_the_toml_that_it_writes(
    kind: type, data: st.DataObject, seed: int, until: float
) -> None:
    faults = data.draw(st.lists(KINDS[kind], max_size=3))
    begins = [getattr(fault, "after", getattr(fault, "at", 0.0)) for fault in faults]
    latest = max((at for at in begins if isinstance(at, float)), default=0.0)
    plan = FaultPlan(*faults, seed=seed, until=latest + until)
    assert FaultPlan.from_toml(plan.to_toml()) == plan
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(plan), type=FaultPlan) == plan


def test_every_kind_of_fault_is_among_those_that_are_read_back() -> None:
    assert set(KINDS) == set(Fault.__args__)


def test_a_file_holds_a_plan(tmp_path: Path) -> None:
    plan = FaultPlan(Partition((("p0",),), before=2.0), Kill("p1", 0.5), seed=3)
    (tmp_path / "plan.toml").write_text(plan.to_toml())
    assert FaultPlan.from_file(tmp_path / "plan.toml") == plan
    with pytest.raises(UsageError, match=r"cannot read the fault plan .*nothing\.toml: .*No such"):
        FaultPlan.from_file(tmp_path / "nothing.toml")


def test_a_file_that_never_ends_is_no_plan() -> None:
    with pytest.raises(UsageError, match="has more than 16777216 bytes; is it a fault plan"):
        FaultPlan.from_file("/dev/zero")


def test_lists_in_a_plan_made_by_hand_are_tuples_as_those_that_are_read() -> None:
    by_hand = FaultPlan(Partition([["p0"]]), Drop(1, rounds=[0, 1]))  # type: ignore[arg-type]  # what is tested
    assert by_hand == FaultPlan.from_toml(by_hand.to_toml())
    assert hash(by_hand) == hash(FaultPlan(Partition((("p0",),)), Drop(rounds=(0, 1))))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            '[[fault]]\nkind = "drop"\np = 1.5',
            r"^fault 1 of the plan, 'drop', cannot be: .*<= 1.0 - at `p`$",
        ),
        (
            '[[fault]]\nkind = "droop"',
            r"of no kind: 'droop'; did you mean 'drop'\? there are churn, .*, torn$",
        ),
        (
            '[[fault]]\nkind = "drop"\nq = 0.5',
            "unknown field `q`; it has p, after, before, since, till, source, ",
        ),
        ('[[fault]]\nkind = "kill"\nnode = "p0"', "missing required field `at`"),
        (
            '[[fault]]\nkind = "drop"\nafter = 3.0\nbefore = 2.0',
            "ends at 2 s, before it begins; give a later one",
        ),
        ('[[fault]]\nkind = "drop"\nrounds = [3, 1]', "give the first before the last"),
        (
            '[[fault]]\nkind = "kill"\nnode = "p0"\nat = 0.0\nsince = { nth = 2 }',
            "says nothing about a message; give clock=3 for when clock 3 begins, .* at `since`",
        ),
        (
            '[[fault]]\nkind = "drop"\nsince = 3',
            "^`since` of fault 1 of the plan, 'drop', is no moment: 3; write { clock = 3 } for",
        ),
        (
            '[[fault]]\nkind = "drop"\n[[fault]]\nkind = "slow"\nnode = "a"\ntill = "Put"',
            "^`till` of fault 2 .* 'slow', is no moment: 'Put'; .* or { message = \"Put\" }$",
        ),
        (
            '[[fault]]\nkind = "drop"\nsince = { clok = 1 }',
            "has no field 'clok'; did you mean 'clock'\\? a moment has clock, message, nth, actor, ",
        ),
        (
            '[[fault]]\nkind = "cut"\nsource = "a"\ntarget = "b"\nafter = 60.0',
            "begins after 60 s, and the plan ends at until=60; let it begin earlier",
        ),
        (
            'until = 2.5\n[[fault]]\nkind = "kill"\nnode = "p0"\nat = 3.0',
            "begins after 3 s, and the plan ends at until=2.5; let it begin earlier, or the plan",
        ),
        ('[[fault]]\nkind = "corrupt"\nrounds = [3, 1]', "give the first before the last"),
        ('[[fault]]\nkind = "churn"\noffline = 0.1\nsession = [3.0, 1.0]', "in rising order"),
        ('[[fault]]\nkind = "delay"\nseconds = inf', "must be finite"),
        ('[[fault]]\nkind = "partition"\ngroups = [[]]', "length >= 1"),
        ('[[fault]]\nkind = "slow"\nnode = "p0"\nfactor = 1.0', "> 1.0"),
        (
            '[[fault]]\nkind = "crash"\npoint = "a"\naction = "raise"\nactor = "/b"',
            "'a' tells neither actor nor message; only actor.message and actor.handled do",
        ),
        ("[[fault]]\np = 0.5", "of no kind: None; there are churn"),
        (
            '[[fault]]\nkind = "drop"\n[[fault]]\nkind = ["cut"]',
            "fault 2 of the plan is of no kind",
        ),
        ('[fault]\nkind = "drop"', r"write \[\[fault\]\] above each"),
        ("until = 0.0", "must be finite and above 0"),
        ("until = inf", "must be finite and above 0"),
        ("until = 1e10", "is more than 1e"),
        (
            '[[fault]]\nkind = "kill"\nnode = "p0"\nat = 1e308\ndown = 1e308',
            "at of .* is more than 1e",
        ),
        (
            f'[[fault]]\nkind = "drop"\nrounds = [0, {10**20}]',
            r"fault 1 of the plan.* at `rounds\[1\]`",
        ),
        (f'[[fault]]\nkind = "crash"\npoint = "a"\naction = "raise"\nat = {10**20}', "at"),
        (f"fault = {'[' * 5000}{']' * 5000}", "deeper than it can be read"),
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
    with pytest.raises(UsageError, match=f"seed={2**63} of a fault plan takes more than 64 bits"):
        FaultPlan(seed=2**63)
    with pytest.raises(UsageError, match=r"until=1000.* must be finite"):
        FaultPlan(until=10**400)
    with pytest.raises(UsageError, match=r"at of Kill.* must be finite"):
        Kill("p0", at=10**400)


def test_a_plan_travels_to_processes_as_it_is() -> None:
    plan = FaultPlan(
        Drop(0.1), Kill("p0", 1.5), CrashPoint(point="here", action="exit:3", node="p1"), seed=3
    )
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(plan), type=FaultPlan) == plan


def test_churn_of_more_sessions_than_anyone_can_wait_for_is_refused() -> None:
    graph = ActorGraph("shop")
    with graph.supervisor("root"):
        graph.actor("echo", Adder, place=Process(), start=0)
    plan = FaultPlan(Churn(offline=0.5, session=(0.0, 1e-9)), until=1e9)
    with pytest.raises(GraphError, match="about 500000000000 sessions, more than 1000000; give lo"):
        graph.validate(Processes(1, faults=plan))


@pytest.mark.parametrize(
    "plan",
    [
        FaultPlan(Kill("p7", 1.0)),
        FaultPlan(CrashPoint(point="here", action="sigkill", node="p7")),
        FaultPlan(Drop(till=Moment(3, node="p7"))),
    ],
    ids=["kill", "point", "moment"],
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
    for on in (Processes, Simulated):
        with pytest.raises(UsageError, match=r"faults='drop'\) is no fault plan; give FaultPlan\("):
            on(1, faults="drop")  # type: ignore[arg-type]  # what is tested
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


def test_a_moment_made_by_hand_is_refused_as_the_rest_of_a_plan_is() -> None:
    with pytest.raises(UsageError, match=r"^Moment\(nth=2\) says nothing about a message; give"):
        Moment(nth=2)
    with pytest.raises(UsageError, match=r"^since=3 of a Drop is no moment; give since=Moment\("):
        FaultPlan(Drop(since=3))  # type: ignore[arg-type]  # what is tested
    with pytest.raises(UsageError, match="ends at 1 s, before it begins"):
        Drop(after=2.0, before=1.0)
    with pytest.raises(UsageError, match="is none of sigkill"):
        CrashPoint("a", "spam")


def test_a_plan_lasts_as_long_as_it_says_else_as_long_as_it_is_told() -> None:
    fault = Drop(0.1)
    unsaid, said = FaultPlan(fault, seed=3), FaultPlan(fault, seed=3, until=60.0)
    assert unsaid == said
    assert unsaid.until == 60.0
    assert unsaid.lasting(900.0) == FaultPlan(fault, seed=3, until=900.0)
    assert said.lasting(900.0) == said
    assert unsaid.lasting(900.0).lasting(30.0).until == 900.0
    assert unsaid.replace([fault, fault]).lasting(900.0).until == 900.0
    assert FaultPlan.from_toml("seed = 3").lasting(900.0).until == 900.0
    assert FaultPlan.from_toml(unsaid.to_toml()) == unsaid


def test_the_session_of_churn_may_be_a_time_in_another_unit() -> None:
    class Minutes:
        def __float__(self) -> float:
            return 120.0

    churn = Churn(offline=0.1, session=Minutes())
    assert churn == Churn(offline=0.1, session=120.0)
    for wrong in ("long", None, [1.0, 2.0]):
        with pytest.raises(UsageError, match="of Churn is no time; give its mean in seconds"):
            Churn(offline=0.1, session=wrong)  # type: ignore[arg-type]
