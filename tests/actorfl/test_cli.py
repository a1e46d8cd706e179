"""The command line: what it refuses, in one line and with which code, and what it prints."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from actorfl import Result as RunResult
from actorfl import cli, saying
from actorfl.exitcodes import ExitCode
from actorfl.run import Run
from actorfl.rundir import RunDirectory
from actors import Drop, FaultPlan, Kill
from actors.deploy import Inline, Processes, Simulated
from tests.faults.runs import learned

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "examples" / "digits" / "run.toml"


def actorfl(*arguments: str | Path) -> Result:
    words = cli.bare_resume([str(argument) for argument in arguments])
    return CliRunner().invoke(cli.app, words, prog_name="actorfl")


def process(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "actorfl", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)


def started(directory: Path) -> Path:
    """What a run that was killed at once leaves, as far as it is looked at."""
    directory.mkdir(exist_ok=True)
    (directory / "configuration.json").touch()
    (directory / "run.toml").touch()
    return directory


def assert_refused(result: Result, code: ExitCode, *words: str) -> None:
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("actorfl: ")
    assert result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--set", "sede=1"], ExitCode.UNKNOWN_KEY, ["`sede`", "did you mean `seed`?"]),
        (["--set", "until.rouns=1"], ExitCode.UNKNOWN_KEY, ["`rouns` in `until`", "`rounds`"]),
        (["--set", "topology.kind=sta"], ExitCode.UNKNOWN_KEY, ["did you mean `star`?"]),
        (["--set", "task=nowhere.py:Spam"], ExitCode.CODE_IMPORT, ["there is no file"]),
        (["--set", "task=json:Nope"], ExitCode.CODE_IMPORT, ["json has no 'Nope'"]),
        (["--set", "topology.workers=0"], ExitCode.WRONG_VALUE, ["`workers` of Star", "got 0"]),
        (["--set", "seed=x"], ExitCode.WRONG_VALUE, ["`seed` of --set: expected int, got str 'x'"]),
        (["--set", "seed"], ExitCode.CONFIG, ["expected KEY=VALUE"]),
    ],
)
def test_a_configuration_is_refused_in_one_line_with_a_code_of_its_own(
    tmp_path: Path, arguments: list[str], code: ExitCode, words: list[str]
) -> None:
    result = actorfl("run", DIGITS, "--out", tmp_path / "runs", *arguments)
    assert_refused(result, code, *words)
    assert not (tmp_path / "runs").exists()


def test_a_missing_file_is_refused_in_one_line(tmp_path: Path) -> None:
    result = actorfl("run", tmp_path / "nowhere.toml")
    assert_refused(result, ExitCode.MISSING_FILE, "nowhere.toml: no such file")


def test_a_task_that_raises_is_refused_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "spam.py").write_text("x = 1\n1 / 0\n")
    (tmp_path / "run.toml").write_text(DIGITS.read_text().replace('"digits"', '"spam.py:Spam"'))
    result = actorfl("run", tmp_path / "run.toml")
    assert_refused(result, ExitCode.CODE_IMPORT, "line 2: ZeroDivisionError: division by zero")


def test_a_run_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = actorfl("run", DIGITS, "--out", tmp_path / "file")
    assert_refused(result, ExitCode.RUN_DIRECTORY, "cannot make a run directory", "--out")


def test_a_run_directory_in_use_is_refused_with_the_process(tmp_path: Path) -> None:
    with RunDirectory.create(tmp_path, "digits") as directory:
        directory.begin(Run.from_toml(DIGITS))
        result = actorfl("run", DIGITS, "--resume", directory.path)
        assert_refused(result, ExitCode.RUN_IN_USE, "in use by process")


@pytest.mark.parametrize("resume", [["--resume"], ["--resume", "nowhere"]])
def test_there_is_nothing_to_resume_where_nothing_was_started(
    tmp_path: Path, resume: list[str]
) -> None:
    result = actorfl("run", DIGITS, "--out", tmp_path, *resume)
    assert_refused(result, ExitCode.NOTHING_TO_RESUME, "nothing to resume in")


def test_another_configuration_is_not_resumed(tmp_path: Path) -> None:
    with RunDirectory.create(tmp_path, "digits") as directory:
        directory.begin(Run.from_toml(DIGITS))
    result = actorfl("run", DIGITS, "--out", tmp_path, "--resume", "--set", "local.lr=0.2")
    assert_refused(result, ExitCode.DIFFERENT_CONFIGURATION, "`local.lr` was 0.1 and is 0.2")


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["run", str(DIGITS), "--deploy", "processes=0"],
        ["run", str(DIGITS), "--deploy", "processes=9999999999"],
        ["run", str(DIGITS), "--deploy", "cloud"],
        ["run", str(DIGITS), "--no-such-option"],
        ["nothing"],
    ],
)
def test_a_command_line_that_is_not_understood_ends_with_2(arguments: list[str]) -> None:
    assert actorfl(*arguments).exit_code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("deploy", "plan", "code", "words"),
    [
        ("inline", "", ExitCode.USAGE, "nothing can go wrong in one process; give --deploy"),
        ("simulated=2", None, ExitCode.MISSING_FILE, "plan.toml: no such file"),
        ("simulated=2", "=", ExitCode.CONFIG, "plan.toml: the fault plan is no TOML"),
        ("simulated=2", "[[fault]]\nkind = 'drop'\np = 2.0", ExitCode.CONFIG, "<= 1.0 - at `p`"),
        ("processes=2", "[[fault]]\nkind = 'torn'", ExitCode.CONFIG, "simulated disks alone"),
    ],
)
def test_a_fault_plan_that_cannot_be_or_cannot_be_carried_out_is_refused(
    deploy: str, plan: str | None, code: ExitCode, words: str, tmp_path: Path
) -> None:
    file = tmp_path / "plan.toml"
    if plan is not None:
        file.write_text(plan)
    result = actorfl("run", DIGITS, "--out", tmp_path, "--deploy", deploy, "--faults", file)
    if code is ExitCode.USAGE:
        assert result.exit_code == code
        assert words in " ".join(re.sub("[│╭╮╰╯─]", " ", result.stderr).split())
    else:
        assert_refused(result, code, words)
    assert list(tmp_path.glob("digits-*")) == []


@pytest.mark.parametrize("deploy", ["simulated=2", "processes=3,spare=1"])
def test_a_fault_plan_of_the_command_line_is_that_of_the_deployment(
    deploy: str, tmp_path: Path
) -> None:
    plan = FaultPlan(Kill("p0", 1.0), Drop(0.1), seed=3, until=9.0)
    (tmp_path / "plan.toml").write_text(plan.to_toml())
    given = cli.parse_deployment(deploy)
    assert not isinstance(given, Inline)
    assert cli.disturbed(given, tmp_path / "plan.toml") == replace(given, faults=plan)


def test_a_run_under_a_fault_plan_ends_with_the_same_model(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(
        FaultPlan(Kill("p0", 1.0), Drop(0.05), until=20.0).to_toml()
    )
    command = ("run", DIGITS, "--set", "until.rounds=2", "--json", "--deploy", "simulated=2")
    calm = process(*command, "--out", tmp_path / "calm")
    wild = process(*command, "--out", tmp_path / "wild", "--faults", tmp_path / "plan.toml")
    assert (calm.returncode, wild.returncode) == (0, 0), wild.stderr
    calm_end, wild_end = (json.loads(ended.stdout) for ended in (calm, wild))
    assert wild_end["sha256"] == calm_end["sha256"]
    assert (calm_end["restarts"], wild_end["restarts"] > 0) == (0, True)


def test_a_traceback_is_shown_on_demand_only() -> None:
    quiet = actorfl("run", "nowhere.toml")
    loud = actorfl("run", "nowhere.toml", "--debug")
    assert "Traceback" not in quiet.stderr
    assert "Traceback (most recent call last)" in loud.stderr
    assert loud.stderr.endswith(quiet.stderr)
    assert loud.exit_code == quiet.exit_code


def test_the_process_itself_ends_with_the_code_and_leaves_the_line_on_standard_error() -> None:
    ended = process("run", "nowhere.toml")
    assert ended.returncode == ExitCode.MISSING_FILE
    assert ended.stdout == ""
    assert ended.stderr.startswith("actorfl: cannot read nowhere.toml")


# --- runs -----------------------------------------------------------------------------------------


def test_a_run_ends_with_one_line_of_json_and_leaves_one_directory(tmp_path: Path) -> None:
    ended = process("run", DIGITS, "--set", "until.rounds=2", "--json", "--out", tmp_path / "runs")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("\n") == 1
    result = json.loads(ended.stdout)
    assert list(result) == ["accuracy", "sha256", "rounds", "restarts", "run"]
    assert result["accuracy"] > 0.5
    assert re.fullmatch("[0-9a-f]{64}", result["sha256"])
    assert (result["rounds"], result["restarts"]) == (2, 0)
    directory = Path(result["run"])
    assert directory == tmp_path / "runs" / "digits-1"
    left = {file.name for file in directory.iterdir()}
    assert left >= {"run.toml", "metrics.jsonl", "snapshots", "model.safetensors", "result.json"}
    live = [line for line in ended.stderr.splitlines() if line.startswith("round")]
    assert [line[:24] for line in live] == ["round    1  accuracy 0.8", "round    2  accuracy 0.9"]
    # Restarts are counted by the launcher: they are no part of the metrics.
    shown = actorfl("show", directory).stdout.splitlines()[1:]
    assert shown == [line.replace("  restarts 0", "") for line in live]
    assert len((directory / "metrics.jsonl").read_text().splitlines()) == 2


def test_several_seeds_end_with_their_mean_and_leave_a_directory_each(tmp_path: Path) -> None:
    command = ("run", DIGITS, "--set", "until.rounds=1", "--out", tmp_path, "--seeds", "2")
    people = actorfl(*command)
    assert people.exit_code == 0, people.output
    *_, last = people.stdout.splitlines()
    assert re.fullmatch(r"accuracy 0\.\d{4} ± 0\.\d{4}, loss .* over 2 seeds", last)
    assert people.stdout.count("after 1 round, 0 restarts") == 2
    script = actorfl(*command, "--json")
    told = json.loads(script.stdout)
    assert last.startswith(f"accuracy {told['accuracy']:.4f} ± {told['sd']:.4f}")
    assert told["seeds"] == [0, 1]
    assert [Path(one["run"]).name for one in told["runs"]] == ["digits-3", "digits-4"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--seeds", "0"], ExitCode.WRONG_VALUE),
        (["--seeds", "2", "--resume", "x"], ExitCode.USAGE),
    ],
)
def test_seeds_that_cannot_be_are_refused(
    arguments: list[str], code: ExitCode, tmp_path: Path
) -> None:
    assert actorfl("run", DIGITS, "--out", tmp_path / "runs", *arguments).exit_code == code
    assert not (tmp_path / "runs").exists()


def test_what_a_task_prints_does_not_come_before_the_line_of_json(tmp_path: Path) -> None:
    blobs = ROOT / "examples" / "blobs"
    code = (blobs / "blobs.py").read_text()
    code = code.replace(
        "        return F.cross", "        print('training')\n        return F.cross"
    )
    (tmp_path / "blobs.py").write_text(code + "\n\nprint('imported')\n")
    (tmp_path / "run.toml").write_text((blobs / "run.toml").read_text())
    arguments: list[str | Path] = [
        "run",
        tmp_path / "run.toml",
        "--set",
        "until.rounds=1",
        "--out",
        tmp_path,
    ]
    ended = process(*arguments, "--json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["rounds"] == 1
    assert {"training", "imported"} <= set(ended.stderr.splitlines())
    assert {"training", "imported"} <= set(process(*arguments).stdout.splitlines())


def test_a_run_that_is_resumed_with_a_later_end_is_the_run_that_had_it_at_once(
    tmp_path: Path,
) -> None:
    def run(*arguments: str) -> dict[str, Any]:
        result = actorfl("run", DIGITS, "--json", "--out", tmp_path, *arguments)
        assert result.exit_code == 0, result.output
        read = json.loads(result.stdout)
        assert isinstance(read, dict)
        return read

    at_once = run("--set", "until.rounds=3")
    first = run("--set", "until.rounds=1")
    resumed = run("--set", "until.rounds=3", "--resume")
    assert resumed["run"] == first["run"] != at_once["run"]
    assert resumed["sha256"] == at_once["sha256"] != first["sha256"]
    assert learned(Path(resumed["run"])) == learned(Path(at_once["run"]))


# --- parts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["--resume"], ["--resume=latest"]),
        (["--resume", "--json"], ["--resume=latest", "--json"]),
        (["--resume", "x.toml"], ["--resume=latest", "x.toml"]),
        (["--resume", str(DIGITS)], ["--resume=latest", str(DIGITS)]),
        (["--resume", "runs/digits-1"], ["--resume", "runs/digits-1"]),
        (["--resume=runs/digits-1", "x.toml"], ["--resume=runs/digits-1", "x.toml"]),
    ],
)
def test_a_resume_that_no_directory_follows_means_the_newest(
    words: list[str], completed: list[str]
) -> None:
    assert cli.bare_resume(words) == completed


@pytest.mark.parametrize(
    ("text", "deployment"),
    [
        ("inline", Inline()),
        ("processes=4", Processes(4)),
        ("processes=4,spare=1", Processes(4, spare=1)),
        ("simulated=4,spare=2", Simulated(4, spare=2)),
    ],
)
def test_a_deployment_is_named_by_one_word(text: str, deployment: object) -> None:
    assert cli.parse_deployment(text) == deployment


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("processes=0", "expected 'inline'"),
        ("processes=4,spare", "expected 'inline'"),
        ("processes=4,spares=1", "expected 'inline'"),
        ("inline,spare=1", "expected 'inline'"),
        ("processes=2,spare=3", "give from 0 to 2"),
    ],
)
def test_another_word_is_refused_with_what_is_expected(text: str, words: str) -> None:
    with pytest.raises(typer.BadParameter, match=words):
        cli.parse_deployment(text)


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (
            {"round": 3, "accuracy": 0.93611, "updates": 8, "restarts": 1, "bytes": 42_100},
            "round    3  accuracy 0.9361  updates 8  restarts 1  traffic 42.1 kB",
        ),
        (
            {"round": 12, "loss": 0.25, "updates": 7, "refused": {"w3": "shape"}, "restarts": 0},
            "round   12  loss 0.2500  updates 7  refused w3 (shape)  restarts 0",
        ),
        (
            {
                "round": 1,
                "updates": 0,
                "refused": {**{f"w{n}": "overflow" for n in range(9)}, "w9": "shape"},
                "warning": "the old model stays",
            },
            (
                "round    1  updates 0  refused w0, w1, w2, w3 and 5 more (overflow), w9 (shape)  "
                "warning: the old model stays"
            ),
        ),
        (
            {
                "round": 2,
                "updates": 2,
                "selected": ["w2", "w5", "w6"],
                "absent": {"w2": "late"},
            },
            "round    2  updates 2  selected w2, w5, w6  absent w2 (late)",
        ),
        (
            {"round": 1, "updates": 8, "staleness": 3.5, "stalest": 7, "policy": "ASP()"},
            "round    1  updates 8  staleness 3.5 (at most 7)  policy ASP()",
        ),
        ({"event": "w3 was restarted"}, "  ! w3 was restarted"),
    ],
)
def test_a_row_is_one_plain_line(row: dict[str, Any], line: str) -> None:
    assert saying.row_line(row) == line


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (2_650_000, "2.65 MB"), (10**16, "1e+04 TB")],
)
def test_bytes_are_shown_with_three_digits(count: int, text: str) -> None:
    assert saying.human_bytes(count) == text


def test_rounds_of_a_run_that_was_killed_can_be_shown(tmp_path: Path) -> None:
    rows = [json.dumps({"round": n, "accuracy": n / 10}) for n in (1, 2)]
    started(tmp_path)
    (tmp_path / "metrics.jsonl").write_text("\n".join(rows) + '\n{"round": 3, "accu')
    result = actorfl("show", tmp_path)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        str(tmp_path),
        "round    1  accuracy 0.1000",
        "round    2  accuracy 0.2000",
    ]
    assert_refused(
        actorfl("show", tmp_path / "no"), ExitCode.RUN_DIRECTORY, "is no directory of a run"
    )


def test_the_result_has_the_five_keys_that_scripts_read() -> None:
    result = RunResult(0.9444, "ab" * 32, 1, 2, Path("runs/digits-1"), metrics={"accuracy": 0.9444})
    assert saying.summary(result) == {
        "accuracy": 0.9444,
        "sha256": "ab" * 32,
        "rounds": 1,
        "restarts": 2,
        "run": "runs/digits-1",
    }
    line = f"accuracy 0.9444 after 1 round, 2 restarts; model {'ab' * 32}; runs/digits-1"
    assert saying.closing_line(result) == line


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        (
            {"accuracy": None, "metrics": {}},
            (
                "done after 1 round, 0 restarts; "
                "nothing to evaluate on: set `validate`, or give the task a test(); model ab; r"
            ),
        ),
        (
            {"accuracy": None, "metrics": {"loss": 0.25}},
            "loss 0.2500 after 1 round, 0 restarts; model ab; r",
        ),
        (
            {"accuracy": None, "metrics": {"loss": None, "nrmse": None}},
            (
                "done after 1 round, 0 restarts; nothing was left to evaluate on: what `validate` "
                "holds back or test() gives is empty, or all of it is washed out; model ab; r"
            ),
        ),
        (
            {"merged": False, "unpromised": {"w1": "no AVX2"}},
            (
                "accuracy 0.5000 after 1 round, 0 restarts; "
                "no update was merged in any round: the model is the initial one; "
                "the same bits are not promised; model ab; r"
            ),
        ),
    ],
)
def test_the_last_line_says_what_a_run_did_not_do(changed: dict[str, Any], line: str) -> None:
    result = RunResult(0.5, "ab", 1, 0, Path("r"), metrics={"accuracy": 0.5})
    assert saying.closing_line(replace(result, **changed)) == line


def test_help_explains_itself_without_loading_what_learning_needs() -> None:
    program = (
        "import sys\nfrom actorfl import cli\n"
        "try:\n    cli.app(['run', '--help'], prog_name='actorfl')\n"
        "except SystemExit:\n    pass\n"
        "assert not {'torch', 'numpy', 'zmq'} & sys.modules.keys(), sorted(sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 0, ended.stderr
    for word in ("--deploy", "--faults", "--set", "--resume", "--json", "--out", "--debug", "FILE"):
        assert word in ended.stdout


def test_the_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert actorfl("--version").stdout == f"actorfl {version('actorfl')}\n"


def test_a_run_without_a_complete_round_is_shown_as_such(tmp_path: Path) -> None:
    directory = tmp_path / "small-1"
    started(directory)
    shown = actorfl("show", directory)
    assert (shown.exit_code, shown.stdout.splitlines()[1:]) == (0, ["no round is complete yet"])


def test_a_run_is_shown_by_its_name_and_a_folder_of_runs_gets_a_hint(tmp_path: Path) -> None:
    directory = tmp_path / "small-1"
    started(directory)
    assert actorfl("show", "small-1", "--out", tmp_path).exit_code == 0
    assert_refused(actorfl("show", tmp_path), ExitCode.RUN_DIRECTORY, f"show --out {tmp_path}")


def test_what_is_said_after_ctrl_c_is_the_command_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = "interrupted; continue with: actorfl run --resume "
    spread = cli.interrupted(tmp_path / "runs" / "a-1", deploy="processes=2")
    assert spread == command + "runs/a-1 --deploy processes=2"
    assert cli.interrupted(tmp_path / "runs" / "a-1") == command + "runs/a-1"
    assert cli.interrupted(Path("/else where/a-1")) == command + "'/else where/a-1'"
    assert cli.interrupted() == "interrupted before the run had a directory"


@pytest.mark.parametrize(
    ("setting", "code", "sentence"),
    [
        (
            "durability=machin",
            ExitCode.WRONG_VALUE,
            '"process" or "machine", got "machin"; did you mean `machine`?',
        ),
        (
            "evaluate.at=centrall",
            ExitCode.WRONG_VALUE,
            '"central" or "workers", got "centrall"; did',
        ),
        ("rounds=5", ExitCode.UNKNOWN_KEY, "did you mean `until.rounds`?"),
        ("algorithm=feddyn", ExitCode.UNKNOWN_KEY, "`feddyn` in `algorithm.kind` of --set"),
    ],
)
def test_a_wrong_setting_is_answered_with_what_may_have_been_meant(
    setting: str, code: ExitCode, sentence: str, tmp_path: Path
) -> None:
    assert_refused(actorfl("run", DIGITS, "--set", setting, "--out", tmp_path), code, sentence)


@pytest.mark.parametrize(
    ("named", "hint"),
    [
        ("empty", "empty is no directory of a run"),
        ("a-1/run.toml", "it is a file of one: actorfl show a-1"),
        ("x.toml", "to carry it out: actorfl run x.toml"),
        ("configurations", "configurations is no directory of a run"),
    ],
)
def test_what_is_no_run_is_not_shown_and_a_hint_is_given(
    named: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    started(tmp_path / "a-1")
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.toml").touch()
    (tmp_path / "configurations" / "digits").mkdir(parents=True)
    (tmp_path / "configurations" / "digits" / "run.toml").touch()
    result = actorfl("show", named)
    assert_refused(result, ExitCode.RUN_DIRECTORY, hint)
    assert result.stderr.endswith(f"{hint}\n")


def test_without_any_run_nothing_is_shown_and_nothing_is_said_of_resuming(tmp_path: Path) -> None:
    assert_refused(actorfl("show", "--out", tmp_path), ExitCode.RUN_DIRECTORY, "there is no run in")


@pytest.mark.parametrize(
    "words",
    [
        [str(DIGITS), "until.rounds=5"],
        ["--json", "until.rounds=5", str(DIGITS)],
        ["--set", "seed=1", "until.rounds=5"],
    ],
)
def test_a_setting_without_the_option_before_it_is_answered_with_the_option(
    words: list[str],
) -> None:
    result = actorfl("run", *words)
    assert result.exit_code == ExitCode.USAGE
    assert "put --set before it: --set until.rounds=5" in result.stderr


def test_what_follows_resume_may_be_a_name_or_the_configuration_that_a_run_left(
    tmp_path: Path,
) -> None:
    for lr in (0.1, 0.2):
        with RunDirectory.create(tmp_path, "digits") as directory:
            directory.begin(Run.from_toml(DIGITS, [f"local.lr={lr}"]))
    first = tmp_path / "digits-1"
    for word in ("digits-1", first, first / "run.toml"):
        result = actorfl("run", "--out", tmp_path, "--resume", word, "--set", "local.lr=0.5")
        assert_refused(result, ExitCode.DIFFERENT_CONFIGURATION, f"{first} was started with")
    newest = actorfl("run", f"--resume={DIGITS}", "--out", tmp_path, "--set", "local.lr=0.5")
    assert_refused(newest, ExitCode.DIFFERENT_CONFIGURATION, f"{tmp_path / 'digits-2'} was")
    result = actorfl("run", first)
    assert_refused(result, ExitCode.MISSING_FILE, f"continue it with: actorfl run --resume {first}")
    result = actorfl("run", "--resume", tmp_path / "no")
    assert_refused(result, ExitCode.NOTHING_TO_RESUME, "there is no such directory")


def test_a_resumed_run_says_first_from_where_and_leaves_the_json_alone(tmp_path: Path) -> None:
    words = ["--out", str(tmp_path), "--set", "topology.workers=1", "--json"]
    actorfl("run", DIGITS, "--set", "until.rounds=1", *words)
    more = actorfl("run", DIGITS, "--resume", "--set", "until.rounds=2", *words)
    heading, *_, row = more.stderr.splitlines()
    assert heading == f"resuming {tmp_path / 'digits-1'} after round 1 of 2"
    assert row.startswith("round    2")
    assert json.loads(more.stdout)["rounds"] == 2
    again = actorfl("run", "--resume", "--out", tmp_path)
    assert again.stdout.splitlines()[0] == f"{tmp_path / 'digits-1'} was complete"
