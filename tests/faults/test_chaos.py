"""``actorfl chaos``: what it judges, what it finds, what it prints; and the digits under it."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from actorfl import memo
from actorfl.algorithm import Algorithm
from actorfl.algorithms.fedavg import FedAvg
from actorfl.chaos import command, laws
from actorfl.chaos.command import MOST_GROWTH
from actorfl.chaos.scenario import read, scenario_of, shortened
from actorfl.chaos.settings import Chaos
from actorfl.cli import app
from actorfl.errors import ConfigError
from actorfl.exitcodes import ExitCode
from actorfl.memo import Impure, Memo
from actorfl.merging import Merger
from actorfl.roster import Phase, Verdict
from actorfl.rounds import Rounds
from actorfl.stopping import handlers_kept, terminable
from actorfl.until import Rounds as Until
from actorfl.witness import Act
from actors import Corrupt, CrashPoint, Drop, Duplicate, FaultPlan
from actors.testing.chaos import KINDS, Failed, explore, replay
from tests.faults.runs import small
from tests.faults.tasks import Tally

pytestmark = pytest.mark.timeout(120)

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "examples/digits/run.toml"
SMALL = f"""
task = {{ kind = "{ROOT / "tests/faults/tasks.py"}:Blobs" }}
topology = {{ kind = "star", workers = 4 }}
algorithm = "fedavg"
local = {{ kind = "sgd", lr = 0.1, batch = 8, epochs = 1 }}
until = {{ rounds = 20 }}
name = "small"

