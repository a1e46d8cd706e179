"""Fault schedules from the generator of ``actorfl chaos``, on real processes and real sockets."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec
import pytest

import actors
from actorfl import Result, Run
from actorfl.chaos import laws
from actorfl.chaos.scenario import last_end, read, scenario_of
from actorfl.execute import running
from actorfl.witness import Act
from actors import Churn, CrashPoint, Duplicate, FaultPlan, Freeze, Kill, Processes
from actors.testing.chaos import KINDS, generate
from tests.faults.runs import alive, pids
from tests.faults.witnesses import ACTS

pytestmark = pytest.mark.timeout(120)

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "examples/digits/run.toml"
RUN, CHAOS = read(DIGITS, [f"algorithm={ROOT / 'tests/faults/witnesses.py'}:Witnessed"])
SCENARIO = scenario_of(RUN, CHAOS)

#: A write that a crash tears is a matter of simulated disks; ``Processes`` refuses it.
POSSIBLE = tuple(kind for kind in KINDS if kind != "torn")
#: How long a run may hang before its test gives up waiting; more than any bound that is judged.
HANGS = 100.0
#: Seconds in which what other processes of the machine have in shared memory for a moment is gone;
#: what a run left there would stay.
OTHERS = 15.0


def plan_of(seed: int, seconds: float) -> FaultPlan:
    """The schedule of a seed; its faults begin within so many real seconds."""
    return generate(seed, SCENARIO.nodes, seconds, points=SCENARIO.points, kinds=POSSIBLE)


@dataclass(frozen=True)
class Played:
    """What a run over real processes left."""

    sha256: str
    rounds: int
    restarts: int
    seconds: float
    acts: tuple[Act, ...]
    counts: Counter[str]
    pids: tuple[int, ...]


def play(run: Run, out: Path, plan: FaultPlan | None = None) -> Played:
    acts = out / "acts"
    on = Processes(CHAOS.processes, env={"aggregator": {ACTS: str(acts)}}, faults=plan)

    async def main() -> tuple[Result, float, Counter[str]]:
        begun = time.monotonic()
        async with running(run, on, out=out) as under_way:
            async with asyncio.timeout(HANGS):
                result = await under_way.result()
            seconds = time.monotonic() - begun
            return result, seconds, Counter(result.faults)

    result, seconds, counts = actors.run(main())
    return Played(
        result.sha256, result.rounds, result.restarts, seconds, tuple(acts_in(acts)), counts,
        tuple(pids(result.directory)),
    )  # fmt: skip


def acts_in(file: Path) -> Iterator[Act]:
    for line in file.read_bytes().splitlines():
        yield msgspec.json.decode(line, type=Act)


def shared_memory() -> set[str]:
    """What lies in shared memory; simulated runs of other tests keep their directories there."""
    names = {path.name for path in Path("/dev/shm").iterdir()}
    return {name for name in names if not name.startswith("chaos-")}


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the sockets of a run lie, and nothing else; its path is short enough for them."""
    with tempfile.TemporaryDirectory(prefix="rc-") as directory:
        monkeypatch.setenv("TMPDIR", directory)
        monkeypatch.setattr(tempfile, "tempdir", directory)
        yield Path(directory)
        monkeypatch.undo()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The run that the others are held against."""
    return play(RUN, tmp_path_factory.mktemp("undisturbed"))


def judge(
    seed: int, undisturbed: Played, sockets: Path, out: Path, length: float | None = None
) -> Played:
    """Play the schedule of a seed; threads, children and descriptors are judged by conftest.

    Its faults are spread over so many seconds, those of the undisturbed run unless told otherwise.
    """
    plan = plan_of(seed, undisturbed.seconds if length is None else length)
    before = shared_memory()
    played = play(RUN, out, plan)
    names = RUN.topology.names
    assert laws.same_bits(played.sha256, undisturbed.sha256) is None
    assert laws.each_part_is_merged_once(played.acts, names, played.rounds) is None
    assert laws.nothing_is_merged_after_its_fence(played.acts) is None
    given = RUN.supervision
    limit = laws.longest(
        undisturbed.seconds, last_end(plan), played.restarts, crashes=len(plan.of(CrashPoint)),
        backoff=given.backoff, backoff_max=given.backoff_max,
    )  # fmt: skip
    assert played.seconds <= limit, plan.to_toml()
    assert [pid for pid in played.pids if alive(pid)] == []
    assert list(sockets.iterdir()) == []
    deadline = time.monotonic() + OTHERS
    while (left := shared_memory() - before) and time.monotonic() < deadline:
        time.sleep(0.05)  # a poll under a limit
    assert left == set()
    return played


def test_the_acts_of_a_real_aggregator_are_seen(undisturbed: Played) -> None:
    assert undisturbed.restarts == 0
    kinds = Counter(act.kind for act in undisturbed.acts)
    assert (kinds["merged"], kinds["closed"]) == (8 * CHAOS.rounds, CHAOS.rounds)


MANY = range(20)
#: Of so many schedules a few are as is asked for below.
SEARCHED = range(40_000)


def quick(victim: str) -> int:
    """The first seed whose few faults hit a run in its middle.

    A kill of the victim, a frozen process, and messages that come twice, for so long that some
    surely do. Crash points would make it longer.
    """

    for seed in SEARCHED:
        plan = plan_of(seed, 6.0)
        kills, freezes = plan.of(Kill), plan.of(Freeze)
        moments = [*(kill.at for kill in kills), *(freeze.at for freeze in freezes)]
        if (
            len(plan) <= 7
            and kills
            and freezes
            and not plan.of(CrashPoint, Churn)
            and all(fnmatchcase(kill.node, victim) for kill in kills)
            and not {kill.node for kill in kills} & {freeze.node for freeze in freezes}
            and all(2.0 < moment < 5.0 for moment in moments)
            and any(_is_felt(double) for double in plan.of(Duplicate))
        ):
            return seed
    raise LookupError(victim)


def _is_felt(double: Duplicate) -> bool:
    assert double.before is not None
    often = double.p > 0.2 and double.before - double.after > 2.0
    return often and double.source != "evaluator"  # which says little


@pytest.mark.timeout(180)
@pytest.mark.parametrize("victim", ["aggregator", "p?"])
def test_a_kill_a_freeze_and_bad_links_change_no_bit_of_a_real_run(
    victim: str, undisturbed: Played, sockets: Path, tmp_path: Path
) -> None:
    length = undisturbed.seconds
    for trial in range(3):
        played = judge(quick(victim), undisturbed, sockets, tmp_path / str(trial), length)
        if played.restarts:
            break
        # The machine was busier with the undisturbed run, so this was over before the faults came.
        assert played.seconds < length
        length = played.seconds
    assert played.restarts >= 1
    assert min(played.counts[kind] for kind in ("kill", "freeze", "duplicate")) > 0, played.counts


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", MANY)
def test_no_schedule_changes_a_bit_of_a_real_run(
    seed: int, undisturbed: Played, sockets: Path, tmp_path: Path
) -> None:
    judge(seed, undisturbed, sockets, tmp_path)


def test_the_schedules_hold_every_kind_that_real_processes_can_suffer() -> None:
    kinds = {type(fault) for seed in MANY for fault in plan_of(seed, 6.0).faults}
    assert {kind.__struct_config__.tag for kind in kinds} == set(POSSIBLE)
