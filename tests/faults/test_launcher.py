"""The launcher's own end: SIGKILL and Ctrl-C, as a person meets them at the command line."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.runs import alive, events, pids, rows

pytestmark = pytest.mark.timeout(180)

ROUNDS = 30
CONFIG = f"""
seed = 3
name = "small"
task = {{ kind = "tests.faults.linear:Linear" }}
topology = {{ kind = "star", workers = 4 }}
algorithm = {{ kind = "fedavg" }}
local = {{ kind = "sgd", lr = 0.1, batch = 8, epochs = 60 }}
until = {{ rounds = {ROUNDS} }}
"""
COMMAND = [sys.executable, "-m", "actorfl", "run"]
ROOT = Path(__file__).parents[2]


STARTED: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """What a failed test leaves running would disturb, and be blamed on, the next one."""
    yield
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            process.kill()
            process.communicate()


def launch(cwd: Path, *options: str, before: str = "") -> subprocess.Popen[str]:
    """The command line as a person starts it; ``before`` is a command of the shell that does."""
    (cwd / "small.toml").write_text(CONFIG)
    process = subprocess.Popen(
        ["/bin/sh", "-c", f'{before}\nexec "$@"', "sh", *COMMAND, "small.toml", *options],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    STARTED.append(process)
    return process


def finish(cwd: Path, *options: str) -> dict[str, object]:
    process = launch(cwd, *options, "--json")
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    last: dict[str, object] = json.loads(out)
    return last


def eventually(holds: Callable[[], bool], limit: float, what: str) -> float:
    """Poll until it holds; the seconds that took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < limit, f"{what} did not happen within {limit:g} s"
        time.sleep(0.02)  # a poll of another process's files, under a limit
    return time.monotonic() - began


def rounds_of(directory: Path) -> int:
    try:
        return len(rows(directory))
    except (OSError, ValueError):
        return 0


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> object:
    return finish(tmp_path_factory.mktemp("undisturbed"))["sha256"]


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(0, id="before the first snapshot"),
        pytest.param(ROUNDS // 2, id="in the middle"),
        pytest.param(ROUNDS, id="after the last round", marks=pytest.mark.slow),
    ],
)
def test_a_killed_launcher_leaves_no_process_and_resume_ends_with_the_same_bits(
    after: int, undisturbed: object, tmp_path: Path
) -> None:
    process = launch(tmp_path, "--deploy", "processes=2")
    directory = tmp_path / "runs" / "small-1"
    if after:
        eventually(lambda: rounds_of(directory) >= after, 60, f"round {after}")
    else:
        eventually(
            lambda: (directory / "events.msgpack").exists() and bool(pids(directory)), 60, "a start"
        )
    process.kill()
    process.communicate()
    started = pids(directory)
    assert started
    eventually(lambda: not any(map(alive, started)), 2.0, "the end of all processes")
    result = finish(tmp_path, "--resume", "--deploy", "processes=2")
    assert result["sha256"] == undisturbed
    assert result["run"] == str(directory)
    assert [row["round"] for row in rows(directory)] == list(range(1, ROUNDS + 1))


@pytest.mark.parametrize(
    ("deploy", "number"),
    [("inline", signal.SIGINT), ("processes=2", signal.SIGINT), ("inline", signal.SIGTERM)],
)
def test_ctrl_c_ends_within_five_seconds_with_exit_code_130_and_resume_goes_on(
    deploy: str, number: signal.Signals, undisturbed: object, tmp_path: Path
) -> None:
    process = launch(tmp_path, "--deploy", deploy)
    directory = tmp_path / "runs" / "small-1"
    eventually(lambda: rounds_of(directory) >= 2, 60, "round 2")
    process.send_signal(number)
    took = eventually(lambda: process.poll() is not None, 5.0, "the end")
    assert took < 5.0
    _, error = process.communicate()
    assert (process.returncode, error.count("\n")) == (130, 1), error
    assert "interrupted; continue with: actorfl run --resume runs/small-1" in error
    assert not any(map(alive, pids(directory)))
    assert finish(tmp_path, "--resume", "--deploy", deploy)["sha256"] == undisturbed


