"""Scenarios under drawn schedules: what is drawn, what is found, how it is shortened and replayed."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from actors import FaultPlan, Simulated, UsageError
from actors.crashpoints import CrashPoint
from actors.faults.kinds import Churn, Drop, Duplicate, Fault, Kill, Skew, Timed
from actors.runner import run
from actors.sim import Simulation
from actors.testing.chaos import KINDS, Evidence, Scenario, explore, generate, replay, shrink
from actors.testing.chaos.looking import Looking
from examples.replicated_counter import counter
from transports import Weights

ROOT = Path(__file__).parents[2]
POINTS = {"storage.write": ("p0",), "worker.fit": ("p0", "p1")}
NODES = ("p0", "p1")


def kinds(plan: FaultPlan) -> Counter[str]:
    return Counter(str(fault.__struct_config__.tag) for fault in plan.faults)


# -- schedules -------------------------------------------------------------------------------------


def test_schedules_are_few_faults_of_every_kind_and_they_end() -> None:
    drawn: Counter[str] = Counter()
    for seed in range(300):
        plan = generate(seed, NODES, 6.0, points=POINTS)
        assert 1 <= len(plan) <= 16  # a torn write brings the crash that tears it
        assert 6.0 <= plan.until <= 7.0
        assert plan.seed == seed
        timed = [f for f in plan.faults if isinstance(f, Timed) and not isinstance(f, Skew)]
        assert all(f.before is not None for f in timed)
        drawn.update(kinds(plan).keys())
    every = {kind.__struct_config__.tag for kind in Fault.__args__}
    assert drawn.keys() == every == KINDS.keys()
    assert min(drawn.values()) > 30


def test_a_seed_gives_one_schedule_and_it_reads_back_from_toml() -> None:
    for seed in range(50):
        plan = generate(seed, NODES, 6.0, points=POINTS)
        assert plan == generate(seed, NODES, 6.0, points=POINTS)
        assert plan != generate(seed + 1, NODES, 6.0, points=POINTS)
        assert FaultPlan.from_toml(plan.to_toml()) == plan


def test_only_the_kinds_asked_for_are_drawn_and_points_only_where_they_are_passed() -> None:
    for seed in range(50):
        plan = generate(seed, NODES, 6.0, kinds=("drop", "kill"), fewest=3, most=3)
        assert kinds(plan).keys() <= {"drop", "kill"}
        assert "crash" not in kinds(generate(seed, NODES, 6.0, kinds=("drop", "crash")))
        for point in generate(seed, NODES, 6.0, points=POINTS).of(CrashPoint):
            assert point.node in POINTS[point.point]


def test_sessions_are_drawn_as_a_mean_and_as_a_table_and_messages_late_as_well() -> None:
    points = {"actor.message": ("p0",), "actor.handled": ("p0",)}
    plans = [generate(seed, NODES, 6.0, points=points) for seed in range(200)]
    tables = [isinstance(churn.session, tuple) for plan in plans for churn in plan.of(Churn)]
    assert 0.3 < sum(tables) / len(tables) < 0.7
    passages = [point.at for plan in plans for point in plan.of(CrashPoint)]
    assert max(at for at in passages if isinstance(at, int)) > 50


@pytest.mark.parametrize("wrong", [{"kinds": ("dorp",)}, {"fewest": 0}, {"fewest": 9, "most": 2}])
def test_a_schedule_that_cannot_be_drawn_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        generate(0, NODES, 6.0, **wrong)  # type: ignore[arg-type]


# -- shortening ------------------------------------------------------------------------------------


def test_shortening_leaves_what_is_needed_and_rounds_its_numbers() -> None:
    needed: set[Fault] = {Kill("p0", 1.234), Duplicate(p=0.217)}
    others: list[Fault] = [Drop(p=0.1 + n / 100) for n in range(10)]
    plan = FaultPlan(*others[:5], *sorted(needed, key=repr), *others[5:], seed=3, until=5.0)
    seen: list[FaultPlan] = []

    def breaks(candidate: FaultPlan) -> bool:
        seen.append(candidate)
        return len(candidate.of(Kill)) == len(candidate.of(Duplicate)) == 1

    short, plays = shrink(plan, breaks)
    assert set(short.faults) == {Kill("p0", 1.0), Duplicate(p=0.0)}
    assert plays == len(seen) < 60
    assert {(each.seed, each.until) for each in seen} == {(3, 5.0)}


def test_shortening_stops_when_it_has_played_enough() -> None:
    plan = FaultPlan(*(Drop(p=0.1 + n / 100) for n in range(50)))
    short, plays = shrink(plan, lambda candidate: len(candidate) > 30, plays=5)
    assert plays == 5
    assert len(short) > 30


# -- a bug that was planted --------------------------------------------------------------------------


def test_what_is_right_holds_under_every_schedule() -> None:
    report = explore(counter.right, range(40))
    assert (report.seeds, report.failed, report.digests) == (40, (), 40)
    assert report.kills > 0
    assert report.restarts > 0
    assert len(report.faults) > 10


def test_exploring_here_leaves_the_collector_as_it_was() -> None:
    before = gc.get_freeze_count()
    explore(counter.right, [0])
    assert gc.get_freeze_count() == before


def test_a_planted_bug_is_found_shortened_and_replayed_to_the_same_trace() -> None:
    report = explore(counter.forgetful, range(12))
    assert report.failed
    first = report.failed[0]
    assert list(first.broken) == ["every replica has the sum"]
    assert first.faults <= first.drawn
    plan = FaultPlan.from_toml(first.plan)
    # One that comes twice, whatever it is that brings it.
    assert first.faults == len(plan) == 1
    assert any(" of " in line or "held back" in line for line in first.story)
    for _ in range(2):
        evidence, broken = replay(counter.forgetful, plan)
        assert (evidence.digest, broken) == (first.digest, first.broken)
    without, nothing = replay(counter.forgetful, plan.replace(()))
    assert nothing == {}
    assert without.digest != first.digest


def test_processes_of_their_own_play_the_same() -> None:
    here = explore(counter.forgetful, range(3))
    # By the module's name as here: a message carries its class's home, and a trace its size.
    reference = "examples.replicated_counter.counter:forgetful"
    heard: list[int] = []
    there = explore(reference, range(3), jobs=2, on_played=lambda one: heard.append(one.seed))
    assert sorted(heard) == [0, 1, 2]
    assert there.failed == here.failed
    assert (there.faults, there.digests, there.kills) == (here.faults, here.digests, here.kills)


async def _exits(on: Simulated) -> None:
    if on.faults.seed == 1:
        os._exit(3)


exits = Scenario(_exits, ("p0",), seconds=1.0)


def test_a_process_that_dies_is_a_failed_seed_and_the_others_are_played() -> None:
    report = explore("tests.actors.test_chaos:exits", range(4), jobs=1)
    assert report.seeds == 4
    (failed,) = report.failed
    assert failed.seed == 1
    assert failed.broken == {"ends": "the process that played it ended with 3"}


async def _quits(on: Simulated) -> None:
    if on.faults.seed == 1:
        sys.exit("\udcff is no UTF-8")


quits = Scenario(_quits, ("p0",), seconds=1.0)


def test_a_play_that_would_end_its_process_is_judged_like_any_that_raises() -> None:
    told = {"ends": "it raised SystemExit: \\udcff is no UTF-8"}
    here = explore(quits, range(3))
    there = explore("tests.actors.test_chaos:quits", range(3), jobs=1)
    for report in (here, there):
        assert report.seeds == 3
        (failed,) = report.failed
        assert (failed.seed, failed.broken) == (1, told)
        assert failed.faults == 1, "it was shortened"


async def _blocks(on: Simulated) -> None:
    if on.faults.seed == 1:
        sys.stderr.write("blocks\n")
        time.sleep(100)  # noqa: ASYNC251  (as one that waits for a thread for ever)


blocks = Scenario(_blocks, ("p0",), seconds=1.0)


def test_a_play_that_blocks_is_killed_and_the_others_are_played(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.modules["actors.testing.chaos.explore"], "LONGEST_PLAY", 3.0)
    report = explore("tests.actors.test_chaos:blocks", range(3), jobs=1)
    assert report.seeds == 3
    (failed,) = report.failed
    assert failed.broken == {"ends": "it had not ended after 3 s of real time, and was killed"}


def test_no_process_outlives_whoever_explores() -> None:
    script = (
        "from actors.testing.chaos import explore\n"
        "explore('tests.actors.test_chaos:blocks', range(3), jobs=1)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as explorer:
        assert explorer.stderr is not None
        for line in explorer.stderr:
            if line == "blocks\n":
                break
        explorer.kill()
        # The processes that play hold its standard error open, too.
        _, said = explorer.communicate(timeout=20.0)
    assert not said


def test_a_seed_that_no_plan_can_have_is_refused_before_anything_is_played() -> None:
    with pytest.raises(UsageError, match=f"seed {2**63} of a schedule takes more than 64 bits"):
        explore("tests.actors.test_chaos:exits", range(2**63 - 1, 2**63 + 1))
    with pytest.raises(UsageError, match="more than 64 bits"):
        explore("tests.actors.test_chaos:exits", [0, 2**64, 1])


def dying(home: str, *starts: str) -> Scenario[None]:
    """Whose processes are killed before they are ready, at these starts; seed 1 kills its own."""
    start = str(len(list(Path(home).iterdir())))
    (Path(home) / start).touch()
    if start in starts:
        os.kill(os.getpid(), signal.SIGKILL)
    return Scenario(_kills, ("p0",), seconds=1.0)


async def _kills(on: Simulated) -> None:
    if on.faults.seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)


def test_another_process_plays_for_one_that_is_killed_and_what_none_can_play_is_lost_by_name(
    tmp_path: Path,
) -> None:
    arguments = (str(tmp_path), "0", "2", "3", "4")  # the second start plays seed 0 and dies of 1
    report = explore("tests.actors.test_chaos:dying", range(4), arguments=arguments, jobs=1)
    assert report.seeds == 4
    assert [one.seed for one in report.failed] == [1, 2, 3]
    assert report.failed[0].broken == {"ends": "the process that played it ended with -9"}
    for lost in report.failed[1:]:
        assert re.fullmatch(
            "not played: a process that was to play .* ended with -9 before it was ready; .*",
            lost.broken["ends"],
        )


def test_processes_of_which_none_is_ever_ready_are_told_of_in_a_sentence(tmp_path: Path) -> None:
    arguments = (str(tmp_path), "0", "1", "2", "3")
    with pytest.raises(UsageError, match="ended with -9 before it was ready; what it printed say"):
        explore("tests.actors.test_chaos:dying", range(2), arguments=arguments, jobs=1)
    assert len(list(tmp_path.iterdir())) == 3


async def _never(on: Simulated) -> None:
    if on.faults:
        await asyncio.Event().wait()


def test_a_play_that_never_ends_is_given_up_in_virtual_time() -> None:
    report = explore(Scenario(_never, ("p0",), seconds=1.0), [0])
    (failed,) = report.failed
    assert "had not ended after" in failed.broken["ends"]


async def _always_wrong(on: Simulated) -> int:
    return 1


def no_one(evidence: Evidence[int]) -> str | None:
    return "it is one" if evidence.result == 1 else None


def test_what_does_not_hold_without_faults_is_refused() -> None:
    with pytest.raises(UsageError, match="without any fault 'no one' does not hold: it is one"):
        explore(Scenario(_always_wrong, ("p0",), (no_one,)), range(3))


def says_yes(evidence: Evidence[int]) -> str | None:
    return cast("str", True)  # as who asserts would write it


def looks_for_more(evidence: Evidence[int]) -> str | None:
    raise KeyError("total")


def test_an_invariant_that_does_not_judge_is_told_of() -> None:
    with pytest.raises(UsageError, match="the invariant 'says yes' returned True; return None"):
        replay(Scenario(_always_wrong, ("p0",), (says_yes,)), FaultPlan())
    sentence = "'looks for more' does not hold: it could not be judged: KeyError: 'total'"
    with pytest.raises(UsageError, match=sentence):
        replay(Scenario(_always_wrong, ("p0",), (looks_for_more,)), FaultPlan())


elsewhere = replace(counter.right, nodes=("p9",), kinds=("kill",))


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_schedule_for_a_process_that_does_not_exist_is_refused_and_no_failure(jobs: int) -> None:
    def played() -> None:
        if jobs == 1:
            replay(counter.right, FaultPlan(Kill("p9", 1.0)))
        else:
            explore("tests.actors.test_chaos:elsewhere", range(3), jobs=jobs)

    with pytest.raises(UsageError, match=r"names process 'p9', which does not exist; there are "):
        played()


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        ("tests.actors.test_chaos:nothing", "nothing"),
        ("tests.actors.test_chaos:NODES", "is a tuple; name a Scenario"),
    ],
)
def test_a_scenario_that_is_not_there_is_refused_in_a_sentence(
    reference: str, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        explore(reference, range(2), jobs=1)


# -- what is looked at -----------------------------------------------------------------------------


_kept: list[object] = []


async def _leaves(on: Simulated) -> None:
    async with counter.declared(counter.Replica).start(on=on) as live:
        if on.faults:
            _kept.append(live.system)


async def _forgets(on: Simulated) -> None:
    if on.faults:
        _forgotten.append(asyncio.create_task(asyncio.Event().wait()))


_forgotten: list[asyncio.Task[bool]] = []


def test_a_task_that_outlives_its_play_is_told_though_its_loop_ends_it() -> None:
    report = explore(Scenario(_forgets, ("p0",), seconds=1.0), [0])
    _forgotten.clear()
    (failed,) = report.failed
    assert failed.broken["nothing is left"] == "after the end there are still 1 Task"


def test_what_is_left_behind_is_told() -> None:
    try:
        report = explore(Scenario(_leaves, counter.PROCESSES, on=Simulated(3)), [0])
    finally:
        _kept.clear()
    (failed,) = report.failed
    assert "ActorSystem" in failed.broken["nothing is left"]


_opened: list[int] = []
_weights: list[Weights] = []


async def _opens(on: Simulated) -> None:
    if on.faults:
        _opened.append(os.dup(0))
        _weights.append(Weights.of({"w": np.zeros(1, dtype=np.float32)}))


def test_files_and_weights_that_are_left_behind_are_told() -> None:
    try:
        report = explore(Scenario(_opens, ("p0",), seconds=1.0), [0])
    finally:
        for descriptor in _opened:
            os.close(descriptor)
        _opened.clear()
        _weights.clear()
    (failed,) = report.failed
    found = failed.broken["nothing is left"]
    assert "descriptor" in found
    assert "Weights" in found


_held = threading.Event()


async def _waits_in_a_thread(on: Simulated) -> None:
    if on.faults:
        threading.Thread(target=_held.wait).start()


def test_a_thread_that_is_left_behind_is_told() -> None:
    try:
        report = explore(Scenario(_waits_in_a_thread, ("p0",), seconds=1.0), [0])
    finally:
        _held.set()
    (failed,) = report.failed
    assert "1 thread" in failed.broken["nothing is left"]


def test_an_ask_that_ends_late_and_a_message_that_vanishes_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from actors.asks import Asks
    from actors.faults.links import FaultyLinks

    def forgets(self: Asks, *args: object) -> None:
        """The timer of the deadlines is lost."""

    monkeypatch.setattr(Asks, "_arm", forgets)
    plan = FaultPlan(Drop(p=0.5, message="Have"), seed=5, until=3.0)
    _, broken = replay(counter.right, plan)
    assert "asks end" in broken
    monkeypatch.undo()

    deliver = FaultyLinks.deliver

    def loses(self: FaultyLinks, source: str, parcel: object, *rest: object) -> None:
        pair = self._pairs.get(source)
        if pair is None or pair.number != 3:
            deliver(self, source, parcel, *rest)  # type: ignore[arg-type]
        else:
            pair.number += 1

    monkeypatch.setattr(FaultyLinks, "deliver", loses)
    _, broken = replay(counter.right, FaultPlan(Drop(p=1e-9), seed=5, until=1.0))
    assert "messages are accounted for" in broken


def test_looking_on_changes_no_trace() -> None:
    on = Simulated(3, faults=FaultPlan(Drop(0.1), Duplicate(0.1), until=2.0))

    async def main() -> str:
        simulation = Simulation(on)
        graph = counter.declared(counter.Replica)
        with simulation.running():
            async with graph.start(on=on, world=simulation.world(graph.name)) as live:
                await counter.replicate(live["replica0"])
        return simulation.trace.hexdigest()

    alone = run(main(), on=on)
    with Looking().on():
        looked_at = run(main(), on=on)
    assert looked_at == alone


def test_the_example_prints_what_chaos_found() -> None:
    done = subprocess.run(
        [sys.executable, "counter.py"], cwd=ROOT / "examples/replicated_counter",
        capture_output=True, text=True, timeout=60, check=True,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert "right: 50 schedules, 0 failed" in done.stdout
    assert "[[fault]]" in done.stdout
