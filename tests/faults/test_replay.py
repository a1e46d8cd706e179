"""``actorfl replay``: any step of a run again, with the bits that the run recorded."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import actors
from actorfl import Every, Rounds, Run, RunFailed
from actorfl.cli import app
from actorfl.errors import NothingToResume
from actorfl.eventfile import Damage, records
from actorfl.exitcodes import ExitCode
from actorfl.hashing import hash_of
from actorfl.replaying import Replayed, replay
from actors import Deployment, Inline, Processes, Simulated
from tests.faults.runs import ROUNDS, carry_out, events, small
from tests.faults.tasks import Blobs, Outside, Pooled, Raising, Tally
from tests.faults.test_kills import fit, killing, slow

pytestmark = pytest.mark.timeout(120)


def carried_out(run: Run, out: Path, on: Deployment | None = None, **more: Any) -> Path:
    """The directory that a run left."""
    result = actors.run(carry_out(run, out, on, **more), on=on or Inline())
    return result.directory


def command(*words: object) -> Result:
    return CliRunner().invoke(app, ["replay", *map(str, words)])


def recorded(directory: Path) -> dict[tuple[str, int], set[str]]:
    """The results that a run recorded, by worker and clock."""
    found: dict[tuple[str, int], set[str]] = {}
    for event in events(directory):
        if event["event"] == "custom" and event["kind"] == "computed":
            fields = event["fields"]
            found.setdefault((fields["worker"], fields["clock"]), set()).add(fields["result"])
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that recorded all, and whose workers evaluated."""
    run = small(record=True, validate=0.25, evaluate=Every(2, at="workers"))
    return carried_out(run, tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize(
    "on", [Simulated(2), pytest.param(Processes(2), marks=pytest.mark.slow)], ids=str
)
def test_any_step_of_a_run_whose_processes_were_killed_has_its_recorded_bits(
    on: Deployment, tmp_path: Path
) -> None:
    disturb, kills = killing("p0", "aggregator", when=fit(2))
    # What the algorithm keeps at the workers must be that of the clock, too.
    of_length = small if isinstance(on, Simulated) else slow  # virtual fits take their time anyway
    run = of_length(algorithm=Tally(), record=True)
    directory = carried_out(run, tmp_path, on, disturb=disturb)
    assert len(kills) == 2
    assert json.loads((directory / "result.json").read_text())["restarts"] == 2
    steps = {(f"w{index}", clock) for index in range(4) for clock in range(ROUNDS)}
    of = recorded(directory)
    assert of.keys() <= steps
    # A process that is killed may take with it what it was about to tell.
    assert of.keys() >= {(worker, clock) for worker, clock in steps if clock != 2}
    results = set()
    for worker, clock in sorted(of):
        again = replay(directory, worker, clock)
        assert again.same is True
        assert {again.result} == of[worker, clock]
        results.add(again.result)
    assert len(results) == len(of)


def test_a_step_of_any_start_of_a_resumed_run_has_its_recorded_bits(tmp_path: Path) -> None:
    run = small(record=True, until=Rounds(2))
    directory = carried_out(run, tmp_path)
    carried_out(small(record=True), tmp_path, resume=directory)
    assert [replay(directory, "w2", clock).same for clock in range(ROUNDS)] == [True] * ROUNDS


def test_recording_changes_no_bit_and_without_it_nothing_is_hashed(tmp_path: Path) -> None:
    plain, recording = (
        actors.run(carry_out(small(record=record), tmp_path)) for record in (False, True)
    )
    assert plain.sha256 == recording.sha256
    assert (len(recorded(plain.directory)), len(recorded(recording.directory))) == (0, 4 * ROUNDS)


def test_a_pool_is_dealt_out_as_in_the_run(tmp_path: Path) -> None:
    run = small(task=Pooled(), record=True, until=Rounds(2))
    directory = carried_out(run, tmp_path)
    again = replay(directory, "w3", 1)
    assert (again.same, again.examples) == (True, 50)


def test_the_command_tells_what_the_step_gave(whole: Path) -> None:
    done = command(whole, "--worker", "w1", "--clock", 2, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told == {**replay(whole, "w1", 2).summary(), "run": str(whole)}
    assert told["same"] is True
    assert told["recorded"] == [told["result"]]
    assert told["loss"] > 0
    assert told["metrics"].keys() == {"accuracy", "loss"}  # clock 2 evaluates what round 2 made
    below = command(whole.name, "--out", whole.parent, "--worker", "w1", "--clock", 1)
    assert below.exit_code == 0
    head, data, numbers, result, end = below.stdout.splitlines()
    assert head.startswith("w1 in clock 1 (round 2) of ")
    assert data.startswith("input  ")
    assert numbers.startswith("30 examples  loss 0.")
    assert result.startswith("result ")
    assert end == "the same bits as in the run"


def test_a_damage_of_the_events_is_told_with_its_place_and_the_rest_is_read(
    whole: Path, tmp_path: Path
) -> None:
    run = shutil.copytree(whole, tmp_path / whole.name)
    file = run / "events.msgpack"
    data = bytearray(file.read_bytes())
    told = [each for each in records(file) if not isinstance(each, Damage)]
    (struck,) = (
        fields["result"]
        for fields in (each.get("fields", {}) for each in told)
        if (fields.get("worker"), fields.get("clock")) == ("w1", 1) and "result" in fields
    )
    place = data.index(struck.encode())
    data[place - 40 : place + 9] = b"\xc1" * 49
    file.write_bytes(data)
    first, *_, damaged, end = command(run, "--worker", "w1", "--clock", 1).stdout.splitlines()
    assert first.startswith("w1 in clock 1 (round 2) of ")
    assert re.fullmatch(
        r".*events\.msgpack is damaged from byte \d+ to \d+: what the run recorded there cannot be "
        "read",
        damaged,
    )
    begin, behind = map(int, re.findall(r"byte (\d+) to (\d+)", damaged)[0])
    assert begin < place < behind
    assert end == "no result is left to compare it with"
    other = replay(run, "w1", 2)
    assert other.same is True, "what is behind the damage can be read"
    assert other.damaged


# -- what is not the same any more -----------------------------------------------------------------


@pytest.fixture
def outside(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A run that depends on two files: its directory, that of the data, that of the loss."""
    data, loss = tmp_path / "data", tmp_path / "loss"
    task = Outside(data_path=str(data), loss_path=str(loss))
    return carried_out(small(task=task, record=True, until=Rounds(1)), tmp_path), data, loss


def test_other_bits_are_told_with_those_of_the_run(outside: tuple[Path, Path, Path]) -> None:
    directory, _, loss = outside
    (known,) = recorded(directory)["w1", 0]
    loss.write_text("0.5")
    done = command(directory, "--worker", "w1", "--clock", 0)
    assert done.exit_code == ExitCode.OTHER_BITS
    assert done.stdout.splitlines()[-1] == f"OTHER bits than in the run: {known}"
    again = replay(directory, "w1", 0)
    assert again.same is False
    assert again.recorded == (known,)


def test_data_that_was_changed_is_refused(outside: tuple[Path, Path, Path]) -> None:
    directory, data, _ = outside
    data.write_text("0.5")
    done = command(directory, "--worker", "w1", "--clock", 0)
    assert done.exit_code == ExitCode.RUN_DIRECTORY
    assert "the data of w1 is not what it was" in done.stderr


def test_snapshots_that_were_changed_are_refused(tmp_path: Path) -> None:
    one, other = (
        carried_out(small(record=True, until=Rounds(1), seed=seed), tmp_path) for seed in (1, 2)
    )
    shutil.rmtree(one / "snapshots")
    shutil.copytree(other / "snapshots", one / "snapshots")
    done = command(one, "--worker", "w1", "--clock", 0)
    assert done.exit_code == ExitCode.RUN_DIRECTORY
    assert "is not what it was computed from" in done.stderr


def test_code_that_was_changed_is_refused(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    text = (Path(__file__).parent / "tasks.py").read_text()
    (here / "spam.py").write_text(text)
    run = small(task="spam.py:Blobs", base=here, record=True, until=Rounds(1))
    assert replay(carried_out(run, here), "w1", 0).same is True
    # Moved, since a process loads a file once.
    shutil.copytree(here, there)
    toml = there / "small-1" / "run.toml"
    toml.write_text(toml.read_text().replace(str(here), str(there)))
    (there / "spam.py").write_text(text.replace("1.5 * labels", "1.6 * labels"))
    done = command(there / "small-1", "--worker", "w1", "--clock", 0)
    assert done.exit_code == ExitCode.DIFFERENT_CONFIGURATION
    assert "the source of `task` was changed" in done.stderr


def test_a_machine_that_computes_otherwise_is_told(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACTORFL_THREADS", "2")
    again = replay(whole, "w1", 0)
    assert again.warning.startswith(
        "the same bits are not promised: the run computes with 1 thread"
    )
    assert again.warning in again.lines()


# -- what cannot be replayed -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ("--worker w7 --clock 0", ExitCode.WRONG_VALUE, "has no worker 'w7'; known here: `w0`"),
        ("--worker w1 --clock 5", ExitCode.WRONG_VALUE, "must be from 0 to 4, the last clock of"),
        ("--worker w1 --clock -1", ExitCode.WRONG_VALUE, "must be from 0 to 4, the last clock of"),
        ("--worker w1", ExitCode.USAGE, "--clock"),
    ],
)
def test_a_worker_or_clock_that_is_not_there_is_refused(
    words: str, code: ExitCode, sentence: str, whole: Path
) -> None:
    done = command(whole, *shlex.split(words))
    assert done.exit_code == code, done.output
    assert sentence in done.stderr


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    done = command(tmp_path, "--worker", "w1", "--clock", 0)
    assert done.exit_code == ExitCode.RUN_DIRECTORY
    assert "is no directory of a run" in done.stderr


@pytest.mark.parametrize(
    ("configuration", "sentence"),
    [(None, "configuration.json is missing"), ("[" * 200_000, "configuration.json is damaged")],
)
def test_a_run_whose_configuration_cannot_be_read_is_refused(
    configuration: str | None, sentence: str, tmp_path: Path
) -> None:
    (tmp_path / "run.toml").write_text(small().to_toml())
    if configuration is not None:
        (tmp_path / "configuration.json").write_text(configuration)
    with pytest.raises(NothingToResume, match=sentence):
        replay(tmp_path, "w1", 0)


def test_a_clock_that_was_not_kept_is_refused_with_what_would_keep_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = carried_out(small(until=Rounds(3)), tmp_path)
    done = command(directory, "--worker", "w1", "--clock", 1)
    assert done.exit_code == ExitCode.NOT_RECORDED
    assert "only that of clock 3 is kept; `record = true` keeps all clocks" in done.stderr
    _, _, again = done.stderr.strip().partition("the same bits: actorfl ")
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, shlex.split(again)).exit_code == 0
    assert replay(tmp_path / "runs" / "small-1", "w1", 1).same is True


def test_a_snapshot_that_is_damaged_is_told(tmp_path: Path) -> None:
    directory = carried_out(small(record=True, until=Rounds(2)), tmp_path)
    for file in (directory / "snapshots/aggregator").glob(f"{2:020d}-*"):
        file.write_bytes(file.read_bytes()[:-1])
    done = command(directory, "--worker", "w1", "--clock", 1)
    assert done.exit_code == ExitCode.NOT_RECORDED
    assert "its snapshot is damaged" in done.stderr
    assert replay(directory, "w1", 0).same is True


# -- the step in which a run gave up, and the debugger ---------------------------------------------


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that recorded nothing, and gave up in its first clock."""
    out = tmp_path_factory.mktemp("failed")
    with pytest.raises(RunFailed):
        carried_out(small(task=Raising()), out)
    return out / "small-1"


def test_the_step_in_which_a_run_gave_up_fails_again_without_any_recording(failed: Path) -> None:
    done = command(failed, "--worker", "w1", "--clock", 0)
    assert done.exit_code == ExitCode.STEP_FAILED
    assert "w1 fails in clock 0: ZeroDivisionError: nothing can be learned here" in done.stderr
    assert ", in loss)" in done.stderr
    of_another = command(failed, "--worker", "w2", "--clock", 0)
    assert of_another.exit_code == 0
    assert of_another.stdout.splitlines()[-1].startswith("the run recorded no result to compare")


def test_a_run_that_came_to_no_round_has_nothing_to_replay(tmp_path: Path) -> None:
    task = Outside(data_path=str(tmp_path / "data"))
    (tmp_path / "data").write_text("spam")
    with pytest.raises(RunFailed):
        carried_out(small(task=task), tmp_path)
    done = command(tmp_path / "small-1", "--worker", "w1", "--clock", 0)
    assert done.exit_code == ExitCode.NOT_RECORDED
    assert done.stderr.endswith("cannot be replayed: no round of it was begun\n")


def test_a_task_that_cannot_load_its_data_any_more_is_told(
    outside: tuple[Path, Path, Path],
) -> None:
    directory, data, _ = outside
    data.write_text("spam")
    done = command(directory, "--worker", "w1", "--clock", 0)
    assert done.exit_code == ExitCode.STEP_FAILED
    assert "w1 fails as it loads its data: ValueError: could not convert" in done.stderr
    assert "(tasks.py, line " in done.stderr


def debugged(directory: Path, worker: str, *commands: str, more: tuple[str, ...] = ()) -> Result:
    words = ["replay", str(directory), "--worker", worker, "--clock", "0", "--pdb", *more]
    return CliRunner().invoke(app, words, input="".join(f"{line}\n" for line in commands))


def test_the_debugger_stops_where_the_loss_is_entered_and_changes_no_bit(whole: Path) -> None:
    done = debugged(whole, "w0", "p len(batch)", "continue")
    assert done.exit_code == 0, done.output
    lines, begins = inspect.getsourcelines(Blobs.loss)
    assert f"tasks.py({begins + 1})loss()\n-> {lines[1].strip()}" in done.stdout
    assert "(Pdb) 2\n" in done.stdout
    assert done.stdout.splitlines()[-1] == "the same bits as in the run"


def test_a_breakpoint_that_is_set_there_holds_for_the_steps_that_follow(whole: Path) -> None:
    commands = ("break self.loss", "continue", "continue", "clear", "y", "continue")
    done = debugged(whole, "w0", *commands)
    assert done.stdout.count(")loss()") == 3
    assert done.stdout.splitlines()[-1] == "the same bits as in the run"


def test_the_debugger_writes_nothing_where_json_is_to_be(whole: Path) -> None:
    done = debugged(whole, "w0", "continue", more=("--json",))
    assert json.loads(done.stdout)["same"] is True
    assert "(Pdb)" in done.stderr


def test_the_debugger_stops_again_where_something_raises(failed: Path) -> None:
    done = debugged(failed, "w1", "continue", "p batch[2][0].item()", "quit")
    assert done.exit_code == ExitCode.STEP_FAILED
    assert "-> raise ZeroDivisionError" in done.stdout
    assert "(Pdb) 1\n" in done.stdout


def test_leaving_the_debugger_compares_nothing(whole: Path) -> None:
    for commands in (("quit",), ()):  # the end of the input is its end, too
        done = debugged(whole, "w0", *commands)
        assert done.exit_code == ExitCode.INTERRUPTED
        assert "the debugger was left before the step was over" in done.stderr


# -- hashes ----------------------------------------------------------------------------------------


def test_numbers_of_numpy_and_of_python_have_one_hash() -> None:
    assert hash_of({"a": np.float64(0.1), "b": np.int64(2)}) == hash_of({"b": 2, "a": 0.1})
    assert hash_of(np.ones((2, 3))[:, ::2]) == hash_of(np.ones((2, 2)))
    assert hash_of(np.float32(1)) != hash_of(np.ones(1, np.float32))
    assert hash_of(np.array(1.0)) != hash_of(np.ones(1))
    assert hash_of("1") != hash_of(1) != hash_of(1.0)


def test_results_that_differ_among_themselves_are_not_the_same() -> None:
    one = Replayed("r", "w0", 0, 1, None, {}, "i", "d", "x", ("x", "y"), "")
    assert one.same is False
    assert one.lines()[2] == "1 examples  loss -"