def test_ctrl_c_ends_within_five_seconds_though_a_process_is_frozen(tmp_path: Path) -> None:
    process = launch(tmp_path, "--deploy", "processes=2")
    directory = tmp_path / "runs" / "small-1"
    eventually(lambda: rounds_of(directory) >= 1, 60, "round 1")
    worker = next(e["pid"] for e in events(directory) if e.get("node") == "p0")
    os.kill(worker, signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    eventually(lambda: process.poll() is not None, 5.0, "the end")
    process.communicate()
    assert process.returncode == 130
    assert not any(map(alive, pids(directory)))


def is_pending(pid: int, number: signal.Signals) -> bool:
    """Whether a process has yet to be given a signal that was sent to it."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (mask,) = (int(line.split()[1], 16) for line in lines if line.startswith("ShdPnd:"))
    return bool(mask >> (number - 1) & 1)


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    process = launch(tmp_path, "--deploy", "processes=2")
    directory = tmp_path / "runs" / "small-1"
    eventually(lambda: rounds_of(directory) >= 1, 60, "round 1")
    process.send_signal(signal.SIGINT)
    # Of two that come before a busy machine delivers the first, the kernel makes one.
    eventually(lambda: not is_pending(process.pid, signal.SIGINT), 60, "the first")
    process.send_signal(signal.SIGINT)
    eventually(lambda: process.poll() is not None, 2.0, "the end")
    process.communicate()
    assert process.returncode == 130
    eventually(lambda: not any(map(alive, pids(directory))), 2.0, "the end of all processes")


def test_a_run_that_is_under_way_is_not_resumed_a_second_time(tmp_path: Path) -> None:
    process = launch(tmp_path, "--deploy", "inline")
    directory = tmp_path / "runs" / "small-1"
    eventually(lambda: rounds_of(directory) >= 1, 60, "round 1")
    second = launch(tmp_path, "--resume", str(directory))
    _, error = second.communicate(timeout=60)
    assert second.returncode == 21
    assert f"in use by process {process.pid}" in error
    process.kill()
    process.communicate()


@pytest.fixture(scope="module")
def of_one_round(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a run of one round was carried out; to be copied."""
    folder = tmp_path_factory.mktemp("one-round")
    finish(folder, "--set", "until.rounds=1")
    return folder


def refused(cwd: Path, *options: str, before: str = "") -> tuple[int, str]:
    """Exit code and last line of a run that cannot go on."""
    process = launch(cwd, *options, before=before)
    _, error = process.communicate(timeout=60)
    lines = error.strip().splitlines()
    assert lines[-1].startswith("actorfl: ")
    assert "Traceback" not in error
    return process.returncode, lines[-1]


@pytest.mark.parametrize("deploy", ["inline", "processes=2"])
def test_a_full_disk_ends_the_run_with_one_sentence(deploy: str, tmp_path: Path) -> None:
    # Files of at most 2 blocks of 512 bytes: enough for the configuration, not for a run.
    code, sentence = refused(tmp_path, "--deploy", deploy, before="ulimit -f 2")
    assert code == 30
    assert re.search(
        r"aggregator failed: StorageError: cannot (?:write|append to) \S+: file too large", sentence
    )


def test_a_snapshot_folder_that_cannot_be_written_ends_the_run_with_one_sentence(
    of_one_round: Path, tmp_path: Path
) -> None:
    shutil.copytree(of_one_round, tmp_path, dirs_exist_ok=True)
    snapshots = tmp_path / "runs" / "small-1" / "snapshots"
    shutil.rmtree(snapshots)
    snapshots.write_text("not a folder")
    code, sentence = refused(tmp_path, "--resume", "--set", "until.rounds=1")
    assert code == 30
    assert "aggregator failed: StorageError: cannot write" in sentence
    assert "a file stands where a folder is needed" in sentence


def test_a_damaged_count_of_starts_is_refused_before_anything_starts(
    of_one_round: Path, tmp_path: Path
) -> None:
    shutil.copytree(of_one_round, tmp_path, dirs_exist_ok=True)
    (tmp_path / "runs" / "small-1" / "starts.json").write_text('{"identity": 1')
    code, sentence = refused(tmp_path, "--resume", "--set", "until.rounds=1")
    assert code == 20
    assert "starts.json" in sentence


def test_a_torn_snapshot_is_passed_over_and_the_run_ends_with_the_same_bits(
    undisturbed: object, tmp_path: Path
) -> None:
    process = launch(tmp_path, "--deploy", "inline")
    directory = tmp_path / "runs" / "small-1"
    eventually(lambda: rounds_of(directory) >= 3, 60, "round 3")
    process.kill()
    process.communicate()
    newest = max((directory / "snapshots" / "aggregator").glob("*.snapshot"))
    newest.write_bytes(newest.read_bytes()[:-1])
    assert finish(tmp_path, "--resume")["sha256"] == undisturbed
    assert [row["round"] for row in rows(directory)] == list(range(1, ROUNDS + 1))