[chaos]
rounds = 2
"""


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    file = tmp_path / "run.toml"
    file.write_text(SMALL)
    return file


# -- the laws --------------------------------------------------------------------------------------


def acts(text: str) -> list[Act]:
    """``o0 ma0 mb0 c0ab s0``: opened, merged, closed, saved; ``1:`` before it is who."""
    found = []
    for word in text.split():
        by, _, what = word.rpartition(":")
        kind = {"h": "heard", "o": "opened", "m": "merged", "c": "closed", "s": "saved"}[what[0]]
        match = re.fullmatch(r"([ab]?)(\d)([ab]*)", what[1:])
        assert match is not None
        worker, number, workers = match.groups()
        incarnation = int(number) if kind == "heard" else 0
        clock = 0 if kind == "heard" else int(number)
        found.append(Act(kind, int(by or 0), clock, worker, incarnation, tuple(workers)))  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize(
    "text",
    [
        "o0 ma0 mb0 c0ab s0 o1 mb1 ma1 c1ab s1",
        # Anew on a wider grid, and restarted before the clock was durable.
        "o0 ma0 o0 mb0 ma0 c0ab 1:o0 1:mb0 1:ma0 1:c0ab 1:s0 1:o1 1:ma1 1:mb1 1:c1ab 1:s1",
    ],
)
def test_parts_that_are_merged_once_are_fine(text: str) -> None:
    assert laws.each_part_is_merged_once(acts(text), "ab", 2) is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("o0 ma0 ma0", "a was merged twice into clock 0"),
        ("o0 ma1", "a was merged into clock 1, which was not open"),
        ("o0 ma0 c0a", "clock 0 was closed with a"),
        ("o0 ma0 mb0 c0ab s0 o1 ma1 mb1 c1ab s1 1:o0", "clock 0 was opened after clock 1"),
        ("o0 ma0 mb0 c0ab s0", "clock 1 was never closed"),
    ],
)
def test_parts_that_are_not_merged_once_are_told(text: str, sentence: str) -> None:
    assert sentence in (laws.each_part_is_merged_once(acts(text), "ab", 2) or "")


def test_what_is_merged_after_its_fence_is_told() -> None:
    assert laws.nothing_is_merged_after_its_fence(acts("ha0 o0 ma0 ha1")) is None
    told = laws.nothing_is_merged_after_its_fence(acts("ha0 o0 ha1 ma0"))
    assert (
        told == "a part of incarnation 0x0 of a was merged into clock 0 after 0x1 had been heard of"
    )
    told = laws.nothing_is_merged_after_its_fence(acts("o0 1:o0 ma0"))
    assert "after incarnation 0x1 had begun" in (told or "")


@pytest.mark.parametrize(
    ("steps", "bound", "holds"),
    [
        ("a0 b0 A0 B0 a1", 0, True),
        ("a0 A0 a1", 0, False),
        ("a0 A0 a1 A1 a2", 2, True),
        ("a0 A0 a1 A1 a2 A2 a3", 2, False),
        ("a0 A0 a1 A1 a2 A2 b0 B0 a3", 2, True),
        ("a0 A0 a1 A1 a2 A2 a3", float("inf"), True),
    ],
)
def test_a_worker_is_never_further_ahead_than_the_bound(
    steps: str, bound: float, holds: bool
) -> None:
    pairs = [
        ("ends" if word[0].isupper() else "starts", word[0].lower(), int(word[1:]))
        for word in steps.split()
    ]
    told = laws.staleness_is_bounded(pairs, "ab", bound)  # type: ignore[arg-type]
    assert (told is None) is holds


def test_a_run_may_take_twice_its_time_and_what_restarts_and_crashes_cost() -> None:
    def most(restarts: int, crashes: int = 0) -> float:
        return laws.longest(3.0, 4.0, restarts, crashes=crashes, backoff=0.5, backoff_max=2.0)

    assert most(0) == 4 + 6 + laws.DETECTION
    assert most(4) == most(0) + 0.5 + 1 + 2 + 2
    assert most(0, crashes=2) == most(0) + 6
    assert most(5000) < 10**5


# -- the memo --------------------------------------------------------------------------------------


def test_a_memo_computes_once_and_checks_now_and_then() -> None:
    calls = []

    def compute() -> dict[str, object]:
        calls.append(1)
        return {"vector": np.arange(3.0), "steps": 2}

    with memo.memoised(Memo(checked=10)) as kept:
        for _ in range(20):
            memo.recalled("fit", compute, "w1", 3, np.ones(2))
        memo.recalled("fit", compute, "w1", 3, np.ones(3))
    assert memo.recalled("fit", compute, "w1") is not None
    assert not memo.active()
    statistics = kept.statistics()
    assert (statistics.kept, statistics.computed, statistics.taken) == (2, 2, 19)
    assert (statistics.checked, len(calls)) == (1, 4)


def test_a_function_that_is_not_pure_is_found() -> None:
    with memo.memoised(Memo(checked=2)):
        drawn = iter(range(10))
        memo.recalled("fit", lambda: next(drawn), 1)
        memo.recalled("fit", lambda: next(drawn), 1)
        with pytest.raises(Impure, match="gave other bits for the same input"):
            memo.recalled("fit", lambda: next(drawn), 1)
    with memo.memoised(Memo()):
        array = memo.recalled("fit", lambda: np.zeros(2), 1)
        array += 1
        with pytest.raises(Impure, match="was changed in place"):
            memo.recalled("fit", lambda: np.zeros(2), 1)


# -- what it finds ---------------------------------------------------------------------------------


def test_a_part_that_is_merged_twice_is_found_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    put = Rounds.put

    def again(self: Rounds, worker: str, incarnation: int, clock: int, version: int) -> Verdict:
        if clock == self.clock and self.phase is Phase.OPEN:
            self.arrived.discard(worker)
        return put(self, worker, incarnation, clock, version)

    scenario = scenario_of(shortened(small(), Chaos(rounds=2)), Chaos(rounds=2))
    plan = FaultPlan(Duplicate(p=0.5, message="Put"), seed=1, until=3.0)
    assert replay(scenario, plan)[1] == {}
    with monkeypatch.context() as planted:
        planted.setattr(Rounds, "put", again)
        planted.setattr(Merger, "_check_contributions", lambda *_: None)
        _, broken = replay(scenario, plan)
    assert "merged twice into clock 0" in broken["each part is merged once"]
    assert "undisturbed it is" in broken["same bits"]


@pytest.mark.parametrize("algorithm", [FedAvg(), Tally()], ids=["none", "some"])
def test_each_point_that_is_drawn_is_reached_and_survived(algorithm: Algorithm) -> None:
    """Also those of workers that keep something."""
    run = small(algorithm=algorithm)
    scenario = scenario_of(shortened(run, Chaos(rounds=2)), Chaos(rounds=2))
    phases = {"storage.begin", "storage.part", "storage.write", "storage.placed"}
    assert phases < scenario.points.keys()
    assert ("worker.saved" in scenario.points) == isinstance(algorithm, Tally)
    # One after the other: each start of a process dies at the next of its points.
    starts: Counter[str] = Counter()
    points = []
    for point, nodes in scenario.points.items():
        for node in {nodes[0]: None, nodes[-1]: None}:
            points.append(CrashPoint(point, "sigkill", start=starts[node], node=node))
            starts[node] += 1
    evidence, broken = replay(scenario, FaultPlan(*points, seed=1))
    assert (evidence.faults, broken) == ({"crash": len(points)}, {})


def test_what_is_damaged_breaks_nothing_that_must_hold() -> None:
    scenario = scenario_of(shortened(small(), Chaos(rounds=2)), Chaos(rounds=2))
    evidence, broken = replay(scenario, FaultPlan(Corrupt(0.1), seed=1, until=5.0))
    assert broken == {}
    assert evidence.faults["corrupt"] > 3
    assert any(": corrupt of " in line for line in evidence.story)


# -- the command -----------------------------------------------------------------------------------


def test_the_command_of_the_page_ends_with_one_object(tmp_path: Path) -> None:
    (command,) = re.findall(
        r"```sh\nactorfl (.*)\n```", (ROOT / "docs/chaos.md").read_text(), re.MULTILINE
    )
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    done = subprocess.run(
        [sys.executable, "-m", "actorfl", *shlex.split(command), "--set", "chaos.rounds=2",
         "--set", "local.epochs=1", "--first", "3", "--json"],
        capture_output=True, text=True, timeout=100, cwd=tmp_path, check=True,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    told = json.loads(done.stdout)
    assert list(told) == ["seeds", "failed", "seconds", "faults", "kills", "restarts", "digests"]
    assert (told["seeds"], told["failed"], told["digests"]) == (10, [], 10)
    assert told["faults"].keys() <= {*KINDS, "out_of_order"}
    assert "10/10 played, 0 failed" in done.stderr
    assert "everything held under every schedule" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_failed_seed_is_shortened_told_and_replayed_by_its_command(
    toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A limit that any fault breaks, set by the file of the task that each process loads.
    task = tmp_path / "impatient.py"
    task.write_text(
        "from dataclasses import dataclass\n"
        "from actorfl.chaos import laws\n"
        "from tests.faults.tasks import Blobs\n"
        "laws.DETECTION = -1000.0\n"
        "@dataclass(frozen=True)\n"
        "class Impatient(Blobs):\n"
        "    pass\n"
    )
    toml.write_text(re.sub(r'kind = "[^"]*:Blobs"', f'kind = "{task}:Impatient"', SMALL))
    detection = laws.DETECTION
    monkeypatch.chdir(tmp_path)
    try:
        runner = CliRunner()
        result = runner.invoke(
            app, ["chaos", str(toml), "--seeds", "1", "--first", "7", "--jobs", "1"]
        )
        assert result.exit_code == ExitCode.BROKEN
        assert "1 failed: seed 7" in result.stdout
        assert "it ends in time" in result.stderr
        assert "[[fault]]" in result.stderr
        command = re.search(r"play it again: actorfl (.*)", result.stderr)
        assert command is not None
        again = runner.invoke(app, [*shlex.split(command[1]), "--json"])
        assert again.exit_code == ExitCode.BROKEN
        told = json.loads(again.stdout)
        assert told["same"] is True
        assert told["digest"] in Path("runs/chaos-7.toml").read_text()
        assert list(told["broken"]) == ["it ends in time"]
    finally:
        laws.DETECTION = detection


@pytest.mark.parametrize(
    ("section", "sentence", "code"),
    [
        ("rounds = 0", "rounds of chaos", ExitCode.WRONG_VALUE),
        ("rouds = 2", "rouds", ExitCode.UNKNOWN_KEY),
        ('rounds = "two"', "chaos.rounds", ExitCode.WRONG_VALUE),
    ],
)
def test_a_section_that_cannot_be_is_refused_by_every_command(
    section: str, sentence: str, code: ExitCode, tmp_path: Path
) -> None:
    file = tmp_path / "run.toml"
    file.write_text(SMALL.replace("rounds = 2\n", f"{section}\n"))
    for words in (["chaos", str(file)], ["run", str(file), "--out", str(tmp_path / "runs")]):
        result = CliRunner().invoke(app, words)
        assert result.exit_code == code, result.stderr
        assert sentence in result.stderr


def test_a_run_is_shortened_and_its_budget_never_exhausted(toml: Path) -> None:
    run, chaos = read(toml, ["chaos.processes=3", "seed=5"])
    assert (run.until, chaos.processes, run.seed) == (Until(2), 3, 5)
    assert run.supervision.intensity >= 1000
    with pytest.raises(ConfigError):
        read(toml, ["chaos=3"])


def test_a_schedule_that_is_none_is_refused(toml: Path, tmp_path: Path) -> None:
    schedule = tmp_path / "schedule.toml"
    schedule.write_text("[[fault]]\nkind = 'dorp'\n")
    words = ["chaos", str(toml), "--replay"]
    result = CliRunner().invoke(app, [*words, str(schedule)])
    assert result.exit_code == ExitCode.CONFIG
    assert f"{schedule}: fault 1 of the plan is of no kind: 'dorp'; did you mean" in result.stderr
    result = CliRunner().invoke(app, [*words, str(tmp_path / "nothing.toml")])
    assert result.exit_code == ExitCode.MISSING_FILE


def test_schedules_that_could_not_be_left_anywhere_are_refused_before_any_is_played(
    toml: Path,
) -> None:
    result = CliRunner().invoke(app, ["chaos", str(toml), "--out", str(toml / "below")])
    assert result.exit_code == ExitCode.RUN_DIRECTORY
    assert result.stderr.startswith(f"actorfl: cannot write schedules to {toml}: ")


def test_what_does_not_hold_may_have_many_lines_and_its_schedule_is_read_even_so(
    tmp_path: Path,
) -> None:
    plan = FaultPlan(Drop(0.5), seed=7)
    broken = {"ends": "it raised ValueError: one\nkind = 2\x00\x1b[0m\r# trace none\x85three"}
    failed = Failed(
        seed=7, broken=broken, plan=plan.to_toml(), faults=1, drawn=1, plays=1, digest="abc"
    )
    file = command.written(failed, tmp_path)
    assert FaultPlan.from_file(file) == plan
    assert command._digest_in(file) == "abc"


@pytest.mark.parametrize("trace", ["ab" * 32, "version 1 abc", ""])
def test_a_schedule_with_a_trace_of_another_version_is_refused(
    toml: Path, tmp_path: Path, trace: str
) -> None:
    file = tmp_path / "chaos-7.toml"
    file.write_text(f"# trace {trace}\n{FaultPlan(Drop(0.5), seed=7).to_toml()}")
    result = CliRunner().invoke(app, ["chaos", str(toml), "--replay", str(file)])
    assert result.exit_code == ExitCode.CONFIG
    assert "names a trace of another version than 3" in result.stderr
    assert "remove its line '# trace " in result.stderr


def test_a_seed_that_no_plan_can_have_is_refused(toml: Path) -> None:
    result = CliRunner().invoke(
        app, ["chaos", str(toml), "--first", str(2**63 - 1), "--seeds", "2"]
    )
    assert result.exit_code == ExitCode.CONFIG
    assert f"seed {2**63} of a schedule takes more than 64 bits" in result.stderr


def test_sigterm_ends_a_command_as_ctrl_c_does() -> None:
    with handlers_kept(signal.SIGTERM):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # else it is somebody else's business
        with pytest.raises(KeyboardInterrupt), terminable():
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


# -- digits ----------------------------------------------------------------------------------------


def digits(seeds: int) -> None:
    report = explore(
        "actorfl.chaos.scenario:scenario", range(seeds), arguments=(str(DIGITS),), jobs=2
    )
    assert not report.failed, report.failed[0]
    assert report.seeds == seeds
    assert report.digests >= 0.9 * seeds
    if seeds >= 1000:
        assert report.seconds < 600
        assert min(report.faults.get(kind, 0) for kind in KINDS) >= seeds / 20
        assert report.growth < MOST_GROWTH


def test_50_schedules_change_no_bit_of_the_digits() -> None:
    digits(50)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_1000_schedules_change_no_bit_of_the_digits() -> None:
    digits(1000)
