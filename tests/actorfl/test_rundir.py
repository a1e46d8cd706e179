"""The directory of a run: numbered, locked, and resumed only by the same configuration."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actorfl.algorithms.fedavg import FedAvg
from actorfl.errors import (
    DifferentConfiguration,
    NothingToResume,
    RunDirectoryError,
    RunInUse,
    WrongValue,
)
from actorfl.local import SGD
from actorfl.run import Run
from actorfl.rundir import RunDirectory, differing
from actorfl.supervision import Supervision
from actorfl.topology import Star
from actorfl.until import Rounds

# Locks a directory, hands the lock to a child of its own, and says so.
LAUNCHER = """
import subprocess, sys
from actorfl.rundir import RunDirectory
directory = RunDirectory.open(sys.argv[1])
child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"],
                         stdin=subprocess.PIPE, pass_fds=[directory.lock_fd])
print(child.pid, flush=True)
sys.stdin.read()
"""


def run_of(rounds: int = 20, lr: float = 0.1, supervision: Supervision | None = None) -> Run:
    return Run(
        "digits",
        Star(8),
        FedAvg(),
        local=SGD(lr=lr),
        until=Rounds(rounds),
        name="digits",
        supervision=supervision,
    )


def started(base: Path, run: Run) -> Path:
    with RunDirectory.create(base, run.name) as directory:
        directory.begin(run)
    return directory.path


def test_each_start_takes_the_number_after_the_highest(tmp_path: Path) -> None:
    (tmp_path / "digits-7").mkdir()
    (tmp_path / "digits-x").mkdir()
    (tmp_path / "other-9").mkdir()
    with (
        RunDirectory.create(tmp_path, "digits") as first,
        RunDirectory.create(tmp_path, "digits") as second,
    ):
        assert (first.path.name, second.path.name) == ("digits-8", "digits-9")
    assert first.snapshots.is_dir()


def test_starts_at_the_same_time_get_directories_of_their_own(tmp_path: Path) -> None:
    together = threading.Barrier(8)
    made: list[RunDirectory] = []

    def start() -> None:
        together.wait(timeout=10)
        made.extend(RunDirectory.create(tmp_path / "runs", "r") for _ in range(5))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert sorted(one.path.name for one in made) == sorted(f"r-{n}" for n in range(1, 41))
    for one in made:
        one.close()


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 65])
def test_a_name_that_is_no_name_for_a_directory_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(WrongValue, match="the name of a run must be"):
        RunDirectory.create(tmp_path, name)


def test_a_place_that_is_not_writable_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match=r"cannot make a run directory in .*--out"):
        RunDirectory.create(tmp_path / "file")
    with pytest.raises(RunDirectoryError, match=r"cannot make .* in /proc/runs: .*--out"):
        RunDirectory.create("/proc/runs")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused_with_advice(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(RunDirectoryError, match="change its permissions"):
            RunDirectory.create(tmp_path)
    finally:
        tmp_path.chmod(0o700)


def test_a_directory_in_use_is_refused_with_the_process_that_uses_it(tmp_path: Path) -> None:
    path = started(tmp_path, run_of())
    with RunDirectory.open(path) as first:
        assert repr(first) == f"<RunDirectory {path} locked>"
        with pytest.raises(RunInUse, match=f"in use by process {os.getpid()}; wait"):
            RunDirectory.open(path)
    assert repr(first) == f"<RunDirectory {path} closed>"
    RunDirectory.open(path).close()


def test_the_lock_outlives_a_killed_launcher_until_its_last_child_is_gone(tmp_path: Path) -> None:
    path = started(tmp_path, run_of())
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert launcher.stdout is not None
    assert launcher.stdin is not None
    with launcher.stdout, launcher.stdin:
        child = int(launcher.stdout.readline())
        # A child with an end of the pipe in its hand lives on until it is told.
        os.kill(child, signal.SIGSTOP)
        launcher.kill()
        launcher.wait(timeout=10)
        with pytest.raises(RunInUse, match=f"left behind by process {launcher.pid}, which is gone"):
            RunDirectory.open(path, grace=0.1)
        os.kill(child, signal.SIGKILL)
        RunDirectory.open(path, grace=10).close()


def test_a_lock_file_with_rubbish_in_it_names_no_process(tmp_path: Path) -> None:
    path = started(tmp_path, run_of())
    with RunDirectory.open(path):
        (path / "lock").write_text("-1\n")
        with pytest.raises(RunInUse, match="in use by another process"):
            RunDirectory.open(path, grace=0)


def test_the_lock_is_not_inherited_by_what_it_was_not_handed_to(tmp_path: Path) -> None:
    with RunDirectory.create(tmp_path, "r") as directory:
        assert not os.get_inheritable(directory.lock_fd)
    with pytest.raises(RunDirectoryError, match="its lock was given up"):
        _ = directory.lock_fd


def test_a_start_leaves_its_configuration_resolved_and_what_its_hash_is_made_of(
    tmp_path: Path,
) -> None:
    run = run_of()
    path = started(tmp_path, run)
    assert Run.from_toml(path / "run.toml") == run
    assert hashlib.sha256((path / "configuration.json").read_bytes()).hexdigest() == run.hash
    assert json.loads((path / "configuration.json").read_bytes()) == run.canonical()
    assert {file.name for file in path.iterdir()} == {
        *("lock", "run.toml", "configuration.json", "snapshots"),
    }


def test_the_same_configuration_may_resume_also_with_another_restart_budget(tmp_path: Path) -> None:
    path = started(tmp_path, run_of())
    with RunDirectory.open(path) as directory:
        directory.begin(run_of(supervision=Supervision(intensity=9)))
    assert Run.from_toml(path / "run.toml").supervision.intensity == 9


def test_another_configuration_is_refused_with_the_keys_that_differ(tmp_path: Path) -> None:
    path = started(tmp_path, run_of())
    with (
        RunDirectory.open(path) as directory,
        pytest.raises(
            DifferentConfiguration,
            match=r"configuration: `local\.lr` was 0\.1 and is 0\.2; leave FILE and --set out, or",
        ) as caught,
    ):
        directory.begin(run_of(rounds=30, lr=0.2))
    assert caught.value.keys == ("local.lr",)
    assert Run.from_toml(path / "run.toml") == run_of()


def test_an_end_that_is_further_off_is_let_through_and_written(tmp_path: Path) -> None:
    path = started(tmp_path, run_of(rounds=20))
    with RunDirectory.open(path) as directory:
        directory.begin(run_of(rounds=30))
        with pytest.raises(
            DifferentConfiguration, match=r"`until\.rounds` may only grow: was 30, got 29;"
        ):
            directory.begin(run_of(rounds=29))
    assert Run.from_toml(path / "run.toml").until == Rounds(30)


def test_a_long_list_of_changes_is_cut_and_a_changed_file_is_to_be_put_back() -> None:
    many = {f"task.k{n}": ("x" * 99, n) for n in range(10)}
    sentence = str(DifferentConfiguration(Path("runs/a-1"), many))
    assert f"`task.k7` was '{'x' * 39}... and is 7 and 2 more; leave FILE" in sentence
    source = str(DifferentConfiguration(Path("runs/a-1"), {"task.source": ("ab", "cd")}))
    assert source.endswith(
        "the source of `task` was changed; put back what stood there, or start a new run"
    )


def test_the_latest_run_of_a_name_is_the_one_with_the_highest_number(tmp_path: Path) -> None:
    for number in (2, 10, 9):
        (tmp_path / f"digits-{number}").mkdir()
        (tmp_path / f"digits-{number}" / "run.toml").write_text("")
    (tmp_path / "digits-11").mkdir()  # killed before it was started
    assert RunDirectory.latest(tmp_path, "digits") == tmp_path / "digits-10"
    with pytest.raises(NothingToResume, match="no run named spam was started"):
        RunDirectory.latest(tmp_path, "spam")


def test_the_latest_of_all_runs_is_the_one_that_was_started_last(tmp_path: Path) -> None:
    for age, name in enumerate(["digits-3", "spam-1"]):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.toml").write_text("")
        os.utime(tmp_path / name / "run.toml", (age, age))
    assert RunDirectory.latest(tmp_path) == tmp_path / "spam-1"
    with pytest.raises(NothingToResume, match="no run was started"):
        RunDirectory.latest(tmp_path / "nowhere")


@pytest.mark.parametrize("make", ["nothing", "empty", "damaged"])
def test_what_is_no_run_is_not_resumed(tmp_path: Path, make: str) -> None:
    path = tmp_path / "digits-1"
    if make != "nothing":
        path.mkdir()
    if make == "damaged":
        (path / "run.toml").write_text("")
        (path / "configuration.json").write_text('{"seed"')
    with (
        pytest.raises(NothingToResume, match="nothing to resume in"),
        RunDirectory.open(path) as directory,
    ):
        directory.begin(run_of())


keys = st.text("ab", min_size=1, max_size=2)
trees = st.recursive(st.integers(0, 2), lambda inner: st.dictionaries(keys, inner, max_size=3))
tables = st.dictionaries(keys, trees, max_size=3)


@given(one=tables, other=tables)
def test_keys_differ_exactly_when_the_tables_do(one: object, other: object) -> None:
    assert bool(differing(one, other)) == (one != other)
    assert sorted(differing(one, other)) == sorted(differing(other, one))
